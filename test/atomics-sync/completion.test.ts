import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { Completion, ERESTARTSYS } from '../../src/atomics-sync/index.js'
import { eventually } from '../helpers/resources.js'
import { inThreads } from '../helpers/threads.js'

// Promises of Atomics.waitAsync alone do not keep the event loop alive.
const open = setInterval(() => {}, 2 ** 30)
after(() => clearInterval(open))

const ALL = -1
const shared = () => new SharedArrayBuffer(Completion.BYTE_LENGTH)
const fresh = () => new Completion(shared())
/** Threads and promises that are asleep on it, or about to. */
const waiters = (buffer: SharedArrayBuffer): number => Atomics.load(new Int32Array(buffer), 1)
const aborted = AbortSignal.abort()

describe('completion', () => {
  test('complete before wait: the wait returns at once, and uses the token up', () => {
    const completion = fresh()
    completion.complete()
    assert.equal(completion.done, true)
    completion.wait()
    assert.equal(completion.done, false)
  })

  test('n completes let n waiters through', () => {
    const completion = fresh()
    for (let token = 0; token < 3; token += 1) completion.complete()
    assert.deepEqual(
      Array.from({ length: 4 }, () => completion.tryWait()),
      [true, true, true, false],
    )
  })

  test('complete with 2 waiters: exactly one wakes, the one that came first', async () => {
    const buffer = shared()
    const completion = new Completion(buffer)
    const woken: string[] = []
    const first = completion.waitAsync().then(() => woken.push('first'))
    const second = completion.waitAsync().then(() => woken.push('second'))
    assert.equal(waiters(buffer), 2)
    completion.complete()
    await first
    assert.deepEqual(woken, ['first'])
    assert.equal(waiters(buffer), 1)
    completion.complete()
    await second
    assert.deepEqual(woken, ['first', 'second'])
  })

  test('complete with 2 blocked threads: exactly one wakes', async () => {
    const buffer = shared()
    const count = new Int32Array(new SharedArrayBuffer(4))
    const threads = inThreads(2, `new Completion(data.buffer).wait(); Atomics.add(data.count, 0, 1)`, {
      buffer,
      count,
    })
    await eventually('both wait', () => waiters(buffer) === 2)
    new Completion(buffer).complete()
    await eventually('one has woken', () => Atomics.load(count, 0) === 1)
    assert.equal(waiters(buffer), 1)
    new Completion(buffer).complete()
    await threads
    assert.equal(Atomics.load(count, 0), 2)
  })

  test('completeAll wakes everyone and stays done; reinit makes it usable again', async () => {
    const completion = fresh()
    const all = Promise.all([completion.waitAsync(), completion.waitAsync(), completion.waitAsync()])
    completion.completeAll()
    await all
    assert.deepEqual([completion.tryWait(), completion.tryWait(), completion.done], [true, true, true])
    completion.reinit()
    assert.deepEqual([completion.tryWait(), completion.done], [false, false])
  })

  test('complete after completeAll: no overflow, still done; completeAll twice is harmless', () => {
    const buffer = shared()
    const completion = new Completion(buffer)
    completion.completeAll()
    completion.complete()
    completion.completeAll()
    assert.equal(Atomics.load(new Int32Array(buffer), 0), ALL)
  })

  test('tokens saturate at UINT_MAX', () => {
    const buffer = shared()
    new Int32Array(buffer)[0] = -2
    const completion = new Completion(buffer)
    completion.complete()
    completion.complete()
    assert.equal(new Int32Array(buffer)[0], ALL)
  })

  test('tryWait: with no token false, with one true and then false', () => {
    const completion = fresh()
    assert.equal(completion.tryWait(), false)
    completion.complete()
    assert.deepEqual([completion.tryWait(), completion.tryWait()], [true, false])
  })

  test('done is false if nobody completed and if all tokens are used up, and uses none up', () => {
    const completion = fresh()
    assert.equal(completion.done, false)
    completion.complete()
    assert.deepEqual(
      [completion.done, completion.done, completion.tryWait(), completion.done],
      [true, true, true, false],
    )
  })

  test('init on zeroed memory changes nothing; on a completed one it begins anew', () => {
    const completion = fresh()
    completion.completeAll()
    completion.init()
    assert.equal(completion.done, false)
  })
})

for (const form of ['blocking', 'awaiting'] as const) {
  describe(`completion, ${form} forms`, () => {
    const blocks = form === 'blocking'
    const timeout = async (completion: Completion, ms: number) =>
      blocks ? completion.waitTimeout(ms) : completion.waitTimeoutAsync(ms)
    type Signals = { signal?: AbortSignal; interrupt?: AbortSignal }
    const interruptible = async (completion: Completion, signals: Signals) =>
      blocks ? completion.waitInterruptible(signals) : completion.waitInterruptibleAsync(signals)
    const interruptibleTimeout = async (completion: Completion, ms: number, signals: Signals) =>
      blocks
        ? completion.waitInterruptibleTimeout(ms, signals)
        : completion.waitInterruptibleTimeoutAsync(ms, signals)
    const killable = async (completion: Completion, signals: Signals) =>
      blocks ? completion.waitKillable(signals) : completion.waitKillableAsync(signals)
    const killableTimeout = async (completion: Completion, ms: number, signals: Signals) =>
      blocks ? completion.waitKillableTimeout(ms, signals) : completion.waitKillableTimeoutAsync(ms, signals)

    test('timeout: 0 when the time runs out, nothing used up', async () => {
      const completion = fresh()
      assert.equal(await timeout(completion, 10), 0)
      completion.complete()
      assert.equal(completion.tryWait(), true)
    })

    test('timeout 0 with a token: 1, and the token is used up', async () => {
      const completion = fresh()
      completion.complete()
      assert.equal(await timeout(completion, 0), 1)
      assert.equal(completion.done, false)
    })

    test('timeout with a token: what is left of it, at most all', async () => {
      const completion = fresh()
      completion.complete()
      assert.equal(await timeout(completion, 5000), 5000)
    })

    test('interruptible with a pending signal and a token: success', async () => {
      const completion = fresh()
      completion.complete()
      assert.equal(await interruptible(completion, { interrupt: aborted, signal: aborted }), 0)
      completion.complete()
      assert.ok((await interruptibleTimeout(completion, 0, { interrupt: aborted })) >= 1)
    })

    test('interruptible with a pending signal and no token: -ERESTARTSYS, nothing used up', async () => {
      const completion = fresh()
      assert.equal(await interruptible(completion, { interrupt: aborted }), -ERESTARTSYS)
      assert.equal(await interruptible(completion, { signal: aborted }), -ERESTARTSYS)
      assert.equal(await interruptibleTimeout(completion, 5000, { interrupt: aborted }), -ERESTARTSYS)
      assert.equal(await interruptibleTimeout(completion, 5, {}), 0)
      completion.complete()
      assert.equal(completion.tryWait(), true)
    })

    test('killable with an ordinary signal keeps sleeping; with a fatal one -ERESTARTSYS', async () => {
      const completion = fresh()
      assert.equal(await killableTimeout(completion, 10, { interrupt: aborted }), 0)
      assert.equal(await killableTimeout(completion, 5000, { signal: aborted }), -ERESTARTSYS)
      assert.equal(await killable(completion, { signal: aborted }), -ERESTARTSYS)
      completion.complete()
      assert.equal(await killable(completion, { signal: aborted }), 0)
    })

    test('a wait that is completed by another thread returns, with time left', async () => {
      const buffer = shared()
      const threads = inThreads(1, `new Completion(data.buffer).complete()`, { buffer })
      assert.ok((await timeout(new Completion(buffer), 30_000)) >= 1)
      await threads
    })
  })
}

describe('completion, given up', () => {
  test('an abort during the wait breaks it', async () => {
    const controller = new AbortController()
    const completion = fresh()
    const waiting = completion.waitKillableAsync({ signal: controller.signal })
    controller.abort()
    assert.equal(await waiting, -ERESTARTSYS)
  })

  test('a waiter that was aborted takes no wake-up from the one behind it', async () => {
    const buffer = shared()
    const completion = new Completion(buffer)
    const controller = new AbortController()
    const first = completion.waitInterruptibleAsync({ interrupt: controller.signal })
    const second = completion.waitAsync()
    controller.abort()
    assert.equal(await first, -ERESTARTSYS)
    completion.complete()
    await second
    assert.equal(waiters(buffer), 0)
  })

  test('a token that comes together with the abort wins', async () => {
    const completion = fresh()
    const controller = new AbortController()
    const waiting = completion.waitInterruptibleAsync({ interrupt: controller.signal })
    controller.abort()
    completion.complete()
    assert.equal(await waiting, 0)
  })

  test('a waiter that was aborted takes no wake-up from a blocked thread', async () => {
    const buffer = shared()
    const completion = new Completion(buffer)
    const controller = new AbortController()
    const first = completion.waitInterruptibleAsync({ interrupt: controller.signal })
    const threads = inThreads(1, `new Completion(data.buffer).wait()`, { buffer })
    await eventually('both wait', () => waiters(buffer) === 2)
    controller.abort()
    await first
    completion.complete()
    await threads
  })

  test('a waiter whose time ran out takes no wake-up from the one behind it', async () => {
    const completion = fresh()
    const first = completion.waitTimeoutAsync(5)
    const second = completion.waitAsync()
    assert.equal(await first, 0)
    completion.complete()
    await second
  })

  test('a woken waiter that loses its token to tryWait keeps waiting', async () => {
    const completion = fresh()
    let woken = false
    const waiting = completion.waitAsync().then(() => {
      woken = true
    })
    completion.complete()
    assert.equal(completion.tryWait(), true)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(woken, false)
    completion.complete()
    await waiting
  })

  test('a thread that is terminated while it waits keeps nobody else from being woken', async () => {
    const buffer = shared()
    const blocked = new Worker(
      `const { workerData } = require('node:worker_threads')
       const words = new Int32Array(workerData)
       Atomics.add(words, 1, 1)
       Atomics.wait(words, 0, 0)`,
      { eval: true, workerData: buffer },
    )
    await eventually('it waits', () => waiters(buffer) === 1)
    await blocked.terminate()
    const completion = new Completion(buffer)
    const waiting = completion.waitAsync()
    completion.complete()
    await waiting
  })
})

test('every token is taken exactly once by blocking, awaiting and trying threads', async () => {
  const buffer = shared()
  const taken = new Int32Array(new SharedArrayBuffer(4))
  const threads = inThreads(
    4,
    `const completion = new Completion(data.buffer)
     for (let round = 0; round < 500; round += 1) {
       if (round % 3 === 0) completion.wait()
       else if (round % 3 === 1) await completion.waitAsync()
       else while (completion.waitTimeout(1) === 0);
       Atomics.add(data.taken, 0, 1)
     }`,
    { buffer, taken },
  )
  const completer = inThreads(
    2,
    `const completion = new Completion(data.buffer)
     for (let round = 0; round < 1000; round += 1) completion.complete()`,
    { buffer },
  )
  await Promise.all([threads, completer])
  assert.equal(Atomics.load(taken, 0), 2000)
  assert.equal(new Completion(buffer).done, false)
})

test('any sequence of operations is that of a saturating counter', () => {
  const operation = fc.constantFrom('complete', 'completeAll', 'tryWait', 'waitTimeout', 'reinit', 'done')
  fc.assert(
    fc.property(fc.array(operation), operations => {
      const completion = fresh()
      let tokens = 0
      const take = () => {
        if (tokens === 0) return false
        if (tokens !== Number.POSITIVE_INFINITY) tokens -= 1
        return true
      }
      for (const name of operations) {
        if (name === 'complete') {
          completion.complete()
          tokens += 1
        } else if (name === 'completeAll') {
          completion.completeAll()
          tokens = Number.POSITIVE_INFINITY
        } else if (name === 'reinit') {
          completion.reinit()
          tokens = 0
        } else if (name === 'done') assert.equal(completion.done, tokens > 0)
        else if (name === 'tryWait') assert.equal(completion.tryWait(), take())
        else assert.equal(completion.waitTimeout(0), take() ? 1 : 0)
      }
    }),
  )
})

test('memory that is not shared, not aligned or too small is refused', () => {
  assert.throws(() => new Completion(new ArrayBuffer(8) as never), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => new Completion(new SharedArrayBuffer(16), 2), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => new Completion(new SharedArrayBuffer(8), 4), { code: 'ERR_OUT_OF_RANGE' })
})
