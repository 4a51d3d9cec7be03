import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { attach, boot } from '../../src/index.js'
import { eventually } from '../helpers/resources.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href

/** A thread that attaches; `source` is an async function's body with `kernel`, and what it returns is posted. */
const thread = (handle: unknown, source: string): Worker =>
  new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import('${INDEX}').then(async khelper => {
       const kernel = khelper.attach(workerData)
       parentPort.postMessage(await (async () => { ${source} })())
       await kernel.shutdown()
     })`,
    { eval: true, workerData: handle },
  )

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  test(`launcher ${launcher}: an attached thread runs helpers, awaiting and blocking, with all of run`, async () => {
    await using kernel = boot({ khelpers: 2, launcher })
    const worker = thread(
      kernel.handle,
      `const sh = (script, wait) => kernel.callUsermodehelper('/bin/sh', ['sh', '-c', script], ['PATH=/bin'], wait)
       return [
         await sh('exit 1', 2), await sh('exit 1', 1), await sh('exit 1', 0),
         kernel.callUsermodehelperSync('/bin/sh', ['sh', '-c', 'exit 2'], [], 2),
         (await kernel.run('echo', ['hello'])).stdout,
         (await kernel.run('cat', [], { input: 'x'.repeat(200000) })).stdout.length,
         (await kernel.run('sleep', ['60'], { timeout: 20, reject: false })).signalCode,
         (await kernel.run('/no/such', [], { reject: false })).retval,
       ]`,
    )
    const exit = once(worker, 'exit')
    const [results] = await once(worker, 'message')
    assert.deepEqual(results, [256, 0, 0, 512, 'hello\n', 200_000, 'SIGTERM', -2])
    await exit
    assert.equal(kernel.stats().descriptors.available, kernel.stats().descriptors.capacity)
  })
}

test('an attached thread needs nothing of a kernel thread that is busy', async () => {
  await using kernel = boot({ khelpers: 1 })
  await kernel.ready
  const flag = new Int32Array(new SharedArrayBuffer(4))
  const { handle } = kernel
  const worker = new Worker(
    `const { workerData: { handle, flag } } = require('node:worker_threads')
     import('${INDEX}').then(async ({ attach }) => {
       const kernel = attach(handle)
       for (let call = 0; call < 20; call += 1) await kernel.run('true')
       await kernel.shutdown()
       Atomics.store(flag, 0, 1)
     })`,
    { eval: true, workerData: { handle, flag } },
  )
  // The worker's own start needs this thread's event loop; its calls do not.
  const exit = once(worker, 'exit')
  await once(worker, 'online')
  const deadline = Date.now() + 30_000
  while (Atomics.load(flag, 0) === 0 && Date.now() < deadline);
  assert.equal(flag[0], 1)
  await exit
})

test('an attached thread kills an in-thread helper of its own', async () => {
  await using kernel = boot({ khelpers: 1 })
  const worker = thread(
    kernel.handle,
    `const { writeFileSync, mkdtempSync } = require('node:fs')
     const folder = mkdtempSync('/tmp/khelper-test-')
     writeFileSync(folder + '/endless.mjs', 'export default () => { for (;;); }')
     const result = await kernel.run('file://' + folder + '/endless.mjs', [], { timeout: 50, reject: false })
     require('node:fs').rmSync(folder, { recursive: true })
     return result.signalCode`,
  )
  const exit = once(worker, 'exit')
  assert.deepEqual(await once(worker, 'message'), ['SIGTERM'])
  await exit
})

test('several threads at once: every call ends, every descriptor comes back', async () => {
  await using kernel = boot({ khelpers: 2, descriptors: 64 })
  const { handle } = kernel
  const workers = [1, 2, 3].map(() =>
    thread(
      handle,
      `const calls = Array.from({ length: 150 }, (_, n) => kernel.callUsermodehelper('/bin/sh', ['sh', '-c', 'exit ' + n % 3], [], 2))
       return (await Promise.all(calls)).every((retval, n) => retval === n % 3 * 256)`,
    ),
  )
  const messages = Promise.all(workers.map(worker => once(worker, 'message')))
  const exits = Promise.all(workers.map(worker => once(worker, 'exit')))
  await Promise.all(Array.from({ length: 150 }, () => kernel.run('true')))
  assert.deepEqual(await messages, [[true], [true], [true]])
  await exits
  assert.equal(kernel.stats().descriptors.available, 64)
})

test('a thread that is terminated with calls in flight: its descriptors come back, shutdown does not hang', async () => {
  const kernel = boot({ khelpers: 1 })
  const worker = thread(
    kernel.handle,
    `const calls = []
     for (let n = 0; n < 20; n += 1) calls.push(kernel.callUsermodehelper('/bin/sleep', ['sleep', '0.3'], ['N=' + n], 2))
     kernel.callUsermodehelperSetup('/bin/true', ['true'], [], 'GFP_ATOMIC')
     require('node:worker_threads').parentPort.postMessage('queued')
     await Promise.all(calls)`,
  )
  await once(worker, 'message')
  await worker.terminate()
  // Something in flight of our own, so that the kernel looks.
  const own = kernel.run('sleep', ['2'])
  await eventually('its descriptors are free', () => {
    const { capacity, available } = kernel.stats().descriptors
    return capacity - available <= 1
  })
  await own
  assert.equal(kernel.stats().running, 0)
  await kernel.shutdown()
})

test('what is no handle is refused', () => {
  for (const handle of [undefined, null, {}, { memory: new ArrayBuffer(8) }]) {
    assert.throws(() => attach(handle as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})
