import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MpmcQueue } from '../../src/atomics-sync/index.js'
import { inThreads } from '../helpers/threads.js'

const make = (capacity: number) => {
  const buffer = new SharedArrayBuffer(MpmcQueue.byteLength(capacity))
  return { buffer, queue: new MpmcQueue(buffer, 0, capacity) }
}

test('first in, first out; full at its capacity; empty gives undefined', () => {
  const { queue } = make(4)
  assert.equal(queue.pop(), undefined)
  assert.deepEqual(
    [1, -2, 0, 2 ** 31 - 1, 5].map(value => queue.push(value)),
    [true, true, true, true, false],
  )
  assert.equal(queue.size, 4)
  assert.deepEqual(
    [queue.pop(), queue.pop(), queue.pop(), queue.pop(), queue.pop()],
    [1, -2, 0, 2 ** 31 - 1, undefined],
  )
})

test('zeroed memory is an empty queue; init empties one', () => {
  const { queue } = make(8)
  queue.push(1)
  queue.init()
  assert.deepEqual([queue.size, queue.pop()], [0, undefined])
})

test('any sequence of operations is that of a bounded array, over many laps', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(2, 4, 8),
      fc.array(fc.option(fc.integer()), { maxLength: 200 }),
      (capacity, operations) => {
        const { queue } = make(capacity)
        const model: number[] = []
        for (const value of operations) {
          if (value === null) assert.equal(queue.pop(), model.shift())
          else {
            assert.equal(queue.push(value | 0), model.length < capacity)
            if (model.length < capacity) model.push(value | 0)
          }
          assert.equal(queue.size, model.length)
        }
      },
    ),
  )
})

test('positions wrap at 2^32 without a trace', () => {
  const capacity = 4
  const { buffer, queue } = make(capacity)
  const words = new Int32Array(buffer)
  // Head and tail a few steps before the wrap, and the stamps that belong to them.
  const start = -6
  words[0] = start
  words[16] = start
  for (let step = 0; step < capacity; step += 1) {
    const position = start + step
    const index = position & (capacity - 1)
    words[32 + 2 * index] = position - index
  }
  for (let value = 0; value < 20; value += 1) {
    assert.equal(queue.push(value), true)
    assert.equal(queue.push(value + 100), true)
    assert.deepEqual([queue.pop(), queue.pop()], [value, value + 100])
  }
  assert.equal(queue.pop(), undefined)
})

test('every value arrives exactly once, and each producer’s in its order', async () => {
  const capacity = 8
  const perProducer = 20_000
  const { buffer } = make(capacity)
  const seen = new Uint8Array(new SharedArrayBuffer(2 * perProducer))
  const disorder = new Int32Array(new SharedArrayBuffer(4))
  const producers = inThreads(
    2,
    `const queue = new MpmcQueue(data.buffer, 0, data.capacity)
     for (let value = index * data.perProducer; value < (index + 1) * data.perProducer; value += 1)
       while (!queue.push(value));`,
    { buffer, capacity, perProducer },
  )
  const consumers = inThreads(
    2,
    `const queue = new MpmcQueue(data.buffer, 0, data.capacity)
     const last = [-1, -1]
     for (let left = data.perProducer; left > 0; ) {
       const value = queue.pop()
       if (value === undefined) continue
       const producer = Math.floor(value / data.perProducer)
       if (value <= last[producer]) Atomics.add(data.disorder, 0, 1)
       last[producer] = value
       Atomics.add(data.seen, value, 1)
       left -= 1
     }`,
    { buffer, capacity, perProducer, seen, disorder },
  )
  await Promise.all([producers, consumers])
  assert.ok(seen.every(count => count === 1))
  assert.equal(disorder[0], 0)
})

test('a capacity that is no power of two is refused', () => {
  const buffer = new SharedArrayBuffer(4096)
  for (const capacity of [0, 1, 3, 6, 2.5, -4, Number.NaN]) {
    assert.throws(() => new MpmcQueue(buffer, 0, capacity), { code: 'ERR_OUT_OF_RANGE' })
  }
})
