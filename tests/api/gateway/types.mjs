// Types, as the compiler of TypeScript reads them. Standard input: {sources}; standard output: the errors of each.
import { text } from 'node:stream/consumers'
import ts from 'typescript'

const NAME = 'schema.ts'
const { sources } = JSON.parse(await text(process.stdin))
const options = { strict: true, noEmit: true, skipLibCheck: true, types: [] }
const host = ts.createCompilerHost(options)
const read = host.getSourceFile.bind(host)

function errors(source, former) {
  host.getSourceFile = (name, version) =>
    name === NAME ? ts.createSourceFile(name, source, version) : (former?.getSourceFile(name) ?? read(name, version))
  const program = ts.createProgram([NAME], options, host, former)
  const found = ts.getPreEmitDiagnostics(program)
  return [found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n')), program]
}

let former
const all = sources.map((source) => {
  const [found, program] = errors(source, former)
  former = program
  return found
})
process.stdout.write(JSON.stringify(all))
