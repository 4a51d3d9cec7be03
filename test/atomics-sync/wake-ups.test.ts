/**
 * The doorbell and the wait queue: nobody sleeps who was to be woken.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Doorbell, WaitQueue } from '../../src/atomics-sync/index.js'
import { eventually } from '../helpers/resources.js'
import { inThreads } from '../helpers/threads.js'

// Promises of Atomics.waitAsync alone do not keep the event loop alive.
const open = setInterval(() => {}, 2 ** 30)
after(() => clearInterval(open))

const no = () => false
const yes = () => true

describe('doorbell', () => {
  const fresh = () => new Doorbell(new SharedArrayBuffer(Doorbell.BYTE_LENGTH))

  test('nobody sleeps: ringing does nothing, and is not remembered', () => {
    const doorbell = fresh()
    assert.equal(doorbell.ring(), false)
    assert.equal(doorbell.sleep(no, 5), 'timed-out')
  })

  test('what is waited for is there already: no sleep, and nobody to wake', () => {
    const doorbell = fresh()
    assert.equal(doorbell.sleep(yes), 'ready')
    assert.equal(doorbell.listen(yes), null)
    assert.equal(doorbell.ring(), false)
  })

  test('a ring between the look and the sleep is not lost', () => {
    const doorbell = fresh()
    const ringMeanwhile = () => {
      doorbell.ring()
      return false
    }
    assert.equal(doorbell.sleep(ringMeanwhile, 5000), 'rung')
  })

  test('an event loop that listens is woken', async () => {
    const doorbell = fresh()
    const rung = doorbell.listen(no)
    assert.ok(rung)
    assert.equal(doorbell.ring(), true)
    assert.equal(doorbell.ring(), false)
    await rung
  })

  test('a ring between the look and the listening is not lost', async () => {
    const doorbell = fresh()
    const ringMeanwhile = () => {
      doorbell.ring()
      return false
    }
    await doorbell.listen(ringMeanwhile)
  })

  test('two threads that ring each other in turn both get through', async () => {
    const buffer = new SharedArrayBuffer(8)
    const turn = new Int32Array(new SharedArrayBuffer(4))
    const rounds = 20_000
    await inThreads(
      2,
      `const [mine, theirs] = [new Doorbell(data.buffer, 4 * index), new Doorbell(data.buffer, 4 - 4 * index)]
       const ready = () => Atomics.load(data.turn, 0) % 2 === index
       for (let round = 0; round < data.rounds; round += 1) {
         if (round % 100 === 0) while (!ready()) await mine.listen(ready)
         else while (!ready()) mine.sleep(ready)
         Atomics.add(data.turn, 0, 1)
         theirs.ring()
       }`,
      { buffer, turn, rounds },
    )
    assert.equal(turn[0], 2 * rounds)
  })
})

describe('wait queue', () => {
  const make = (sleepers: number) => {
    const buffer = new SharedArrayBuffer(WaitQueue.byteLength(sleepers))
    return { buffer, queue: new WaitQueue(buffer, 0, sleepers) }
  }

  test('nobody sleeps: nobody is woken', () => {
    const { queue } = make(40)
    assert.equal(queue.wakeUp(), false)
    assert.equal(queue.wake(39), false)
    assert.equal(queue.sleep(39, yes), 'ready')
    assert.equal(queue.sleep(39, no, 5), 'timed-out')
    assert.equal(queue.wakeUp(), false)
  })

  test('each wake-up wakes another sleeper, of however many words of bits', async () => {
    const { queue } = make(70)
    const woken: number[] = []
    const sleepers = [0, 31, 32, 69]
    const all = sleepers.map(sleeper => queue.listen(sleeper, no)?.then(() => woken.push(sleeper)))
    assert.equal(queue.wakeUp(), true)
    await all[0]
    assert.deepEqual(woken, [0])
    assert.equal(queue.wake(69), true)
    assert.deepEqual([queue.wakeUp(), queue.wakeUp(), queue.wakeUp()], [true, true, false])
    await Promise.all(all)
    assert.deepEqual(
      woken.toSorted((a, b) => a - b),
      sleepers,
    )
  })

  test('wakeUpAll wakes everyone', async () => {
    const { queue } = make(3)
    const all = [0, 1, 2].map(sleeper => queue.listen(sleeper, no))
    queue.wakeUpAll()
    await Promise.all(all)
  })

  test('a wake-up between the look and the sleep is not lost', () => {
    const { queue } = make(2)
    const wakeMeanwhile = () => {
      queue.wakeUp()
      return false
    }
    assert.equal(queue.sleep(1, wakeMeanwhile, 5000), 'rung')
  })

  test('a dead sleeper is forgotten: the next wake-up is somebody else’s', async () => {
    const { queue } = make(2)
    void queue.listen(0, no)
    const alive = queue.listen(1, no)
    assert.equal(queue.forget(0), true)
    assert.equal(queue.forget(0), false)
    assert.equal(queue.wakeUp(), true)
    await alive
  })

  test('while somebody looks for work nobody else is woken; the last to find some says so', async () => {
    const { queue } = make(40)
    const sleeper = queue.listen(39, no)
    queue.look(0)
    queue.look(35)
    assert.equal(queue.wakeUpUnlessLooking(), false)
    assert.equal(queue.found(0), false, 'another one still looks')
    assert.equal(queue.somebodyElseLooks(35), false)
    assert.equal(queue.somebodyElseLooks(0), true)
    assert.equal(queue.found(35), true)
    assert.equal(queue.wakeUpUnlessLooking(), true)
    await sleeper
    assert.equal(queue.somebodyElseLooks(0), true, 'who was woken looks')
  })

  test('who goes to sleep or dies looks no more', () => {
    const { queue } = make(3)
    queue.look(0)
    assert.equal(queue.sleep(0, no, 1), 'timed-out')
    queue.look(1)
    queue.forget(1)
    assert.equal(queue.somebodyElseLooks(2), false)
  })

  test('every piece of work is taken, though only threads that are needed are woken', async () => {
    const sleepers = 3
    const total = 30_000
    const { buffer } = make(sleepers)
    const work = new Int32Array(new SharedArrayBuffer(8))
    const consumers = inThreads(
      sleepers,
      `const queue = new WaitQueue(data.buffer, 0, data.sleepers)
       const ready = () => Atomics.load(data.work, 0) > 0 || Atomics.load(data.work, 1) >= data.total
       const take = () => {
         for (;;) {
           const left = Atomics.load(data.work, 0)
           if (left === 0) return false
           if (Atomics.compareExchange(data.work, 0, left, left - 1) === left) return true
         }
       }
       queue.look(index)
       let looking = true
       while (Atomics.load(data.work, 1) < data.total) {
         if (take()) {
           if (looking && queue.found(index) && Atomics.load(data.work, 0) > 0) queue.wakeUpUnlessLooking()
           looking = false
           if (Atomics.add(data.work, 1, 1) + 1 === data.total) queue.wakeUpAll()
         } else looking = queue.sleep(index, ready) === 'rung'
       }`,
      { buffer, sleepers, work, total },
    )
    const producers = inThreads(
      2,
      `const queue = new WaitQueue(data.buffer, 0, data.sleepers)
       for (let piece = 0; piece < data.total / 2; piece += 1) {
         Atomics.add(data.work, 0, 1)
         queue.wakeUpUnlessLooking()
       }`,
      { buffer, sleepers, work, total },
    )
    await producers
    await eventually('all is taken', () => Atomics.load(work, 1) === total)
    await consumers
  })

  test('every piece of work is taken, with sleepers that come and go', async () => {
    const sleepers = 3
    const total = 30_000
    const { buffer } = make(sleepers)
    const work = new Int32Array(new SharedArrayBuffer(8))
    const consumers = inThreads(
      sleepers,
      `const queue = new WaitQueue(data.buffer, 0, data.sleepers)
       const ready = () => Atomics.load(data.work, 0) > 0 || Atomics.load(data.work, 1) >= data.total
       const take = () => {
         for (;;) {
           const left = Atomics.load(data.work, 0)
           if (left === 0) return false
           if (Atomics.compareExchange(data.work, 0, left, left - 1) === left) return true
         }
       }
       for (let round = 0; Atomics.load(data.work, 1) < data.total; round += 1) {
         if (take()) {
           if (Atomics.add(data.work, 1, 1) + 1 === data.total) queue.wakeUpAll()
         } else if (round % 7 === 0) await queue.listen(index, ready)
         else queue.sleep(index, ready, round % 5 === 0 ? 1 : undefined)
       }`,
      { buffer, sleepers, work, total },
    )
    const producers = inThreads(
      2,
      `const queue = new WaitQueue(data.buffer, 0, data.sleepers)
       for (let piece = 0; piece < data.total / 2; piece += 1) {
         Atomics.add(data.work, 0, 1)
         queue.wakeUp()
       }`,
      { buffer, sleepers, work, total },
    )
    await producers
    await eventually('all is taken', () => Atomics.load(work, 1) === total)
    await consumers
  })
})
