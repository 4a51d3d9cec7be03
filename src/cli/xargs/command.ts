/**
 * `khelper xargs`: its options, in GNU's names.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { seconds } from '../run/command.js'
import type { XargsOptions } from './xargs.js'

export function registerXargs(program: Command): void {
  program
    .command('xargs')
    .description('Builds command lines from standard input and runs them in parallel, as GNU xargs does.')
    .argument('[command]', 'default: echo', 'echo')
    .argument('[initial-args...]')
    .option('-P, --max-procs <n>', 'run up to n commands at a time; 0: as many as makes sense', count, 1)
    .option('-n, --max-args <n>', 'use at most n items for each command', positive)
    .option('-L, --max-lines <n>', 'use at most n non-blank lines for each command', positive)
    .option('-I, --replace <string>', 'replace the string in the initial arguments by each line')
    .option('-0, --null', 'items end with a NUL; quotes and blanks are nothing special')
    .option('-d, --delimiter <c>', 'items end with this character', delimiter)
    .option('-s, --max-chars <n>', 'use at most n bytes for each command line', positive)
    .option('-x, --exit', 'exit if a command line would be longer than -s allows')
    .option('-r, --no-run-if-empty', 'run nothing if there are no items')
    .option('-t, --verbose', 'print each command on standard error before it runs')
    .option('-a, --arg-file <file>', 'read items from a file; commands then share standard input')
    .option('--joblog <file>', 'append a line to this file for each command that has finished')
    .option('--resume', 'go on with a joblog: commands that have finished are not run again')
    .option('--retries <n>', 'run a failing command up to n times', positive, 1)
    .addOption(new Option('--timeout <seconds>', 'end a command after this time').argParser(seconds))
    .passThroughOptions()
    .addHelpText(
      'after',
      '\nExit codes: 0; 123 if a command exited with 1 to 125; 124 if one exited with 255; 125 if one was\n' +
        'killed by a signal; 126 if one cannot be executed; 127 if it is not found; 1 for any other error.',
    )
    .action(async (command: string, initial: string[], options: XargsOptions) => {
      const { xargs } = await import('./xargs.js')
      process.exitCode = await xargs([command, ...initial], options)
    })
}

function count(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('It must be a whole number.')
  return value
}

function positive(text: string): number {
  const value = count(text)
  if (value < 1) throw new InvalidArgumentError('It must be at least 1.')
  return value
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
}

/** One character, or an escape of C: \n, \0, \x2c, \054. */
function delimiter(text: string): string {
  if ([...text].length === 1) return text
  const escaped = text.startsWith('\\') ? text.slice(1) : ''
  const simple = ESCAPES[escaped]
  if (simple !== undefined) return simple
  if (/^x[0-9a-fA-F]{1,2}$/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
  if (/^[0-7]{1,3}$/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped, 8))
  throw new InvalidArgumentError('It must be one character, or an escape such as \\n, \\0 or \\x2c.')
}
