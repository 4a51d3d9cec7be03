import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LockFreeList } from '../../src/atomics-sync/index.js'
import { inThreads } from '../helpers/threads.js'

/** A head at byte 0, and a link at byte 64 of each node's 16 bytes. */
const LAYOUT = [0, 64, 16] as const
const make = (nodes: number) => {
  const buffer = new SharedArrayBuffer(64 + nodes * 16)
  return { buffer, list: new LockFreeList(buffer, ...LAYOUT) }
}

function take(list: LockFreeList): number[] {
  const nodes: number[] = []
  for (let node = list.takeAll(); node >= 0; node = list.next(node)) nodes.push(node)
  return nodes
}

test('gives all that was added, in its order; add tells whether the list was empty', () => {
  const { list } = make(4)
  assert.deepEqual([list.empty, list.takeAll()], [true, -1])
  assert.deepEqual([list.add(2), list.add(0), list.add(3)], [true, false, false])
  assert.equal(list.empty, false)
  assert.deepEqual(take(list), [2, 0, 3])
  assert.deepEqual([list.empty, list.add(0)], [true, true])
})

test('any batches come out as they went in', () => {
  const nodes = [0, 1, 2, 3, 4, 5, 6, 7]
  fc.assert(
    fc.property(fc.array(fc.shuffledSubarray(nodes)), batches => {
      const { list } = make(nodes.length)
      for (const batch of batches) {
        for (const node of batch) list.add(node)
        assert.deepEqual(take(list), batch)
      }
    }),
  )
})

test('nodes of several threads arrive exactly once, and each thread’s in its order', async () => {
  const rounds = 20_000
  const threads = 3
  const { buffer, list } = make(threads)
  // Each thread's one node carries a count; it is added again when the consumer has taken it.
  const counts = new Int32Array(new SharedArrayBuffer(4 * threads))
  const taken = new Int32Array(new SharedArrayBuffer(4 * threads))
  const producers = inThreads(
    threads,
    `const list = new LockFreeList(data.buffer, ...data.layout)
     for (let round = 1; round <= data.rounds; round += 1) {
       Atomics.store(data.counts, index, round)
       list.add(index)
       while (Atomics.load(data.taken, index) !== round);
     }`,
    { buffer, layout: LAYOUT, rounds, counts, taken },
  )
  let left = rounds * threads
  while (left > 0) {
    for (let node = list.takeAll(); node >= 0; ) {
      const next = list.next(node)
      assert.equal(Atomics.load(counts, node), Atomics.load(taken, node) + 1)
      Atomics.add(taken, node, 1)
      left -= 1
      node = next
    }
    if (left % 64 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await producers
  assert.equal(list.empty, true)
})
