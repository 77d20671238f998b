// One query by each public client. Standard input: {urls, token, query, variables}; standard output: [{apollo, urql}].
import { text } from 'node:stream/consumers'
import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { Client, fetchExchange } from '@urql/core'

// urql ends the stream that an answer came on by aborting it, and nobody hears of that.
process.on('unhandledRejection', (reason) => {
  if (reason?.name !== 'AbortError') throw reason
})

const { urls, token, query, variables } = JSON.parse(await text(process.stdin))
const headers = token ? { authorization: `Bearer ${token}` } : {}

async function answers(url) {
  const apollo = new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache: new InMemoryCache() })
  const urql = new Client({ url, exchanges: [fetchExchange], fetchOptions: { headers }, preferGetMethod: false })
  const first = await apollo.query({ query: gql(query), variables, errorPolicy: 'all', fetchPolicy: 'no-cache' })
  const second = await urql.query(query, variables).toPromise()
  return { apollo: { data: first.data }, urql: { data: second.data } }
}
process.stdout.write(JSON.stringify(await Promise.all(urls.map(answers))))
