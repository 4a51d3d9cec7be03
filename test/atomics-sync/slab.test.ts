import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Slab } from '../../src/atomics-sync/index.js'
import { inThreads } from '../helpers/threads.js'

const make = (capacity: number) => {
  const buffer = new SharedArrayBuffer(Slab.byteLength(capacity))
  return { buffer, slab: new Slab(buffer, 0, capacity) }
}

test('gives each slot once, and then none', () => {
  const { slab } = make(3)
  const slots = [slab.allocate(), slab.allocate(), slab.allocate()]
  assert.deepEqual(slots.toSorted(), [0, 1, 2])
  assert.deepEqual([slab.allocate(), slab.available], [-1, 0])
  slab.free(1)
  assert.deepEqual([slab.available, slab.allocate()], [1, 1])
})

test('a slot that is not handed out cannot be freed, nor one twice', () => {
  const { slab } = make(3)
  const slot = slab.allocate()
  slab.free(slot)
  for (const index of [slot, 2, -1, 3, 0.5, Number.NaN]) {
    assert.throws(() => slab.free(index), { code: 'ERR_OUT_OF_RANGE' })
  }
  assert.equal(slab.available, 3)
})

test('slots that were never needed are never touched', () => {
  const { slab } = make(1000)
  for (let round = 0; round < 5000; round += 1) {
    const [first, second] = [slab.allocate(), slab.allocate()]
    assert.ok(first < 2 && second < 2)
    slab.free(first)
    slab.free(second)
  }
})

test('any sequence of operations is that of a set', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.nat(20), { maxLength: 200 }),
      (capacity, operations) => {
        const { slab } = make(capacity)
        const held = new Set<number>()
        for (const operation of operations) {
          const victim = [...held][operation % 10]
          if (operation >= 10 && victim !== undefined) {
            slab.free(victim)
            held.delete(victim)
          } else {
            const slot = slab.allocate()
            assert.equal(slot < 0, held.size === capacity)
            assert.ok(!held.has(slot))
            if (slot >= 0) held.add(slot)
          }
          assert.equal(slab.available, capacity - held.size)
        }
      },
    ),
  )
})

test('no slot is held by two threads at once', async () => {
  const capacity = 5
  const { buffer, slab } = make(capacity)
  const holders = new Int32Array(new SharedArrayBuffer(4 * capacity))
  const clashes = new Int32Array(new SharedArrayBuffer(4))
  await inThreads(
    4,
    `const slab = new Slab(data.buffer, 0, data.capacity)
     for (let round = 0; round < 30_000; round += 1) {
       const slots = [slab.allocate(), slab.allocate()].filter(slot => slot >= 0)
       for (const slot of slots) if (Atomics.add(data.holders, slot, 1) !== 0) Atomics.add(data.clashes, 0, 1)
       for (const slot of slots) Atomics.sub(data.holders, slot, 1)
       for (const slot of round % 2 ? slots : slots.reverse()) slab.free(slot)
     }`,
    { buffer, capacity, holders, clashes },
  )
  assert.equal(clashes[0], 0)
  assert.equal(slab.available, capacity)
  assert.equal(new Set(Array.from({ length: capacity }, () => slab.allocate())).size, capacity)
})

test('a capacity out of range is refused', () => {
  const buffer = new SharedArrayBuffer(4096)
  for (const capacity of [0, -1, 1.5, 2 ** 20 + 1]) {
    assert.throws(() => new Slab(buffer, 0, capacity), { code: 'ERR_OUT_OF_RANGE' })
  }
})
