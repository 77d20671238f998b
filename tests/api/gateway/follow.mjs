// A subscription by the public client of graphql-transport-ws. Standard input: {url, token, query, count}; standard output: what came.
import { text } from 'node:stream/consumers'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'

const { url, token, query, count } = JSON.parse(await text(process.stdin))
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  retryAttempts: 0,
  connectionParams: token ? { authorization: `Bearer ${token}` } : {},
})
const came = []
try {
  for await (const one of client.iterate({ query })) {
    came.push(one)
    if (came.length >= count) break
  }
} catch (error) {
  came.push({ refused: error.reason ?? error.message ?? String(error) })
}
await client.dispose()
process.stdout.write(JSON.stringify(came))
process.exit(0)
