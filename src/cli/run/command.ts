/**
 * `khelper run`: its options.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { RunCommandOptions } from './run.js'

const LARGEST_SECONDS = 2_000_000

export function registerRun(program: Command): void {
  program
    .command('run')
    .description('Runs one program, passes its input and output through, and exits as it does.')
    .argument('<program>', 'a path, or a name to look up in PATH')
    .argument('[args...]')
    .option(
      '--json',
      'print the result with its resource usage as one JSON object; output is captured into it',
    )
    .option('--cwd <folder>', 'working directory of the program')
    .option('--env <KEY=value>', 'set one more environment variable; may be repeated', addVariable, {})
    .option('--timeout <seconds>', 'end the program after this time', seconds)
    .option('--kill-signal <signal>', 'signal that ends it', 'SIGTERM')
    .addOption(
      new Option('--launcher <name>', 'how programs are started')
        .choices(['auto', 'posix_spawn', 'child_process'])
        .default('auto'),
    )
    .passThroughOptions()
    .addHelpText(
      'after',
      '\nExit codes: the program’s own; 128 + n if signal n killed it; 126 if it cannot be executed;\n' +
        '127 if it is not found; 125 if khelper itself fails; 1 for a mistake in the options.',
    )
    .action(async (file: string, args: string[], options: RunCommandOptions) => {
      const { runCommand } = await import('./run.js')
      await runCommand(file, args, options)
    })
}

function addVariable(
  assignment: string,
  variables: Readonly<Record<string, string>>,
): Record<string, string> {
  const equals = assignment.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It must be of the form KEY=value.')
  return { ...variables, [assignment.slice(0, equals)]: assignment.slice(equals + 1) }
}

/** @returns milliseconds */
export function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value <= LARGEST_SECONDS)) {
    throw new InvalidArgumentError(`It must be a number of seconds, above 0 and at most ${LARGEST_SECONDS}.`)
  }
  return value * 1000
}
