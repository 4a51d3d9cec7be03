/**
 * Many helpers of every kind from two threads; each call ends once, each cleanup runs once, nothing is left.
 * KHELPER_STRESS_CALLS sets how many.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from '../../src/index.js'
import { eventually, openFds, threads, zombies } from '../helpers/resources.js'

const CALLS = Number(process.env['KHELPER_STRESS_CALLS'] ?? 6_000)
const INDEX = new URL('../../src/index.js', import.meta.url).href

/** One thread's part, as an async function's text: it is run here and in a worker. */
const PART = `async (kernel, khelper, calls, seed) => {
  const { GFP_KERNEL, UMH_KILLABLE, UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC } = khelper
  let state = seed
  const random = below => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
  const ledger = { ended: 0, cleanups: 0, endedTwice: 0, cleanedTwice: 0, wrong: [] }
  const umh = async () => {
    const kind = random(6)
    const path = kind === 5 ? '/no/such/program' : '/bin/true'
    let cleanups = 0
    const info = await kernel.callUsermodehelperSetup(path, ['true'], ['N=' + random(100)], GFP_KERNEL, {
      cleanup: () => {
        cleanups += 1
        ledger.cleanups += 1
        if (cleanups > 1) ledger.cleanedTwice += 1
      },
    })
    const wait = [UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC, UMH_WAIT_PROC | UMH_KILLABLE, UMH_WAIT_PROC, UMH_WAIT_PROC][kind]
    const controller = new AbortController()
    if (kind === 3 && random(2)) setImmediate(() => controller.abort())
    const retval = await kernel.callUsermodehelperExec(info, wait, { signal: controller.signal })
    if (![0, kind === 5 ? -2 : 0, kind === 3 ? -512 : 0].includes(retval)) ledger.wrong.push([kind, retval])
  }
  const run = async () => {
    const kind = random(5)
    ledger.cleanups += 1
    if (kind === 0) {
      const result = await kernel.run('/bin/sleep', ['60'], { timeout: random(5), reject: false })
      if (!result.timedOut || result.signalCode !== 'SIGTERM') ledger.wrong.push(['timeout', result])
    } else if (kind === 1) {
      const controller = new AbortController()
      const helper = kernel.run('/bin/sleep', ['60'], { signal: controller.signal, reject: false })
      setTimeout(() => controller.abort(), random(5))
      if (!(await helper).aborted) ledger.wrong.push('abort')
    } else if (kind === 2) {
      const text = 'x'.repeat(random(3000))
      const { stdout } = await kernel.run('/bin/cat', [], { input: text })
      if (stdout !== text) ledger.wrong.push('cat')
    } else if (kind === 3) {
      const { retval } = await kernel.run('/no/such', [], { stdin: 'pipe', reject: false })
      if (retval !== -2) ledger.wrong.push('missing')
    } else {
      const { stdout } = await kernel.run('/bin/echo', ['n', String(random(10))])
      if (!/^n \\d\\n$/.test(stdout)) ledger.wrong.push(stdout)
    }
  }
  let left = calls
  await Promise.all(Array.from({ length: 24 }, async () => {
    while (left > 0) {
      left -= 1
      await (random(3) ? umh() : run())
      ledger.ended += 1
    }
  }))
  return ledger
}`

test(`${CALLS} helpers from two threads: every end and every cleanup exactly once, nothing left`, async () => {
  const before = { fds: openFds(), threads: threads() }
  const kernel = boot({ khelpers: 2, descriptors: 128 })
  const half = Math.floor(CALLS / 2)
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import('${INDEX}').then(async khelper => {
       const kernel = khelper.attach(workerData)
       const ledger = await (${PART})(kernel, khelper, ${half}, 2)
       await kernel.shutdown()
       parentPort.postMessage(ledger)
     })`,
    { eval: true, workerData: kernel.handle },
  )
  const message = once(worker, 'message')
  const exit = once(worker, 'exit')
  const part: (...args: unknown[]) => Promise<unknown> = new Function(`return ${PART}`)()
  const ledgers = [await part(kernel, await import('../../src/index.js'), half, 1), (await message)[0]]
  await exit
  await eventually('every call has ended', () => kernel.stats().inFlight === 0)
  for (const ledger of ledgers) {
    assert.deepEqual(ledger, { ended: half, cleanups: half, endedTwice: 0, cleanedTwice: 0, wrong: [] })
  }
  assert.equal(kernel.stats().descriptors.available, 128)
  assert.equal(kernel.stats().running, 0)
  await eventually('every process has been reaped', () => kernel.stats().processes === 0)
  assert.equal(zombies(), 0)
  await kernel.shutdown()
  await eventually('every descriptor is closed', () => openFds() <= before.fds)
  await eventually('every thread has gone', () => threads() <= before.threads)
})
