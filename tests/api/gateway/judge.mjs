// Composition by a second composer. Standard input: [{name, url, sdl}]; standard output: {errors}.
import { text } from 'node:stream/consumers'
import { composeServices } from '@apollo/composition'
import { parse } from 'graphql'

const services = JSON.parse(await text(process.stdin)).map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) }))
const { errors, supergraphSdl } = composeServices(services)
process.stdout.write(JSON.stringify({ errors: (errors ?? []).map((error) => error.message), composed: Boolean(supergraphSdl) }))
