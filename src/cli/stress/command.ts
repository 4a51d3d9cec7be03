/**
 * `khelper stress`: its options.
 */
import { availableParallelism } from 'node:os'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { seconds } from '../run/command.js'
import type { StressOptions } from './stress.js'

const DEFAULT_IN_FLIGHT = 16
const LARGEST_COUNT = 2 ** 31
const LARGEST_IN_FLIGHT = 4_096
const LARGEST_KHELPERS = 1_024
const LARGEST_SEED = 2 ** 32 - 1

export function registerStress(program: Command): void {
  program
    .command('stress')
    .description(
      'Does everything that khelper does, at once, while things go wrong; says what was not right.',
    )
    .addOption(
      new Option('--seconds <n>', 'for so long; default: 60, and 1800 with --soak').argParser(seconds),
    )
    .option('--count <n>', 'so many steps of the plan, however long they take', upTo(1, LARGEST_COUNT))
    .option('--seed <n>', 'which operations and faults come in which order', upTo(0, LARGEST_SEED))
    .option('--json', 'print the report as one JSON object')
    .option('--only <kinds>', 'these operations and faults only, with commas between', list)
    .option('--skip <kinds>', 'not these', list)
    .addOption(
      new Option('--launcher <name>', 'how programs are started')
        .choices(['auto', 'posix_spawn', 'child_process'])
        .default('auto'),
    )
    .option(
      '--khelpers <n>',
      `khelper threads; default: as many as there are processors (${availableParallelism()})`,
      upTo(1, LARGEST_KHELPERS),
    )
    .option(
      '--in-flight <n>',
      'operations at a time',
      upTo(1, LARGEST_IN_FLIGHT),
      DEFAULT_IN_FLIGHT * availableParallelism(),
    )
    .option('--soak', 'sample memory, descriptors and latencies every 10 s, and say whether they stay flat')
    .addHelpText(
      'after',
      '\nOperations: completion/…, structure/…, umh/…, run/…, in-thread/…; faults: khelper-death, disable,\n' +
        'descriptors, fds, full-disk, clock, signals, sigchld. --only run takes all of run/….\n\n' +
        'Ctrl-C ends it early, with its report; once more, at once.\n\n' +
        'Exit codes: 0 if nothing was wrong; 1 if something leaked, hung, or ended other than exactly once\n' +
        'with a result that it may have; 128 plus a signal’s number if nothing was, as far as it came.',
    )
    .action(async (options: StressOptions) => {
      const { stress } = await import('./stress.js')
      const code = await stress(options)
      process.exitCode = code
      // What hangs would keep this process, too.
      if (code !== 0) process.exit()
    })
}

const upTo =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    }
    return value
  }

function list(text: string): string[] {
  const names = text.split(',').map(name => name.trim())
  if (names.some(name => name === '')) {
    throw new InvalidArgumentError('It must be names with commas between, such as run,umh/keys.')
  }
  return names
}
