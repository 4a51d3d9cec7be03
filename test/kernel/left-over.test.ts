/**
 * What a call leaves in the memory that all threads share: nothing.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import {
  boot,
  GFP_ATOMIC,
  type Kernel,
  Keyring,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
} from '../../src/index.js'
import { Interned, Memory } from '../../src/kernel/memory.js'
import { eventually } from '../helpers/resources.js'
import { inThreadHelper, temporary } from '../helpers/temporary.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
const LONG = 100_000
const E2BIG = -7

const marker = (): string => randomBytes(12).toString('hex')

/** Environments go with the next turn of the event loop. */
const turn = () => new Promise(setImmediate)

const found = (kernel: Kernel, text: string): boolean => Buffer.from(kernel.handle.memory).includes(text)

/** A test of `act`, which is given a text; afterwards no byte of shared memory tells it. */
function leavesNothing(
  name: string,
  act: (kernel: Kernel, mark: string) => unknown,
  launchers: readonly ('posix_spawn' | 'child_process')[] = ['posix_spawn'],
): void {
  for (const launcher of launchers) {
    test(`${name} (${launcher})`, async () => {
      await using kernel = boot({ khelpers: 1, descriptors: 64, launcher })
      const mark = marker()
      await act(kernel, mark)
      await turn()
      await turn()
      assert.equal(found(kernel, mark), false)
    })
  }
}

leavesNothing(
  'a program: arguments, environment, folder, PATH, files and input',
  async (kernel, mark) => {
    const folder = join(temporary('left-over'), mark)
    mkdirSync(folder, { recursive: true })
    const running = kernel.run('sh', ['-c', 'cat; sleep 0.2', mark], {
      argv0: mark,
      cwd: folder,
      env: { PATH: `/bin:/${mark}`, SECRET: mark },
      input: mark,
      stderr: { file: join(folder, mark) },
    })
    await turn()
    assert.equal(found(kernel, mark), true, 'while it runs it is there')
    assert.equal((await running).stdout, mark)
  },
  ['posix_spawn', 'child_process'],
)

leavesNothing(
  'a program that cannot be started',
  async (kernel, mark) => {
    const { code } = await kernel.run(`/no/such/${mark}`, [mark], { env: { mark } }).catch(error => error)
    assert.equal(code, 'ENOENT')
  },
  ['posix_spawn', 'child_process'],
)

leavesNothing('short arguments before a long one, and an environment on pages', async (kernel, mark) => {
  const { stdout } = await kernel.run('sh', ['-c', 'echo $#', mark, mark, mark.repeat(LONG / mark.length)], {
    env: { PATH: '/bin:/usr/bin', LONG: mark.repeat(LONG / mark.length) },
  })
  assert.equal(stdout, '2\n')
  const argv = ['x', mark, mark.repeat(LONG / mark.length)]
  assert.equal(await kernel.callUsermodehelper('/bin/true', argv, [`A=${mark}`], UMH_WAIT_PROC), 0)
})

leavesNothing('a program that is killed', async (kernel, mark) => {
  const { timedOut } = await kernel.run('sleep', ['60'], {
    env: { PATH: '/bin:/usr/bin', mark },
    argv0: mark,
    timeout: 50,
    reject: false,
  })
  assert.equal(timedOut, true)
})

leavesNothing(
  'a call that is withdrawn before a khelper has it, although none has found it yet',
  async (kernel, mark) => {
    const controller = new AbortController()
    const { signal } = controller
    const short = kernel.run('true', [mark], { env: { mark }, signal, reject: false })
    const long = kernel.run('true', [mark.repeat(LONG / mark.length)], {
      env: { mark },
      signal,
      reject: false,
    })
    // The khelper is not up yet.
    assert.equal(kernel.stats().queued, 2)
    assert.equal(found(kernel, mark), true)
    controller.abort()
    await turn()
    assert.equal(kernel.stats().queued, 2)
    assert.equal(found(kernel, mark), false)
    assert.equal((await short).aborted && (await long).aborted, true)
  },
)

leavesNothing('each wait mode, each form of a call', async (kernel, mark) => {
  const argv = ['sh', '-c', 'exit 0', mark]
  const envp = [`MARK=${mark}`]
  for (const wait of [UMH_WAIT_PROC, UMH_WAIT_EXEC, UMH_NO_WAIT] as const) {
    await kernel.callUsermodehelper('/bin/sh', argv, envp, wait)
    kernel.callUsermodehelperSync('/bin/sh', argv, envp, wait)
    const info = kernel.callUsermodehelperSetup('/bin/sh', argv, envp, GFP_ATOMIC)
    assert.ok(info !== null)
    await kernel.callUsermodehelperExec(info, wait)
  }
  await kernel.callUsermodehelperKeys('/bin/sh', argv, envp, new Keyring({ mark }), UMH_WAIT_PROC)
  await eventually(
    'every descriptor is back',
    () => kernel.stats().descriptors.available === kernel.stats().descriptors.capacity,
  )
})

leavesNothing('calls that are refused, freed or dropped', async (kernel, mark) => {
  const envp = [`MARK=${mark}`]
  assert.equal(
    await kernel.callUsermodehelper('/bin/true', ['x', mark.repeat(400_000)], envp, UMH_WAIT_PROC),
    E2BIG,
  )
  await assert.rejects(kernel.callUsermodehelper('/bin/true', ['x', mark, 5 as never], envp, UMH_WAIT_PROC))
  await assert.rejects(kernel.callUsermodehelper('/bin/true', [mark, '\0'], envp, UMH_WAIT_PROC))
  const freed = kernel.callUsermodehelperSetup('/bin/true', ['x', mark], envp, GFP_ATOMIC)
  assert.ok(freed !== null)
  kernel.callUsermodehelperFreeinfo(freed)
  const init = () => -1
  const refused = kernel.callUsermodehelperSetup('/bin/true', ['x', mark], envp, GFP_ATOMIC, { init })
  assert.ok(refused !== null)
  assert.equal(await kernel.callUsermodehelperExec(refused, UMH_WAIT_PROC), -1)
  const dropped = kernel.callUsermodehelperSetup('/bin/true', ['x', mark], envp, GFP_ATOMIC)
  assert.ok(dropped !== null)
  assert.equal(found(kernel, mark), true)
  await kernel.shutdown()
})

/** Looks for a text that it is given backwards, in all the memory that its thread shares. */
const SEARCHER = `
  import { workerData } from 'node:worker_threads'
  export default ([, backwards]) => {
    const text = [...backwards].reverse().join('')
    return Buffer.from(workerData.buffer).includes(text) ? 1 : 0
  }`

test('an in-thread helper finds what a call that runs was given, and nothing of one that has ended', async () => {
  await using kernel = boot({ khelpers: 2, descriptors: 64 })
  const searcher = new URL(inThreadHelper(SEARCHER))
  const mark = marker()
  const search = async () => {
    const backwards = [...mark].reverse().join('')
    return (await kernel.run(searcher, [backwards], { reject: false })).exitCode
  }
  const running = kernel.run('sleep', ['60'], { env: { PATH: '/bin:/usr/bin', mark }, reject: false })
  assert.equal(await search(), 1)
  running.kill()
  await running
  await turn()
  assert.equal(await search(), 0)
})

test('environments of in-thread helpers go as well, and those of calls that follow each other are written once', async () => {
  await using kernel = boot({ khelpers: 1, descriptors: 64 })
  const noop = inThreadHelper('export default () => 0')
  const mark = marker()
  const memory = Memory.attach(kernel.handle.memory)
  const written = (): number => {
    let generations = 0
    for (let id = 0; id < memory.interned.capacity; id += 1) {
      generations += memory.words[memory.internedRow(id) + Interned.GENERATION] ?? 0
    }
    return generations
  }
  const call = () => kernel.callUsermodehelper(noop, ['noop', mark], [`A=${mark}`], UMH_WAIT_PROC)
  await call()
  await turn()
  await turn()
  assert.equal(found(kernel, mark), false)
  const before = written()
  for (let calls = 0; calls < 100; calls += 1) await call()
  assert.equal(written(), before + 1)
  await turn()
  await turn()
  assert.equal(found(kernel, mark), false)
})

test('a thread that blocks and never turns keeps few environments, and none when it turns', async () => {
  await using kernel = boot({ khelpers: 1, descriptors: 64 })
  const mark = marker()
  for (let call = 0; call < 40; call += 1) {
    kernel.callUsermodehelperSync('/bin/true', ['true'], [`A=${mark}${call}`], UMH_WAIT_PROC)
  }
  const memory = Memory.attach(kernel.handle.memory)
  assert.ok(memory.interned.capacity - memory.interned.available < 16)
  await turn()
  assert.equal(found(kernel, mark), false)
})

test('a dead thread’s calls: set up, and in flight', async () => {
  await using kernel = boot({ khelpers: 1, descriptors: 64 })
  const mark = marker()
  const worker = new Worker(
    `const { workerData: { handle, mark }, parentPort } = require('node:worker_threads')
     import('${INDEX}').then(({ attach, GFP_ATOMIC }) => {
       const kernel = attach(handle)
       const envp = ['MARK=' + mark]
       kernel.callUsermodehelperSetup('/bin/true', ['x', mark], envp, GFP_ATOMIC)
       kernel.callUsermodehelperSetup('/bin/true', ['x', mark.repeat(1000)], envp, GFP_ATOMIC)
       kernel.run('sleep', ['0.2'], { argv0: mark, env: { PATH: '/bin:/usr/bin', mark } }).catch(() => {})
       parentPort.postMessage('set up')
       setInterval(() => {}, 1000)
     })`,
    { eval: true, workerData: { handle: kernel.handle, mark } },
  )
  await once(worker, 'message')
  assert.equal(found(kernel, mark), true)
  await worker.terminate()
  // Somebody's call has this thread look for the dead.
  const alive = kernel.run('sleep', ['60'], { reject: false })
  await eventually('its calls are wiped', () => !found(kernel, mark))
  alive.kill()
  await alive
})
