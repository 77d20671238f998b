// Composes subgraphs into a supergraph. Standard input: [{name, url, sdl}]; standard output: {supergraph} or {errors}.
import { text } from 'node:stream/consumers'
import { composeServices } from '@theguild/federation-composition'
import { parse } from 'graphql'

const told = []
const services = []
for (const { name, url, sdl } of JSON.parse(await text(process.stdin))) {
  try {
    services.push({ name, url, typeDefs: parse(sdl) })
  } catch (error) {
    told.push(`${name}: ${error.message}`)
  }
}
if (told.length === 0) {
  const { supergraphSdl, errors } = composeServices(services)
  if (supergraphSdl) {
    process.stdout.write(JSON.stringify({ supergraph: supergraphSdl }))
  } else {
    told.push(...errors.map((error) => error.message))
  }
}
if (told.length > 0) {
  process.stdout.write(JSON.stringify({ errors: told }))
}
