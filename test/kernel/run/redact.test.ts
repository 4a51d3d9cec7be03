/**
 * Errors that do not show what they were told to keep to themselves.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { boot, HelperError, Keyring, type RunOptions } from '../../../src/index.js'
import { redacted } from '../../../src/kernel/redaction.js'
import { inThreadHelper, temporary } from '../../helpers/temporary.js'

const SECRET = 'hunter2-correct-horse'

async function failure(file: string | URL, args: string[], options: RunOptions): Promise<HelperError> {
  await using kernel = boot({ khelpers: 1 })
  const error: unknown = await kernel.run(file, args, options).catch((error: unknown) => error)
  assert.ok(error instanceof HelperError)
  return error
}

/** In all the ways in which an error is shown. */
function showsNothing(error: Error, secret = SECRET): void {
  const ways = {
    message: error.message,
    stack: error.stack ?? '',
    json: JSON.stringify(error),
    inspected: inspect(error, { depth: null, showHidden: true }),
    text: String(error),
  }
  for (const [way, shown] of Object.entries(ways)) assert.ok(!shown.includes(secret), `${way}: ${shown}`)
}

test('argv, message and path: each occurrence', async () => {
  const redact = [SECRET]
  const exited = await failure('sh', ['-c', 'exit 3', `--token=${SECRET},${SECRET}`], { redact })
  showsNothing(exited)
  assert.deepEqual(exited.argv, ['sh', '-c', 'exit 3', '--token=[redacted],[redacted]'])
  assert.equal(exited.exitCode, 3)
  const absent = await failure(`/no/such/${SECRET}`, [], { redact })
  showsNothing(absent)
  assert.equal(absent.message, 'ENOENT: no such program: /no/such/[redacted]')
  assert.equal(absent.path, '/no/such/[redacted]')
})

test('the working directory, and argv0 in each kind of message', async () => {
  const redact = [SECRET]
  const cwd = join(temporary('redact'), SECRET)
  const entered = await failure('true', [], { cwd, redact })
  showsNothing(entered)
  assert.equal(entered.syscall, 'chdir')
  mkdirSync(cwd, { recursive: true })
  const argv0 = `x ${SECRET}`
  const controller = new AbortController()
  controller.abort()
  for (const [script, options] of [
    ['exit 1', {}],
    ['kill -9 $$', {}],
    ['sleep 60', { timeout: 30 }],
    ['yes', { maxOutput: 10 }],
    ['true', { signal: controller.signal }],
  ] as const) {
    const error = await failure('/bin/sh', ['-c', script], {
      cwd,
      argv0,
      redact,
      ...options,
      encoding: 'utf8',
    })
    showsNothing(error)
    assert.match(error.message, /x \[redacted\]/)
  }
})

test('what an in-thread helper that cannot be imported says', async () => {
  const helper = inThreadHelper(`throw new Error('${SECRET}')`)
  const error = await failure(new URL(helper), [SECRET], { redact: [SECRET], stderr: 'ignore' })
  showsNothing(error)
  const shown = await failure(new URL(helper), [SECRET], { redact: [SECRET] })
  assert.ok(!shown.message.includes(SECRET) && !shown.stack?.includes(SECRET))
  assert.match(String(shown.stderr), new RegExp(SECRET), 'output is the helper’s own')
})

test('limits with the launcher child_process: what cannot be started is told at the door', async () => {
  await using kernel = boot({ launcher: 'child_process' })
  const options = { rlimits: { core: 0 }, redact: [SECRET] }
  try {
    kernel.run(`/no/such/${SECRET}`, [], options)
    assert.fail('it was started')
  } catch (error) {
    assert.ok(error instanceof Error && 'path' in error)
    showsNothing(error)
    assert.equal(error.path, '/no/such/[redacted]')
  }
})

test('a file that cannot be opened', async () => {
  const error = await failure('true', [], {
    stdout: { file: `/no/such/${SECRET}` },
    redact: [SECRET],
  })
  showsNothing(error)
  assert.match(error.message, /cannot open \/no\/such\/\[redacted\] for its stdout/)
})

test('secrets of keys, without being asked', async () => {
  const keys = new Keyring({
    token: SECRET,
    file: `${SECRET}-of-a-file\n`,
    short: 'ab',
    binary: Buffer.from('ffff0000', 'hex'),
  })
  const error = await failure('sh', ['-c', 'exit 1', SECRET, `a:${SECRET}-of-a-file`, 'ab', '\u{fffd}'], {
    keys,
  })
  showsNothing(error)
  assert.deepEqual(error.argv, ['sh', '-c', 'exit 1', '[redacted]', 'a:[redacted]', 'ab', '\u{fffd}'])
})

test('secrets that are removed from the keyring before the error', async () => {
  await using kernel = boot({ khelpers: 1 })
  const keys = new Keyring({ token: SECRET })
  const running = kernel.run('sh', ['-c', 'exit 1', SECRET], { keys })
  keys.remove('token')
  const error: unknown = await running.catch((error: unknown) => error)
  assert.ok(error instanceof HelperError)
  showsNothing(error)
})

test('results are as they are; so are errors of calls without redact', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal((await kernel.run('echo', [SECRET], { redact: [SECRET] })).stdout, `${SECRET}\n`)
  assert.deepEqual((await failure('false', [SECRET], {})).argv, ['false', SECRET])
})

test('what is no list of texts is refused, and never shown', async () => {
  await using kernel = boot({ khelpers: 1 })
  for (const [redact, code] of [
    [SECRET, 'ERR_INVALID_ARG_TYPE'],
    [[SECRET, Number.MAX_SAFE_INTEGER], 'ERR_INVALID_ARG_TYPE'],
    [[SECRET, ''], 'ERR_INVALID_ARG_VALUE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [new RegExp(SECRET), 'ERR_INVALID_ARG_TYPE'],
  ] as const) {
    try {
      kernel.run('true', [], { redact: redact as never })
      assert.fail('it was taken')
    } catch (error) {
      assert.ok(error instanceof TypeError && 'code' in error)
      assert.equal(error.code, code)
      showsNothing(error)
      showsNothing(error, String(Number.MAX_SAFE_INTEGER))
    }
  }
})

test('texts that overlap, contain each other or themselves', () => {
  assert.equal(redacted('abcd', ['abc', 'bcd']), '[redacted]')
  assert.equal(redacted('xabcdx', ['bc', 'abcd']), 'x[redacted]x')
  assert.equal(redacted('aaa b', ['aa']), '[redacted] b')
  assert.equal(redacted('ab ab', ['ab']), '[redacted] [redacted]')
  assert.equal(redacted('$& ab', ['ab', 'none']), '$& [redacted]')
  assert.equal(redacted('', ['ab']), '')
  assert.equal(redacted('[redacted]', ['redacted']), '[[redacted]]')
})
