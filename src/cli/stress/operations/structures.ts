/**
 * The queue, the slab and the list with several threads at once: everything exactly once.
 */
import { LockFreeList, MpmcQueue, Slab } from '../../../atomics-sync/index.js'
import type { Operation } from '../context.js'
import { LIST_LINKS, type ThreadTask } from '../thread-tasks.js'

const words = (count: number) => new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT)
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** How many values of each range a producer has. */
const split = (count: number, parts: number, part: number) => ({
  from: Math.floor((count * part) / parts),
  to: Math.floor((count * (part + 1)) / parts),
})

export const queue: Operation = {
  name: 'structure/queue',
  weight: 1,
  async run({ threads, ledger }, random, step) {
    const capacity = 2 ** random.between(1, 7)
    const count = random.between(100, 4_000)
    const buffer = new SharedArrayBuffer(MpmcQueue.byteLength(capacity))
    const counts = words(count)
    const left = words(1)
    new Int32Array(left)[0] = count
    const entry = ledger.begin(queue.name, step)
    const producers = random.between(1, threads.count - 1)
    const tasks = Array.from({ length: threads.count }, (_, index): ThreadTask => {
      if (index >= producers) return { do: 'pop', buffer, capacity, counts, left }
      return { do: 'push', buffer, capacity, ...split(count, producers, index) }
    })
    await threads.perform(tasks)
    const wrong = new Int32Array(counts).findIndex(times => times !== 1)
    if (wrong >= 0) entry.wrong(`value ${wrong} came out ${new Int32Array(counts)[wrong]} times`)
    if (new MpmcQueue(buffer, 0, capacity).size !== 0) entry.wrong('the queue is not empty')
    entry.ended('done')
  },
}

export const slab: Operation = {
  name: 'structure/slab',
  weight: 1,
  async run({ threads, ledger }, random, step) {
    const capacity = random.between(1, 2 * threads.count)
    const buffer = new SharedArrayBuffer(Slab.byteLength(capacity))
    const holders = words(capacity)
    const rounds = random.between(100, 3_000)
    const entry = ledger.begin(slab.name, step)
    const clashes = await threads.perform(
      Array.from({ length: threads.count }, () => ({ do: 'hold-slots', buffer, capacity, holders, rounds })),
    )
    if (clashes.some(count => count > 0)) entry.wrong('a slot was held by two threads at once')
    const { available } = new Slab(buffer, 0, capacity)
    if (available !== capacity) entry.wrong(`${available} of ${capacity} slots are free`)
    entry.ended('done')
  },
}

export const list: Operation = {
  name: 'structure/list',
  weight: 1,
  async run({ threads, ledger }, random, step) {
    const count = random.between(100, 4_000)
    const [head, stride] = LIST_LINKS
    const buffer = new SharedArrayBuffer(head + count * stride)
    const nodes = new LockFreeList(buffer, 0, ...LIST_LINKS)
    const taken = new Uint8Array(count)
    const entry = ledger.begin(list.name, step)
    const take = () => {
      for (let node = nodes.takeAll(); node >= 0; node = nodes.next(node)) {
        taken[node] = (taken[node] ?? 0) + 1
      }
    }
    let adding = true
    const added = threads
      .perform(
        Array.from({ length: threads.count }, (_, index) => ({
          do: 'add-nodes',
          buffer,
          ...split(count, threads.count, index),
        })),
      )
      .finally(() => {
        adding = false
      })
    while (adding) {
      take()
      await turn()
    }
    await added
    take()
    const wrong = taken.findIndex(times => times !== 1)
    if (wrong >= 0) entry.wrong(`node ${wrong} was taken ${taken[wrong]} times`)
    entry.ended('done')
  },
}
