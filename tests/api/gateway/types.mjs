// Types, as the compiler of TypeScript reads them. Standard input: {source}; standard output: {errors}.
import { text } from 'node:stream/consumers'
import ts from 'typescript'

const NAME = 'schema.ts'
const { source } = JSON.parse(await text(process.stdin))
const options = { strict: true, noEmit: true, skipLibCheck: true }
const host = ts.createCompilerHost(options)
const read = host.getSourceFile.bind(host)
host.getSourceFile = (name, version) =>
  name === NAME ? ts.createSourceFile(name, source, version) : read(name, version)
const found = ts.getPreEmitDiagnostics(ts.createProgram([NAME], options, host))
const errors = found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'))
process.stdout.write(JSON.stringify({ errors }))
