/**
 * `khelper bench`: its options.
 */
import { type Command, InvalidArgumentError } from 'commander'
import type { BenchCommandOptions } from './bench.js'

export function registerBench(program: Command): void {
  program
    .command('bench')
    .description('Measures launch, dispatch and event-loop delay on this machine, beside node:child_process.')
    .option(
      '--rss <megabytes>',
      'memory that the measuring process shall hold, as your service does',
      megabytes,
    )
    .option('--quick', 'only to see that everything runs: too few samples to mean anything')
    .option('--json', 'print the figures as one JSON object')
    .action(async (options: BenchCommandOptions) => {
      const { benchCommand } = await import('./bench.js')
      await benchCommand(options)
    })
}

/** @returns a whole number of megabytes */
export function megabytes(text: string): number {
  const value = Number(text)
  if (!(Number.isInteger(value) && value >= 1)) {
    throw new InvalidArgumentError('It must be a whole number of megabytes, above 0.')
  }
  return value
}
