// The gateway: one address before all subgraphs.
//
// Who asks is found out here, from the same access tokens as everywhere (RFC 9068), and once more in each subgraph, which gets the
// token as it came. The bundled plugin for JWTs verifies with `jsonwebtoken`, which knows no Ed25519; hence `jose` below the bundled
// `genericAuth`, which refuses before anything is planned.
import { defineConfig } from '@graphql-hive/gateway'
import { GraphQLError, visit } from 'graphql'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

const { env } = process
const required = env.AIW_GATEWAY_AUTH === 'required'
const keys = env.AIW_GATEWAY_SECRET
  ? new TextEncoder().encode(env.AIW_GATEWAY_SECRET)
  : createRemoteJWKSet(new URL(env.AIW_GATEWAY_JWKS), { cooldownDuration: 1_000, cacheMaxAge: 60_000 })
const expected = {
  issuer: env.AIW_GATEWAY_ISSUER,
  audience: env.AIW_GATEWAY_AUDIENCE,
  algorithms: env.AIW_GATEWAY_SECRET ? ['HS256'] : ['Ed25519'],
  typ: 'at+jwt',
  clockTolerance: 5,
  requiredClaims: ['sub', 'sid', 'tenant', 'exp', 'iat'],
}
// What a client says of itself, on its request or when it opens its socket. Nothing else of it goes on.
const passed = ['authorization', 'x-correlation-id', 'traceparent']

function told(context, name) {
  const found = context?.connectionParams ?? {}
  const key = Object.keys(found).find((one) => one.toLowerCase() === name)
  const value = (key && found[key]) ?? context?.headers?.[name]
  return typeof value === 'string' && value ? value : undefined
}

async function user(context) {
  const [scheme, token] = told(context, 'authorization')?.split(' ') ?? []
  if (token === undefined || scheme.toLowerCase() !== 'bearer') {
    return null
  }
  try {
    return (await jwtVerify(token, keys, expected)).payload
  } catch (error) {
    if (error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)) {
      return null
    }
    throw error
  }
}

// `spec`: clients of `application/json` get 200, as they always did.
function unread({ message, source, positions }) {
  const extensions = { code: 'graphql_syntax', http: { spec: true, status: 400 } }
  return new GraphQLError(message, { source, positions, extensions })
}

// What a subgraph says of an error goes on as it is. One that does not answer is named; why stays in the log.
function masked(error, message) {
  let cause = error
  const seen = { ...error?.extensions }
  while (cause?.originalError) {
    cause = cause.originalError
    Object.assign(seen, cause.extensions)
  }
  // By name: the parser that counts tokens has a GraphQLError of its own.
  if (cause?.name === 'GraphQLError' && seen.code !== 'SUBREQUEST_HTTP_ERROR') {
    return cause.message.startsWith('Syntax Error') ? unread(cause) : error
  }
  const { nodes, path } = error ?? {}
  return seen.service
    ? new GraphQLError(`The subgraph ${seen.service} does not answer.`, {
        nodes,
        path,
        extensions: { code: 'subgraph_unavailable', service: seen.service, retryable: true },
      })
    : new GraphQLError(message, { nodes, path, extensions: { code: 'internal_error' } })
}

// As in the subgraphs: to see the schema itself is for those who may.
function introspects(document) {
  let found = false
  visit(document, {
    Field({ name }) {
      found ||= name.value === '__schema' || name.value === '__type'
    },
  })
  return found
}

function allowed(scopes, wanted) {
  return scopes.includes(wanted) || scopes.includes(wanted.split(':')[0])
}

export const gatewayConfig = defineConfig({
  supergraph: env.AIW_GATEWAY_SUPERGRAPH,
  pollingInterval: 10_000,
  host: '127.0.0.1',
  port: Number(env.AIW_GATEWAY_PORT),
  fork: 1,
  graphiql: !required,
  landingPage: false,
  batching: { limit: 10 },
  upstreamTimeout: 30_000,
  // Subgraphs hold each its own part to these; only here is the whole to be seen.
  maxDepth: Number(env.AIW_GATEWAY_DEPTH),
  maxTokens: 4_000,
  blockFieldSuggestions: true,
  genericAuth: { mode: required ? 'protect-all' : 'resolve-only', resolveUserFn: user },
  maskedErrors: { maskError: masked },
  subgraphErrors: { errorCode: false, subgraphNameProp: 'service' },
  // Subscriptions as server-sent events; by POST, as operations are longer than some addresses may be.
  transportEntries: { '*.http': { options: { method: 'POST' } } },
  plugins: () => [
    {
      onSubgraphExecute({ executionRequest }) {
        const context = executionRequest.context
        const headers = Object.fromEntries(
          passed.map((name) => [name, told(context, name)]).filter(([, value]) => value !== undefined),
        )
        executionRequest.extensions = { ...executionRequest.extensions, headers }
      },
      onExecute({ args, setResultAndStopExecution }) {
        const scopes = args.contextValue.currentUser?.scopes ?? []
        if (required && introspects(args.document) && !allowed(scopes, 'operate:graphql')) {
          const extensions = { code: 'scope_missing', service: 'graph' }
          setResultAndStopExecution({ errors: [new GraphQLError('The schema is not for everybody to see.', { extensions })] })
        }
      },
    },
  ],
})
