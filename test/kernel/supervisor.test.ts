import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { boot, UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../src/index.js'
import { Control, Memory } from '../../src/kernel/memory.js'
import { eventually } from '../helpers/resources.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
const folder = mkdtempSync(join(tmpdir(), 'khelper-supervisor-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** A helper that holds its thread until the first word of the memory it is sent is set. */
const holding = join(folder, 'holding.mjs')
writeFileSync(
  holding,
  `import { existsSync } from 'node:fs'
   export default argv => {
     const nothing = new Int32Array(new SharedArrayBuffer(4))
     while (!existsSync(argv[1])) Atomics.wait(nothing, 0, 0, 10)
   }`,
)
const HOLDING = pathToFileURL(holding).href

test('by default one khelper starts at once, and another when calls wait', async () => {
  await using kernel = boot()
  assert.equal(kernel.stats().khelpers, 1)
  await kernel.ready
  assert.equal(kernel.stats().khelpers, 1)
  const release = join(folder, 'release-1')
  const calls = Array.from({ length: 2 }, () =>
    kernel.callUsermodehelper(HOLDING, ['holding', release], [], UMH_WAIT_PROC),
  )
  await eventually('a second khelper', () => kernel.stats().khelpers > 1)
  writeFileSync(release, '')
  assert.deepEqual(await Promise.all(calls), [0, 0])
})

test('those that are asked for start at once', async () => {
  await using kernel = boot({ khelpers: 3 })
  assert.equal(kernel.stats().khelpers, 3)
  await kernel.ready
})

test('calls of an attached thread that wait bring another khelper, although the kernel’s thread is idle', async () => {
  await using kernel = boot()
  const release = join(folder, 'release-2')
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import('${INDEX}').then(async ({ attach }) => {
       const kernel = attach(workerData.handle)
       const call = () => kernel.callUsermodehelper(workerData.helper, ['holding', workerData.release], [], 2)
       parentPort.postMessage(await Promise.all([call(), call()]))
       await kernel.shutdown()
     })`,
    { eval: true, workerData: { handle: kernel.handle, helper: HOLDING, release } },
  )
  const answer = once(worker, 'message')
  const exit = once(worker, 'exit')
  await eventually('a second khelper', () => kernel.stats().khelpers > 1)
  writeFileSync(release, '')
  assert.deepEqual((await answer)[0], [0, 0])
  await exit
})

test('in-thread helpers that hold every thread hold no program up, and those that wait have their turn', async () => {
  await using kernel = boot({ khelpers: 1 })
  const release = join(folder, 'release-3')
  const calls = Array.from({ length: 40 }, () =>
    kernel.callUsermodehelper(HOLDING, ['holding', release], [], UMH_WAIT_PROC),
  )
  for (let time = 0; time < 3; time += 1) assert.equal((await kernel.run('true')).exitCode, 0)
  assert.equal(kernel.stats().queued, 40 - 32)
  writeFileSync(release, '')
  assert.deepEqual(new Set(await Promise.all(calls)), new Set([0]))
})

test('a thread that is held by an in-thread helper that nobody waits for is taken for held', async () => {
  await using kernel = boot({ khelpers: 1 })
  const release = join(folder, 'release-4')
  for (let time = 0; time < 2; time += 1) {
    await kernel.callUsermodehelper(HOLDING, ['holding', release], [], UMH_WAIT_EXEC)
  }
  assert.equal((await kernel.run('true')).exitCode, 0)
  writeFileSync(release, '')
})

test('never more than the machine runs at once stay', { skip: availableParallelism() > 16 }, async () => {
  await using kernel = boot()
  const many = Array.from({ length: 500 }, () => kernel.run('true'))
  await Promise.all(many)
  assert.ok(kernel.stats().khelpers <= availableParallelism())
})

test('a shutdown ends no thread while one loads native code, which would end the process', async () => {
  const kernel = boot({ khelpers: 1 })
  const memory = Memory.attach(kernel.handle.memory)
  const loading = memory.control(Control.LOADING)
  await kernel.callUsermodehelper(HOLDING, ['holding', join(folder, 'never')], [], UMH_WAIT_EXEC)
  Atomics.add(memory.words, loading, 1)
  let over = false
  const shutdown = kernel.shutdown().then(() => {
    over = true
  })
  // Longer than a thread is given to leave by itself.
  await sleep(1_500)
  assert.equal(over, false)
  Atomics.sub(memory.words, loading, 1)
  await shutdown
})
