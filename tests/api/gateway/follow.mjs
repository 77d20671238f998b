// A subscription by the public client of graphql-transport-ws. Standard input: {query, sockets: [{url, token, count}]}; standard output:
// what came over each.
import { text } from 'node:stream/consumers'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'

const { query, sockets } = JSON.parse(await text(process.stdin))

async function followed({ url, token, count }) {
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
  return came
}
process.stdout.write(JSON.stringify(await Promise.all(sockets.map(followed))))
process.exit(0)
