// GraphQL over HTTP, as its reference implementation audits it. Standard input: {url, token}; standard output: what is not in order.
import { text } from 'node:stream/consumers'
import { serverAudits } from 'graphql-http'

const { url, token } = JSON.parse(await text(process.stdin))
const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers)
  if (token) headers.set('authorization', `Bearer ${token}`)
  return fetch(input, { ...init, headers })
}

const audits = serverAudits({ url, fetchFn })
const found = []
for (const audit of audits) {
  const result = await audit.fn()
  if (result.status !== 'ok') found.push({ id: audit.id, name: audit.name, status: result.status, reason: result.reason })
}
process.stdout.write(JSON.stringify({ count: audits.length, found }))
