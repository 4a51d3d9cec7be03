/**
 * What bad input gets: a clear error at once, and nothing is left behind.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, afterEach, beforeEach, test } from 'node:test'
import { boot, GFP_ATOMIC, GFP_KERNEL, UMH_WAIT_PROC } from '../../src/index.js'
import { errno } from '../../src/libc/index.js'
import { eventually, openFds, threads } from '../helpers/resources.js'
import { write } from '../helpers/temporary.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
const kernel = boot({ khelpers: 2 })
after(() => kernel.shutdown())

// Threads and what they open at their first call are there before anything is counted.
await Promise.all(Array.from({ length: 100 }, () => kernel.run('true')))
let fds = 0
let tasks = 0
beforeEach(() => {
  fds = openFds()
  tasks = threads()
})

afterEach(async () => {
  const { descriptors, inFlight, running, queued } = kernel.stats()
  assert.deepEqual(
    { used: descriptors.capacity - descriptors.available, inFlight, running, queued },
    { used: 0, inFlight: 0, running: 0, queued: 0 },
  )
  await eventually('every descriptor is closed', () => openFds() <= fds)
  await eventually('every thread has gone', () => threads() <= tasks)
})

const TYPE = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
const VALUE = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
const RANGE = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }

type Setup = (...args: unknown[]) => unknown
const setup: Setup = (...args) => (kernel.callUsermodehelperSetup as Setup).call(kernel, ...args)

for (const [situation, args, error] of [
  ['a path that is a number', [7, [], [], GFP_ATOMIC], TYPE],
  ['a path that is undefined', [undefined, [], [], GFP_ATOMIC], TYPE],
  ['a NUL in the path', ['/bin/\0true', ['x'], [], GFP_ATOMIC], VALUE],
  ['argv that is a string', ['/bin/true', 'true', [], GFP_ATOMIC], TYPE],
  ['an argument that is a number', ['/bin/true', ['x', 1], [], GFP_ATOMIC], TYPE],
  ['a hole in argv', ['/bin/true', new Array(2), [], GFP_ATOMIC], TYPE],
  ['a NUL in argv', ['/bin/true', ['x\0y'], [], GFP_ATOMIC], VALUE],
  ['envp that is a number', ['/bin/true', ['x'], 1, GFP_ATOMIC], TYPE],
  ['an envp entry that is a number', ['/bin/true', ['x'], [1], GFP_ATOMIC], TYPE],
  ['an envp entry without =', ['/bin/true', ['x'], ['PATH'], GFP_ATOMIC], VALUE],
  ['an envp entry without a name', ['/bin/true', ['x'], ['=x'], GFP_ATOMIC], VALUE],
  ['a NUL in envp', ['/bin/true', ['x'], ['A=b\0c'], GFP_ATOMIC], VALUE],
  ['a GFP flag that does not exist', ['/bin/true', ['x'], [], 'GFP_USER'], TYPE],
  ['an init that is no function', ['/bin/true', ['x'], [], GFP_ATOMIC, { init: 1 }], TYPE],
  ['a cleanup that is no function', ['/bin/true', ['x'], [], GFP_ATOMIC, { cleanup: {} }], TYPE],
] as const) {
  test(`setup with ${situation}: ${error.code}, nothing taken`, () => {
    assert.throws(() => setup(...(args as readonly unknown[])), error)
  })
}

test('GFP_KERNEL with a bad environment rejects, and frees what it had', async () => {
  await assert.rejects(async () => setup('/bin/true', ['x'], ['PATH'], GFP_KERNEL), VALUE)
})

test('an error about an environment variable names it, and never shows its value', () => {
  assert.throws(
    () => setup('/bin/true', ['x'], ['TOKEN=hunter2\0'], GFP_ATOMIC),
    (error: Error) => /TOKEN/.test(error.message) && !/hunter2/.test(error.message),
  )
  assert.throws(
    () => setup('/bin/true', ['x'], ['hunter2'], GFP_ATOMIC),
    (error: Error) => /envp\[0\]/.test(error.message) && !/hunter2/.test(error.message),
  )
})

for (const wait of [3, -1, 16, 7, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
  test(`wait mode ${wait} does not exist: ERR_OUT_OF_RANGE, and the call can still be executed`, async () => {
    const info = kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
    assert.ok(info)
    await assert.rejects(kernel.callUsermodehelperExec(info, wait), RANGE)
    assert.throws(() => kernel.callUsermodehelperExecSync(info, wait), RANGE)
    assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), 0)
  })
}

test('the same SubprocessInfo twice: ERR_KHELPER_INFO_USED, while it runs and after', async () => {
  const info = kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
  assert.ok(info)
  const first = kernel.callUsermodehelperExec(info, UMH_WAIT_PROC)
  await assert.rejects(kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), { code: 'ERR_KHELPER_INFO_USED' })
  assert.equal(await first, 0)
  await assert.rejects(kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), { code: 'ERR_KHELPER_INFO_USED' })
  assert.throws(() => kernel.callUsermodehelperSetcleanup(info, () => {}), { code: 'ERR_KHELPER_INFO_USED' })
})

test('a SubprocessInfo of another kernel is refused', async () => {
  await using other = boot({ khelpers: 1 })
  const info = other.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
  assert.ok(info)
  await assert.rejects(kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), { code: 'ERR_KHELPER_INFO_USED' })
  await assert.rejects(kernel.callUsermodehelperExec({} as never, UMH_WAIT_PROC), TYPE)
  await other.shutdown()
})

type Run = (...args: unknown[]) => unknown
const run: Run = (...args) => (kernel.run as Run).call(kernel, ...args)

for (const [situation, args, error] of [
  ['no program', [], TYPE],
  ['an empty program', [''], VALUE],
  ['a NUL in the program', ['tr\0ue'], VALUE],
  ['args that are a string', ['true', 'x'], TYPE],
  ['a NUL in args', ['true', ['\0']], VALUE],
  ['options that are null', ['true', [], null], TYPE],
  ['cwd that is a number', ['true', [], { cwd: 1 }], TYPE],
  ['an empty cwd', ['true', [], { cwd: '' }], VALUE],
  ['stdin that does not exist', ['true', [], { stdin: 'capture' }], TYPE],
  ['stdout that does not exist', ['true', [], { stdout: 'tty' }], TYPE],
  ['a descriptor below 0', ['true', [], { stdout: -1 }], RANGE],
  ['a file with a NUL', ['true', [], { stdout: { file: 'a\0b' } }], VALUE],
  ['input and stdin', ['true', [], { input: 'x', stdin: 'pipe' }], VALUE],
  ['input that is a number', ['true', [], { input: 1 }], TYPE],
  ['an encoding that does not exist', ['true', [], { encoding: 'utf9' }], TYPE],
  ['maxOutput below 0', ['true', [], { maxOutput: -1 }], RANGE],
  ['a timeout that is no number', ['true', [], { timeout: '1' }], TYPE],
  ['a timeout beyond what timers take', ['true', [], { timeout: 2 ** 31 }], RANGE],
  ['a signal that does not exist', ['true', [], { killSignal: 'SIGNOPE' }], VALUE],
  ['a signal number out of range', ['true', [], { killSignal: 65 }], RANGE],
  ['a signal that is no AbortSignal', ['true', [], { signal: {} }], TYPE],
  ['detached that is no boolean', ['true', [], { detached: 1 }], TYPE],
  ['a wait mode that does not exist', ['true', [], { wait: 3 }], RANGE],
  ['capture without waiting for the process', ['true', [], { wait: 1, stdout: 'capture' }], VALUE],
] as const) {
  test(`run with ${situation}: ${error.code}`, () => {
    assert.throws(() => run(...(args as readonly unknown[])), error)
  })
}

test('run with an environment entry without =: rejected', async () => {
  await assert.rejects(kernel.run('/bin/true', [], { env: ['PATH'] }), VALUE)
})

test('a descriptor that is not open: EBADF', async () => {
  await assert.rejects(kernel.run('true', [], { stdout: 12345 }), { code: 'EBADF' })
})

test('a single argument of 128 KiB - 1 works, one byte more is E2BIG', async () => {
  const longest = 'x'.repeat(128 * 1024 - 1)
  assert.equal((await kernel.run('/bin/echo', ['-n', longest])).stdout, longest)
  await assert.rejects(kernel.run('/bin/echo', ['-n', `${longest}x`]), { code: 'E2BIG' })
  assert.equal(
    await kernel.callUsermodehelper('/bin/true', ['true', `${longest}x`], [], UMH_WAIT_PROC),
    -errno('E2BIG'),
  )
})

test('arguments just below the system’s limit work; beyond it E2BIG, however far', async () => {
  const argument = 'x'.repeat(100 * 1024)
  const env = { PATH: '/bin' }
  const { stdout } = await kernel.run('/bin/sh', ['-c', 'echo $#', 'sh', ...Array(19).fill(argument)], {
    env,
  })
  assert.equal(stdout, '19\n')
  await assert.rejects(kernel.run('/bin/true', Array(30).fill(argument), { env }), { code: 'E2BIG' })
  await assert.rejects(kernel.run('/bin/true', Array(200).fill(argument), { env }), { code: 'E2BIG' })
  await assert.rejects(kernel.run('/bin/true', [], { env: { A: 'x'.repeat(3_000_000) } }), { code: 'E2BIG' })
})

test('calls after shutdown: ERR_KHELPER_SHUT_DOWN; what was set up has had its cleanup', async () => {
  const other = boot({ khelpers: 1 })
  let cleanups = 0
  const info = other.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC, {
    cleanup: () => {
      cleanups += 1
    },
  })
  assert.ok(info)
  await other.shutdown()
  assert.equal(cleanups, 1)
  const shutDown = { code: 'ERR_KHELPER_SHUT_DOWN' }
  assert.throws(() => other.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC), shutDown)
  await assert.rejects(other.callUsermodehelperExec(info, UMH_WAIT_PROC), shutDown)
  assert.throws(() => other.callUsermodehelperExecSync(info, UMH_WAIT_PROC), shutDown)
  await assert.rejects(other.callUsermodehelper('/bin/true', ['true'], [], UMH_WAIT_PROC), shutDown)
  await assert.rejects(other.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_KERNEL), shutDown)
  await other.shutdown()
})

for (const stdin of ['ignore', 'pipe'] as const) {
  test(`run after shutdown, with stdin '${stdin}': rejects, with no thread started and nothing to signal`, async () => {
    const other = boot({ khelpers: 1 })
    await other.shutdown()
    let started = 0
    const count = () => {
      started += 1
    }
    process.on('worker', count)
    for (const reject of [true, false]) {
      const helper = other.run('true', [], { stdin, reject })
      assert.deepEqual([helper.pid, helper.stdin, helper.kill()], [undefined, null, false])
      await assert.rejects(helper, { code: 'ERR_KHELPER_SHUT_DOWN' })
    }
    assert.throws(() => other.run('true', [], { stdin: 'none' as never }), TYPE)
    // Threads are told of in a tick of their own.
    await new Promise(setImmediate)
    process.off('worker', count)
    assert.equal(started, 0)
  })
}

for (const [situation, options, error] of [
  ['khelpers 0', { khelpers: 0 }, RANGE],
  ['khelpers that is no number', { khelpers: '2' }, TYPE],
  ['descriptors out of range', { descriptors: 2 ** 21 }, RANGE],
  ['a launcher that does not exist', { launcher: 'fork' }, TYPE],
  ['options that are null', null, TYPE],
] as const) {
  test(`boot with ${situation}: ${error.code}, no thread started`, () => {
    assert.throws(() => boot(options as never), error)
  })
}

/** Runs a script in a process of its own, under a limit set by the shell. */
function limited(limit: string, script: string): string {
  const file = write('limited.mjs', `import { boot } from '${INDEX}'\n${script}`)
  const { stdout, stderr } = spawnSync(
    '/bin/sh',
    ['-c', `${limit}; exec "$0" "$1"`, process.execPath, file],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  )
  return stdout + stderr
}

test('no descriptor left: EMFILE, and the kernel goes on when there is one again', () => {
  const output = limited(
    'ulimit -n 200',
    `import { closeSync, openSync } from 'node:fs'
     const kernel = boot({ khelpers: 1 })
     await kernel.run('true')
     const taken = []
     try { for (;;) taken.push(openSync('/dev/null')) } catch {}
     console.log((await kernel.run('/bin/true', [], { reject: false, stdin: 'pipe' }).catch(e => e)).retval)
     console.log((await kernel.run('/bin/echo', ['x'], { reject: false })).retval)
     for (const fd of taken) closeSync(fd)
     console.log((await kernel.run('/bin/echo', ['works again'])).stdout)
     await kernel.shutdown()`,
  )
  assert.equal(output, `${-errno('EMFILE')}\n${-errno('EMFILE')}\nworks again\n\n`)
})

test('no process left: EAGAIN, and the kernel goes on when there is one again', {
  skip: process.getuid?.() !== 0 && 'needs another user',
}, () => {
  const output = limited(
    ':',
    `const kernel = boot({ khelpers: 1 })
     await kernel.ready
     await kernel.run('true')
     const { execFileSync } = await import('node:child_process')
     const limit = n => execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=' + n])
     process.setgid(65534); 
     process.setuid(61234)
     limit('1')
     console.log((await kernel.run('/bin/true', [], { reject: false })).retval)
     await kernel.shutdown()`,
  )
  assert.match(output, new RegExp(`^${-errno('EAGAIN')}$`, 'm'))
})
