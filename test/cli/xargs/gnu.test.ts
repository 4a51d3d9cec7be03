/**
 * The same items, options and exit codes as GNU xargs, which is asked.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { CommandBuilder } from '../../../src/cli/xargs/commands.js'
import { itemReader, type Separation } from '../../../src/cli/xargs/items.js'
import { khelper } from '../../helpers/command.js'

/** Prints each command line on a line of its own, each word in brackets. */
const SHOW = ['sh', '-c', 'for a in "$@"; do printf "[%s]" "$a"; done; printf "\\n--\\n"', 'sh']
const MAX_CHARS = 128 * 1024

interface Options {
  readonly maxArgs?: number | undefined
  readonly maxLines?: number | undefined
  readonly replace?: boolean | undefined
  readonly maxChars?: number | undefined
  readonly separation: Separation['kind']
  readonly runIfEmpty: boolean
}

function byGnu(input: string, options: Options) {
  const args: string[] = []
  if (options.maxArgs !== undefined) args.push('-n', String(options.maxArgs))
  if (options.maxLines !== undefined) args.push('-L', String(options.maxLines))
  if (options.replace) args.push('-I', '{}')
  if (options.maxChars !== undefined) args.push('-s', String(options.maxChars))
  if (options.separation === 'delimiter') args.push('-d', ',')
  if (!options.runIfEmpty) args.push('-r')
  const initial = options.replace ? [...SHOW, '<{}>', '{}{}'] : SHOW
  const { stdout, status } = spawnSync('/usr/bin/xargs', [...args, ...initial], { input, encoding: 'utf8' })
  return { failed: status === 1, output: stdout }
}

/** The same without a process: command lines as they would be shown. */
function byUs(chunks: readonly string[], options: Options) {
  const initial = options.replace ? [...SHOW, '<{}>', '{}{}'] : SHOW
  const separation: Separation =
    options.separation === 'delimiter'
      ? { kind: 'delimiter', delimiter: ',' }
      : { kind: options.replace ? 'lines' : 'words' }
  let output = ''
  const show = (commands: Iterable<readonly string[]>): void => {
    for (const command of commands) {
      output += `${command
        .slice(SHOW.length)
        .map(word => `[${word}]`)
        .join('')}\n--\n`
    }
  }
  const builder = new CommandBuilder({
    initial,
    maxArgs: options.maxArgs,
    maxLines: options.maxLines,
    replace: options.replace ? '{}' : undefined,
    maxChars: options.maxChars ?? MAX_CHARS,
    exitIfTooLong: options.maxLines !== undefined,
  })
  const reader = itemReader(separation)
  try {
    for (const chunk of chunks) for (const item of reader.push(chunk)) show(builder.push(item))
    for (const item of reader.end()) show(builder.push(item))
    show(builder.end(options.runIfEmpty))
    return { failed: false, output }
  } catch {
    show(builder.pending())
    return { failed: true, output }
  }
}

const text = fc.string({
  unit: fc.constantFrom('a', 'b', 'é', ' ', ' ', '\t', '\n', '\n', "'", '"', '\\', ',', '-', '\v'),
  maxLength: 40,
})
const small = fc.integer({ min: 1, max: 4 })
const grouping: fc.Arbitrary<Partial<Options>> = fc.oneof(
  fc.constant({}),
  fc.record({ maxArgs: small }),
  fc.record({ maxLines: small }),
  fc.constant({ replace: true }),
  fc.record({ maxChars: fc.integer({ min: 90, max: 130 }) }),
  fc.record({ maxChars: fc.integer({ min: 90, max: 130 }), maxArgs: small }),
)
const options: fc.Arbitrary<Options> = fc
  .tuple(grouping, fc.constantFrom<Separation['kind']>('words', 'delimiter'), fc.boolean())
  .map(([group, separation, runIfEmpty]) => ({ ...group, separation, runIfEmpty }))

test('any input and options give the command lines that GNU xargs gives', () => {
  fc.assert(
    fc.property(text, options, (input, options) => {
      assert.deepEqual(byUs([input], options), byGnu(input, options))
    }),
    { numRuns: 600 },
  )
})

test('where the input is cut into chunks makes no difference', () => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), options, (chunks, options) => {
      assert.deepEqual(byUs(chunks, options), byUs([chunks.join('')], options))
    }),
    { numRuns: 500 },
  )
})

const CASES: readonly (readonly [string, string[], string])[] = [
  ['no failure', ['-n1', 'true'], 'a b'],
  ['one exits with 1', ['-n1', 'sh', '-c', 'exit $0'], '0 1 0'],
  ['one exits with 125', ['-n1', 'sh', '-c', 'exit $0'], '125'],
  ['one exits with 255: no further command', ['-n1', 'sh', '-c', 'echo $0; exit $0'], '0 255 0'],
  ['one is killed: no further command', ['-n1', 'sh', '-c', 'echo $0; kill -$0 $$'], '0 9 0'],
  ['a command that does not exist', ['no-such-command'], 'a'],
  ['a command that is no program', ['/etc/passwd'], 'a'],
  ['no input at all', ['echo', 'run'], ''],
  ['no input at all, with -r', ['-r', 'echo', 'run'], ''],
  ['an unmatched quote', ['echo'], "a 'b\n"],
  ['options after the command are the command’s', ['echo', '-n', 'x'], 'a'],
  ['-0', ['-0', '-n1', 'echo'], 'a b\0c\nd\0'],
  ['-d with an escape', ['-d', '\\n', '-n1', 'echo'], 'a b\n"c\n'],
  ['the default command is echo', [], 'a\nb\n'],
  ['-I with a number', ['-I', '%', 'echo', '<%>'], 'a b\n c \n'],
  ['joined short options', ['-n2', '-P1', 'echo'], '1 2 3'],
  ['long options', ['--max-args=2', '--null', 'echo'], '1\x002\x003'],
]

for (const [situation, args, input] of CASES) {
  test(`${situation}: output and exit code as GNU's`, () => {
    const gnu = spawnSync('/usr/bin/xargs', args, { input, encoding: 'utf8' })
    const ours = khelper(['xargs', ...args], input)
    assert.deepEqual({ status: ours.status, stdout: ours.stdout }, { status: gnu.status, stdout: gnu.stdout })
  })
}

test('-t prints each command on standard error, as GNU does', () => {
  const input = 'a "b c"\n'
  const gnu = spawnSync('/usr/bin/xargs', ['-t', 'echo'], { input, encoding: 'utf8' })
  assert.equal(khelper(['xargs', '-t', 'echo'], input).stderr, gnu.stderr)
})
