/**
 * An HTTP server that runs a program for each request: server.js khelper|child_process MEGABYTES
 * It sends its port, and ends with its parent.
 */
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { growTo } from '../../src/cli/bench/ballast.js'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { ECHO } from '../../src/cli/bench/launchers.js'
import { boot } from '../../src/index.js'

const [launcher, megabytes] = process.argv.slice(2)
const execFileOutput = promisify(execFile)
growTo(Number(megabytes))

function output(): (serial: string) => Promise<{ readonly stdout: string }> {
  if (launcher !== SUBJECT) return serial => execFileOutput(ECHO, [serial])
  const kernel = boot()
  return serial => kernel.run(ECHO, [serial])
}

const run = output()
let requests = 0
const server = createServer((_request, response) => {
  requests += 1
  run(String(requests)).then(
    ({ stdout }) => response.end(stdout),
    error => {
      response.statusCode = 500
      response.end(String(error))
    },
  )
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit(0))
