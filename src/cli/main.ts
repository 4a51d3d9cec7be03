#!/usr/bin/env node
/**
 * The khelper command: registers the subcommands, each of which loads what it needs when it is called.
 */
import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { registerBench } from './bench/command.js'
import { registerModules } from './modules/command.js'
import { registerRun } from './run/command.js'
import { registerStress } from './stress/command.js'
import { registerSystemCalls } from './system-calls/command.js'
import { UsageError } from './usage-error.js'
import { registerXargs } from './xargs/command.js'

const USAGE_EXIT_CODE = 1
const SIGPIPE_EXIT_CODE = 141

const { version } = createRequire(import.meta.url)('../../../package.json') as { readonly version: string }

const program = new Command('khelper')
  .description('Runs programs the way the Linux kernel does, from helper threads.')
  .version(version)
  .enablePositionalOptions()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'khelper: ')) })

// A reader that has seen enough, as head(1), ends us without a word.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(SIGPIPE_EXIT_CODE)
  throw error
})

registerRun(program)
registerXargs(program)
registerBench(program)
registerStress(program)
registerModules(program)
registerSystemCalls(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode
  else if (error instanceof UsageError) {
    console.error(`khelper: ${error.message}`)
    process.exitCode = USAGE_EXIT_CODE
  } else throw error
}
