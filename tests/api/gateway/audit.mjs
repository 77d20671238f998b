// GraphQL over HTTP, as its reference implementation audits it. Standard input: {urls, token}; standard output: of each what is not in order.
import { text } from 'node:stream/consumers'
import { serverAudits } from 'graphql-http'

const { urls, token } = JSON.parse(await text(process.stdin))
const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers)
  if (token) headers.set('authorization', `Bearer ${token}`)
  return fetch(input, { ...init, headers })
}

async function audited(url) {
  const audits = serverAudits({ url, fetchFn })
  const found = []
  for (const audit of audits) {
    const result = await audit.fn()
    if (result.status !== 'ok') found.push({ id: audit.id, name: audit.name, status: result.status, reason: result.reason })
  }
  return { count: audits.length, found }
}
process.stdout.write(JSON.stringify(await Promise.all(urls.map(audited))))
