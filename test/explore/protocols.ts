/**
 * The protocols of khelper's shared memory, as scenarios for the explorer: production code, with threads around it that
 * use it as khelper does. Each protocol has mutants: single lines of it changed into what is easily written instead.
 */
import type { ExploreOptions, Modules, Scenario } from '../../src/explore/index.js'

export interface ProtocolScenario {
  readonly name: string
  readonly scenario: (modules: Modules) => Scenario
  readonly options?: ExploreOptions
  /** There are tens of thousands of schedules: mutants are looked for in those with few preemptions. */
  readonly large?: true
}

export interface Mutant {
  readonly name: string
  /** In dist/src. */
  readonly file: string
  readonly from: string
  readonly to: string
}

export interface Protocol {
  readonly name: string
  /** By the names that scenarios use: files in dist/src, or what is not khelper's own. */
  readonly modules: Readonly<Record<string, string | URL>>
  readonly scenarios: readonly ProtocolScenario[]
  readonly mutants: readonly Mutant[]
}

const COMPLETION = 'atomics-sync/completion.js'
const QUEUE = 'atomics-sync/mpmc-queue.js'
const SLAB = 'atomics-sync/slab.js'
const DOORBELL = 'atomics-sync/doorbell.js'
const LIST = 'atomics-sync/lock-free-list.js'
const WAIT_QUEUE = 'atomics-sync/wait-queue.js'

export const completion: Protocol = {
  name: 'completion',
  modules: { sync: COMPLETION },
  scenarios: [
    {
      name: '2 threads x 3 operations: every token goes to one wait',
      scenario: ({ sync }) => {
        const completion = new sync.Completion(new SharedArrayBuffer(8), 0)
        let taken = 0
        return {
          threads: [
            () => {
              completion.complete()
              completion.complete()
              if (completion.tryWait()) taken += 1
            },
            () => {
              completion.wait()
              taken += 1
              if (completion.tryWait()) taken += 1
              completion.complete()
            },
          ],
          check() {
            let left = 0
            while (completion.tryWait()) left += 1
            if (taken + left !== 3) throw new Error(`${taken} taken, ${left} left`)
          },
        }
      },
    },
    {
      name: '3 threads x 2 operations: one blocks, one awaits',
      // Without a bound there are more than three millions.
      options: { preemptions: 3 },
      large: true,
      scenario: ({ sync }) => {
        const completion = new sync.Completion(new SharedArrayBuffer(8), 0)
        let taken = 0
        return {
          threads: [
            () => {
              completion.complete()
              completion.complete()
            },
            async () => {
              await completion.waitAsync()
              taken += 1
              if (completion.tryWait()) completion.complete()
            },
            () => {
              completion.wait()
              taken += 1
              if (completion.tryWait()) completion.complete()
            },
          ],
          check() {
            if (taken !== 2 || completion.done) throw new Error(`${taken} taken`)
          },
        }
      },
    },
    {
      name: 'completeAll lets everyone through, now and later',
      scenario: ({ sync }) => {
        const completion = new sync.Completion(new SharedArrayBuffer(8), 0)
        return {
          threads: [
            () => completion.completeAll(),
            () => {
              completion.wait()
              completion.wait()
            },
            () => completion.wait(),
          ],
          check() {
            if (!completion.done) throw new Error('not done')
          },
        }
      },
    },
    {
      name: 'a wait that gives up takes no token along, and one that comes through has one',
      scenario: ({ sync }) => {
        const completion = new sync.Completion(new SharedArrayBuffer(8), 0)
        let left = -1
        return {
          threads: [
            () => completion.complete(),
            () => {
              left = completion.waitTimeout(10)
            },
          ],
          check() {
            if (left > 0 === completion.done) throw new Error(`left ${left}, done ${completion.done}`)
          },
        }
      },
    },
    {
      name: 'what is written before complete is read behind wait',
      scenario: ({ sync }) => {
        const buffer = new SharedArrayBuffer(12)
        const words = new Int32Array(buffer)
        const completion = new sync.Completion(buffer, 0)
        let seen: number | undefined = 0
        return {
          threads: [
            () => {
              words[2] = 7
              completion.complete()
            },
            () => {
              completion.wait()
              seen = words[2]
            },
          ],
          check() {
            if (seen !== 7) throw new Error(`read ${seen}`)
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'a store for the compare-exchange that adds a token',
      file: COMPLETION,
      from: 'if (Atomics.compareExchange(this.#words, DONE, done, (done + 1) | 0) === done)',
      to: 'if (Atomics.store(this.#words, DONE, (done + 1) | 0) !== done)',
    },
    {
      name: 'a store for the compare-exchange that takes one',
      file: COMPLETION,
      from: 'if (Atomics.compareExchange(this.#words, DONE, done, (done - 1) | 0) === done)',
      to: 'if (Atomics.store(this.#words, DONE, (done - 1) | 0) !== done)',
    },
    {
      name: 'the notify comes before the token',
      file: COMPLETION,
      from: 'complete() {\n',
      to: 'complete() {\n        if (Atomics.load(this.#words, WAITERS) !== 0) Atomics.notify(this.#words, DONE, 1);\n        if (WAITERS) { Atomics.add(this.#words, DONE, 1); return; }\n',
    },
    {
      name: 'no look at the token between counting itself and sleeping',
      file: COMPLETION,
      from: '                if (this.tryWait())\n                    return remaining(left);\n                if (signal?.aborted || interrupt?.aborted)\n                    return -ERESTARTSYS;\n                if (left <= 0)\n                    return 0;\n                // Sleeps only while DONE is 0, which tryWait has just seen.\n                Atomics.wait(this.#words, DONE, 0, left);',
      to: '                if (left <= 0)\n                    return 0;\n                Atomics.wait(this.#words, DONE, Atomics.load(this.#words, DONE), left);\n                if (this.tryWait())\n                    return remaining(left);',
    },
    {
      name: 'the waiter counts itself too late',
      file: COMPLETION,
      from: 'Atomics.wait(this.#words, DONE, 0, left);',
      to: 'Atomics.sub(this.#words, WAITERS, 1), Atomics.wait(this.#words, DONE, 0, left), Atomics.add(this.#words, WAITERS, 1);',
    },
    {
      name: 'completeAll wakes one only',
      file: COMPLETION,
      from: 'Atomics.notify(this.#words, DONE);\n    }\n    /**\n     * try_wait',
      to: 'Atomics.notify(this.#words, DONE, 1);\n    }\n    /**\n     * try_wait',
    },
    {
      name: 'completeAll leaves a single token',
      file: COMPLETION,
      from: 'Atomics.store(this.#words, DONE, ALL);',
      to: 'Atomics.store(this.#words, DONE, 1);',
    },
  ],
}

export const queue: Protocol = {
  name: 'queue',
  modules: { sync: QUEUE },
  scenarios: [
    {
      name: '2 threads x 3 operations, round the wrap: what goes in comes out once, in its order',
      scenario: ({ sync }) => {
        const buffer = new SharedArrayBuffer(sync.MpmcQueue.byteLength(2))
        const queue = new sync.MpmcQueue(buffer, 0, 2)
        const taken: number[] = []
        let pushed = 0
        return {
          threads: [
            () => {
              for (const value of [1, 2, 3]) if (queue.push(value)) pushed += 1
            },
            () => {
              for (let round = 0; round < 3; round += 1) {
                const value = queue.pop()
                if (value !== undefined) taken.push(value)
              }
            },
          ],
          check() {
            for (let value = queue.pop(); value !== undefined; value = queue.pop()) taken.push(value)
            const expected = [1, 2, 3].slice(0, pushed).join()
            if (taken.join() !== expected) throw new Error(`${taken.join()} came out, ${expected} went in`)
            if (!queue.push(8) || !queue.push(9) || queue.push(10)) throw new Error('it has room for two')
          },
        }
      },
    },
    {
      name: '2 producers and consumers x 2 operations each at the end of all positions',
      scenario: ({ sync }) => {
        const buffer = new SharedArrayBuffer(sync.MpmcQueue.byteLength(2))
        const words = new Int32Array(buffer)
        // Positions that are about to wrap: tail and head, and each cell's stamp less its number.
        const last = 2 ** 31 - 1
        words[0] = last
        words[16] = last
        words[32] = last + 1
        words[34] = last - 1
        const queue = new sync.MpmcQueue(buffer, 0, 2)
        const taken: number[] = []
        const one = (value: number) => () => {
          if (!queue.push(value)) throw new Error('there was room')
          // Empty is true as well: the other's push may stand before ours, and not be over.
          const other = queue.pop()
          if (other !== undefined) taken.push(other)
        }
        return {
          threads: [one(1), one(2)],
          check() {
            for (let value = queue.pop(); value !== undefined; value = queue.pop()) taken.push(value)
            if (taken.sort().join() !== '1,2' || queue.size !== 0) throw new Error(taken.join())
          },
        }
      },
    },
    {
      name: '3 threads x 2 operations: full and empty are true, nothing twice and nothing lost',
      large: true,
      scenario: ({ sync }) => {
        const queue = new sync.MpmcQueue(new SharedArrayBuffer(sync.MpmcQueue.byteLength(2)), 0, 2)
        const taken: number[] = []
        const pushed: number[] = []
        const one = (value: number) => () => {
          if (queue.push(value)) pushed.push(value)
          const other = queue.pop()
          if (other !== undefined) taken.push(other)
        }
        return {
          threads: [one(1), one(2), one(3)],
          check() {
            for (let value = queue.pop(); value !== undefined; value = queue.pop()) taken.push(value)
            if (taken.sort().join() !== pushed.sort().join()) throw new Error(`${taken} for ${pushed}`)
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'a store for the compare-exchange of a push',
      file: QUEUE,
      from: 'const before = Atomics.compareExchange(words, TAIL, tail, (tail + 1) | 0);',
      to: 'const before = (Atomics.store(words, TAIL, (tail + 1) | 0), tail);',
    },
    {
      name: 'a store for the compare-exchange of a pop',
      file: QUEUE,
      from: 'const before = Atomics.compareExchange(words, HEAD, head, (head + 1) | 0);',
      to: 'const before = (Atomics.store(words, HEAD, (head + 1) | 0), head);',
    },
    {
      name: 'the stamp comes before the value',
      file: QUEUE,
      from: 'words[cell + 1] = value;\n                    Atomics.store(words, cell, (tail + 1 - index) | 0);',
      to: 'Atomics.store(words, cell, (tail + 1 - index) | 0);\n                    words[cell + 1] = value;',
    },
    {
      name: 'the cell is given away before its value is read',
      file: QUEUE,
      from: 'const value = words[cell + 1];\n                    Atomics.store(words, cell, (head + this.#mask + 1 - index) | 0);\n                    return value;',
      to: 'Atomics.store(words, cell, (head + this.#mask + 1 - index) | 0);\n                    return words[cell + 1];',
    },
    {
      name: 'an index one off at the wrap-around',
      file: QUEUE,
      from: '(head + this.#mask + 1 - index) | 0',
      to: '(head + this.#mask - index) | 0',
    },
    {
      name: 'another producer was faster, and its position is tried again',
      file: QUEUE,
      from: 'tail = Atomics.load(words, TAIL);\n            }\n        }\n    }\n    /** @returns the oldest',
      to: '}\n        }\n    }\n    /** @returns the oldest',
    },
    {
      name: 'a pop takes a cell that is not filled yet',
      file: QUEUE,
      from: 'const behind = (Atomics.load(words, cell) + index - head - 1) | 0;',
      to: 'const behind = (Atomics.load(words, cell) + index - head) | 0;',
    },
  ],
}

export const slab: Protocol = {
  name: 'slab',
  modules: { sync: SLAB },
  scenarios: [
    {
      name: '2 threads x 3 operations: no slot is out twice, none is lost',
      scenario: ({ sync }) => {
        const slab = new sync.Slab(new SharedArrayBuffer(sync.Slab.byteLength(2)), 0, 2)
        const held: number[] = []
        const one = () => {
          const slot = slab.allocate()
          if (slot < 0) throw new Error('one was free')
          slab.free(slot)
          held.push(slab.allocate())
        }
        return {
          threads: [one, one],
          check() {
            if (held.sort().join() !== '0,1') throw new Error(`held: ${held}`)
            if (slab.available !== 0 || slab.allocate() !== -1)
              throw new Error(`available: ${slab.available}`)
          },
        }
      },
    },
    {
      name: '2 threads, slots that have been used: the head is taken, given back and taken meanwhile',
      scenario: ({ sync }) => {
        const slab = new sync.Slab(new SharedArrayBuffer(sync.Slab.byteLength(3)), 0, 3)
        const all = [slab.allocate(), slab.allocate(), slab.allocate()]
        for (const slot of all) slab.free(slot)
        const held: number[] = []
        return {
          threads: [
            () => {
              held.push(slab.allocate())
            },
            () => {
              const first = slab.allocate()
              held.push(slab.allocate())
              slab.free(first)
            },
          ],
          check() {
            held.push(slab.allocate())
            if (new Set(held).size !== 3 || held.includes(-1)) throw new Error(`held: ${held}`)
            if (slab.allocate() !== -1) throw new Error('one more than there are')
          },
        }
      },
    },
    {
      name: '3 threads x 2 operations: nobody holds what another holds',
      large: true,
      scenario: ({ sync }) => {
        const slab = new sync.Slab(new SharedArrayBuffer(sync.Slab.byteLength(2)), 0, 2)
        const owners = new Int32Array(new SharedArrayBuffer(8))
        const one = () => {
          const slot = slab.allocate()
          if (slot < 0) return
          if (Atomics.exchange(owners, slot, 1) !== 0) throw new Error(`slot ${slot} is another's`)
          Atomics.store(owners, slot, 0)
          slab.free(slot)
        }
        return {
          threads: [one, one, one],
          check() {
            if (slab.available !== 2) throw new Error(`available: ${slab.available}`)
            if (new Set([slab.allocate(), slab.allocate()]).size !== 2) throw new Error('twice the same')
          },
        }
      },
    },
    {
      name: 'a slot that two threads free is freed once',
      scenario: ({ sync }) => {
        const slab = new sync.Slab(new SharedArrayBuffer(sync.Slab.byteLength(1)), 0, 1)
        const slot = slab.allocate()
        let refused = 0
        const one = () => {
          try {
            slab.free(slot)
          } catch {
            refused += 1
          }
        }
        return {
          threads: [one, one],
          check() {
            if (refused !== 1 || slab.available !== 1) throw new Error(`${refused} refused`)
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'no tag: ABA',
      file: SLAB,
      from: 'return ((((head & ~this.#indexMask) + this.#oneTag) | 0) & ~this.#indexMask) | first;',
      to: 'return first;',
    },
    {
      name: 'a store for the compare-exchange of an allocation',
      file: SLAB,
      from: 'if (Atomics.compareExchange(words, HEAD, head, this.#changed(head, next)) === head) {',
      to: 'if (Atomics.store(words, HEAD, this.#changed(head, next)) !== head) {',
    },
    {
      name: 'a store for the compare-exchange of a fresh slot',
      file: SLAB,
      from: 'if (Atomics.compareExchange(words, FRESH, fresh, fresh + 1) === fresh) {',
      to: 'if (Atomics.store(words, FRESH, fresh + 1) !== fresh) {',
    },
    {
      name: 'a freed slot goes onto the list before it has its link',
      file: SLAB,
      from: '            head = before;\n            Atomics.store(words, LINKS + index, head & this.#indexMask);',
      to: '            head = before;',
    },
    {
      name: 'no look whether a slot is out',
      file: SLAB,
      from: 'if (Atomics.compareExchange(words, LINKS + index, ALLOCATED, head & this.#indexMask) !== ALLOCATED) {',
      to: 'if (Atomics.store(words, LINKS + index, head & this.#indexMask) < -9) {',
    },
    {
      name: 'who was too late for a slot does not try another',
      file: SLAB,
      from: 'if (next === ALLOCATED)\n                continue;',
      to: 'if (next === ALLOCATED)\n                return -1;',
    },
    {
      name: 'a slot is marked as out too late',
      file: SLAB,
      from: 'Atomics.store(words, LINKS + index, ALLOCATED);',
      to: '',
    },
  ],
}

export const doorbell: Protocol = {
  name: 'doorbell',
  modules: { sync: DOORBELL },
  scenarios: [
    {
      name: '2 threads x 3 operations: no ring is lost by one that blocks',
      scenario: ({ sync }) => {
        const bell = new sync.Doorbell(new SharedArrayBuffer(4))
        const work = new Int32Array(new SharedArrayBuffer(4))
        let done = 0
        return {
          threads: [
            () => {
              for (let round = 0; round < 3; round += 1) {
                Atomics.add(work, 0, 1)
                bell.ring()
              }
            },
            () => {
              while (done < 3) {
                const found = Atomics.exchange(work, 0, 0)
                done += found
                if (found === 0) bell.sleep(() => Atomics.load(work, 0) > 0)
              }
            },
          ],
        }
      },
    },
    {
      name: 'no ring is lost by one that awaits',
      scenario: ({ sync }) => {
        const bell = new sync.Doorbell(new SharedArrayBuffer(4))
        const work = new Int32Array(new SharedArrayBuffer(4))
        let done = 0
        return {
          threads: [
            () => {
              for (let round = 0; round < 2; round += 1) {
                Atomics.add(work, 0, 1)
                bell.ring()
              }
            },
            async () => {
              while (done < 2) {
                const found = Atomics.exchange(work, 0, 0)
                done += found
                const rung = found === 0 ? bell.listen(() => Atomics.load(work, 0) > 0) : null
                if (rung !== null) await rung
              }
            },
          ],
        }
      },
    },
    {
      name: '3 threads x 2 operations: two ring, one sleeps with a time',
      large: true,
      scenario: ({ sync }) => {
        const bell = new sync.Doorbell(new SharedArrayBuffer(4))
        const work = new Int32Array(new SharedArrayBuffer(4))
        let done = 0
        const ring = () => {
          Atomics.add(work, 0, 1)
          bell.ring()
        }
        return {
          threads: [
            ring,
            ring,
            () => {
              while (done < 2) {
                const found = Atomics.exchange(work, 0, 0)
                done += found
                if (found === 0) bell.sleep(() => Atomics.load(work, 0) > 0, 10)
              }
            },
          ],
        }
      },
    },
    {
      name: 'a sleeper that has left is not told that it was woken, and the next sleeps on',
      scenario: ({ sync }) => {
        const buffer = new SharedArrayBuffer(4)
        const bell = new sync.Doorbell(buffer)
        const state = new Int32Array(buffer)
        let slept: boolean | undefined
        return {
          threads: [
            () => {
              slept = bell.ring()
            },
            () => {
              bell.sleep(() => true)
            },
          ],
          check() {
            if (state[0] !== 0) throw new Error('left asleep')
            if (slept === undefined) throw new Error('not rung')
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'no look at the work before it sleeps',
      file: DOORBELL,
      from: "if (ready()) {\n            Atomics.store(this.#words, STATE, AWAKE);\n            return 'ready';",
      to: "if (ready === undefined) {\n            Atomics.store(this.#words, STATE, AWAKE);\n            return 'ready';",
    },
    {
      name: 'it looks before it says that it sleeps',
      file: DOORBELL,
      from: 'sleep(ready, timeout) {\n        Atomics.store(this.#words, STATE, ASLEEP);\n        if (ready()) {',
      to: 'sleep(ready, timeout) {\n        const there = ready();\n        Atomics.store(this.#words, STATE, ASLEEP);\n        if (there) {',
    },
    {
      name: 'the notify comes before the state',
      file: DOORBELL,
      from: 'if (Atomics.exchange(this.#words, STATE, AWAKE) === AWAKE)\n            return false;\n        Atomics.notify(this.#words, STATE);',
      to: 'Atomics.notify(this.#words, STATE);\n        Atomics.store(this.#words, STATE, AWAKE);',
    },
    {
      name: 'nobody is notified',
      file: DOORBELL,
      from: '        Atomics.notify(this.#words, STATE);\n        return true;',
      to: '        return true;',
    },
    {
      name: 'one that finds work stays asleep',
      file: DOORBELL,
      from: "Atomics.store(this.#words, STATE, AWAKE);\n            return 'ready';",
      to: "return 'ready';",
    },
    {
      name: 'one that awaits does not look at the work',
      file: DOORBELL,
      from: 'if (ready()) {\n            Atomics.store(this.#words, STATE, AWAKE);\n            return null;',
      to: 'if (ready === undefined) {\n            Atomics.store(this.#words, STATE, AWAKE);\n            return null;',
    },
  ],
}

export const list: Protocol = {
  name: 'lock-free list',
  modules: { sync: LIST },
  scenarios: [
    {
      name: '3 threads x 2 operations: all arrives once, and each thread’s in its order',
      large: true,
      scenario: ({ sync }) => {
        const list = new sync.LockFreeList(new SharedArrayBuffer(64), 0, 4, 4)
        const taken: number[] = []
        const take = () => {
          let node = list.takeAll()
          while (node >= 0) {
            const next = list.next(node)
            taken.push(node)
            node = next
          }
        }
        return {
          threads: [
            () => {
              list.add(0)
              list.add(1)
            },
            () => {
              list.add(2)
              list.add(3)
            },
            () => {
              take()
              take()
            },
          ],
          check() {
            take()
            const ordered = taken.indexOf(0) < taken.indexOf(1) && taken.indexOf(2) < taken.indexOf(3)
            if ([...taken].sort().join() !== '0,1,2,3' || !ordered) throw new Error(taken.join())
          },
        }
      },
    },
    {
      name: '2 threads x 3 operations: who adds to an empty list is told so',
      scenario: ({ sync }) => {
        const list = new sync.LockFreeList(new SharedArrayBuffer(64), 0, 4, 4)
        let batches = 0
        let firsts = 0
        return {
          threads: [
            () => {
              for (const node of [0, 1, 2]) if (list.add(node)) firsts += 1
            },
            () => {
              for (let round = 0; round < 3; round += 1) if (list.takeAll() >= 0) batches += 1
            },
          ],
          check() {
            if (!list.empty) batches += 1
            if (firsts !== batches) throw new Error(`${firsts} firsts of ${batches} batches`)
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'a store for the compare-exchange',
      file: LIST,
      from: 'if (Atomics.compareExchange(this.#head, HEAD, head, node + 1) === head)',
      to: 'if (Atomics.store(this.#head, HEAD, node + 1) !== head)',
    },
    {
      name: 'the link comes after the node is on the list',
      file: LIST,
      from: 'Atomics.store(this.#words, link, head);\n            if (Atomics.compareExchange(this.#head, HEAD, head, node + 1) === head)\n                return head === 0;',
      to: 'if (Atomics.compareExchange(this.#head, HEAD, head, node + 1) === head) {\n                Atomics.store(this.#words, link, head);\n                return head === 0; }',
    },
    {
      name: 'what is taken is not taken off in one step',
      file: LIST,
      from: 'let node = Atomics.exchange(this.#head, HEAD, 0); node !== 0;',
      to: 'let node = (this.v = Atomics.load(this.#head, HEAD), Atomics.store(this.#head, HEAD, 0), this.v); node !== 0;',
    },
    {
      name: 'the order is turned round',
      file: LIST,
      from: 'Atomics.store(this.#words, link, newer);\n            newer = node;',
      to: 'if (newer === 0) newer = node;',
    },
    {
      name: 'a head that was read before a failure is used again',
      file: LIST,
      from: 'for (;;) {\n            const head = Atomics.load(this.#head, HEAD);',
      to: 'const head = Atomics.load(this.#head, HEAD);\n        for (;;) {',
    },
    {
      name: 'who comes second is told that the list was empty',
      file: LIST,
      from: 'return head === 0;',
      to: 'return true;',
    },
  ],
}

export const waitQueue: Protocol = {
  name: 'wait queue',
  modules: { sync: WAIT_QUEUE },
  scenarios: [
    {
      name: '3 threads x 2 operations: two sleepers, two pieces of work, each done',
      large: true,
      scenario: ({ sync }) => {
        const waiting = new sync.WaitQueue(new SharedArrayBuffer(sync.WaitQueue.byteLength(2)), 0, 2)
        const work = new Int32Array(new SharedArrayBuffer(4))
        // Until there is none: who gives up for another's sake would spend the wake-up that it has had.
        const take = () => {
          for (let there = Atomics.load(work, 0); there > 0; there = Atomics.load(work, 0)) {
            if (Atomics.compareExchange(work, 0, there, there - 1) === there) return true
          }
          return false
        }
        const worker = (number: number) => () => {
          while (!take()) waiting.sleep(number, () => Atomics.load(work, 0) > 0)
        }
        return {
          threads: [
            () => {
              for (let round = 0; round < 2; round += 1) {
                Atomics.add(work, 0, 1)
                waiting.wakeUp()
              }
            },
            worker(0),
            worker(1),
          ],
        }
      },
    },
    {
      name: 'a sleeper whose time runs out gives a wake-up that was spent on it its due',
      large: true,
      scenario: ({ sync }) => {
        const waiting = new sync.WaitQueue(new SharedArrayBuffer(sync.WaitQueue.byteLength(2)), 0, 2)
        const work = new Int32Array(new SharedArrayBuffer(4))
        const over = new Int32Array(new SharedArrayBuffer(4))
        const ready = () => Atomics.load(work, 0) > 0 || Atomics.load(over, 0) > 0
        const take = () => {
          if (Atomics.compareExchange(work, 0, 1, 0) !== 1) return false
          Atomics.store(over, 0, 1)
          waiting.wakeUpAll()
          return true
        }
        return {
          threads: [
            () => {
              Atomics.store(work, 0, 1)
              waiting.wakeUp()
            },
            () => {
              // Leaves for good, if nobody needs it.
              if (waiting.sleep(0, ready, 10) !== 'timed-out') take()
            },
            () => {
              while (Atomics.load(over, 0) === 0 && !take()) waiting.sleep(1, ready)
            },
          ],
        }
      },
    },
    {
      name: '2 threads x 3 operations: nobody is woken while one looks, and nothing is left',
      scenario: ({ sync }) => {
        const waiting = new sync.WaitQueue(new SharedArrayBuffer(sync.WaitQueue.byteLength(1)), 0, 1)
        const work = new Int32Array(new SharedArrayBuffer(4))
        let done = 0
        return {
          threads: [
            () => {
              for (let round = 0; round < 3; round += 1) {
                Atomics.add(work, 0, 1)
                waiting.wakeUpUnlessLooking()
              }
            },
            () => {
              waiting.look(0)
              while (done < 3) {
                const found = Atomics.exchange(work, 0, 0)
                done += found
                if (found === 0) waiting.sleep(0, () => Atomics.load(work, 0) > 0)
              }
            },
          ],
        }
      },
    },
  ],
  mutants: [
    {
      name: 'no look at the work behind the bit',
      file: WAIT_QUEUE,
      from: '        if (!ready())\n            return true;\n        this.#leave(sleeper);\n        return false;',
      to: '        return true;',
    },
    {
      name: 'it looks before it sets its bit',
      file: WAIT_QUEUE,
      from: '        Atomics.store(this.#words, this.#rung(sleeper), 0);\n        Atomics.or(',
      to: '        const there = ready();\n        ready = () => there;\n        Atomics.store(this.#words, this.#rung(sleeper), 0);\n        Atomics.or(',
    },
    {
      name: 'it still counts as one that looks during its last look',
      file: WAIT_QUEUE,
      from: '        Atomics.and(this.#words, this.#lookingWord(sleeper), ~bitOf(sleeper));\n        if (!ready())\n            return true;',
      to: '        if (!ready()) {\n            Atomics.and(this.#words, this.#lookingWord(sleeper), ~bitOf(sleeper));\n            return true; }',
    },
    {
      name: 'the sleeper clears what its waker has set',
      file: WAIT_QUEUE,
      from: '        Atomics.store(this.#words, this.#rung(sleeper), 0);\n        Atomics.or(this.#words, Math.floor(sleeper / BITS), bitOf(sleeper));',
      to: '        Atomics.or(this.#words, Math.floor(sleeper / BITS), bitOf(sleeper));\n        Atomics.store(this.#words, this.#rung(sleeper), 0);',
    },
    {
      name: 'a waker notifies without a word',
      file: WAIT_QUEUE,
      from: '        Atomics.store(this.#words, this.#rung(sleeper), RUNG);\n',
      to: '',
    },
    {
      name: 'a time that ran out hides a wake-up',
      file: WAIT_QUEUE,
      from: "return this.#leave(sleeper) ? 'timed-out' : 'rung';",
      to: "return 'timed-out';",
    },
    {
      name: 'two wakers claim the same sleeper',
      file: WAIT_QUEUE,
      from: 'return (Atomics.and(this.#words, mask, ~bit) & bit) !== 0;',
      to: 'return (Atomics.load(this.#words, mask) & bit) !== 0;',
    },
  ],
}

const MEMORY = 'kernel/memory.js'
const COMPLETE = 'kernel/complete.js'
const WORKQUEUE = 'kernel/workqueue.js'
const UMH = 'kernel/umh.js'
const CALLER = 'kernel/caller.js'
const PAYLOAD = 'kernel/payload.js'

export const handOff: Protocol = {
  name: 'hand-off of a SubprocessInfo',
  modules: {
    memory: MEMORY,
    complete: COMPLETE,
    workqueue: WORKQUEUE,
    completion: COMPLETION,
    doorbell: DOORBELL,
    caller: CALLER,
    payload: PAYLOAD,
    umh: UMH,
    state: 'kernel/usermodehelper.js',
    pipes: 'kernel/stdin-pipe.js',
    credentials: 'kernel/credential-directories.js',
    constants: 'kernel/constants.js',
    parts: new URL('./hand-off-parts.js', import.meta.url),
  },
  scenarios: [
    {
      name: '3 threads, a caller that blocks, a khelper, the reaper: one result, one slot',
      large: true,
      scenario: modules => {
        const { complete, memory: layout, parts } = modules
        const call = parts.blockedCall(modules)
        const { memory, slot } = call
        const reaper = parts.reaperOf(modules, memory)
        return {
          threads: [
            call.thread,
            () => {
              const completer = new complete.Completer(memory)
              if (parts.takeUp(modules, memory) !== slot) throw new Error('another call')
              completer.execDone(slot, layout.ExecState.STARTED)
              memory.launches.push(slot)
              reaper.ring()
            },
            () => {
              const completer = new complete.Completer(memory)
              completer.umhComplete(parts.awaitLaunch(memory, reaper), 256)
            },
          ],
          check: call.check,
        }
      },
    },
    {
      name: '2 threads, a caller that blocks and a khelper that ends the call: one result, one slot',
      scenario: modules => {
        const { complete, parts } = modules
        const call = parts.blockedCall(modules)
        return {
          threads: [
            call.thread,
            () => {
              const completer = new complete.Completer(call.memory)
              completer.umhComplete(parts.takeUp(modules, call.memory), 256)
            },
          ],
          check: call.check,
        }
      },
    },
    {
      name: 'a caller that awaits and gives up, against the end: one result, one cleanup, one slot',
      large: true,
      scenario: modules => {
        const { complete, memory: layout, parts } = modules
        const call = parts.callerThatGivesUp(modules)
        return {
          threads: [
            call.thread,
            () => {
              const completer = new complete.Completer(call.memory)
              const taken = parts.takeUp(modules, call.memory)
              completer.execDone(taken, layout.ExecState.STARTED)
              completer.umhComplete(taken, 256)
              call.end()
            },
          ],
          check: call.check,
        }
      },
    },
    {
      name: '3 threads, a caller of a program and of code, a khelper for programs and one for all: each is executed once',
      // Without a bound they are too many.
      options: { preemptions: 2 },
      large: true,
      scenario: ({ memory: layout, workqueue }) => {
        const { Slot, SlotFlag, SlotState } = layout
        const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 2 })
        const { words, idleKhelpers } = memory
        const executed = [0, 0]
        const over = new Int32Array(new SharedArrayBuffer(4))
        const allOver = () => Atomics.load(over, 0) === 2
        const slots = [SlotFlag.IN_THREAD, 0].map(flags => {
          const slot = memory.slots.allocate()
          words[memory.slot(slot) + Slot.STATE] = SlotState.SETUP
          words[memory.slot(slot) + Slot.FLAGS] = flags
          return slot
        })
        const khelper = (number: number, forPrograms: boolean) => () => {
          for (;;) {
            const slot = workqueue.takeWork(memory, forPrograms)
            if (slot !== undefined) {
              if (forPrograms && workqueue.isInThread(memory, slot)) throw new Error('not for this one')
              if (idleKhelpers.found(number) && memory.queue.size > 0) idleKhelpers.wakeUpUnlessLooking()
              executed[slot] = (executed[slot] ?? 0) + 1
              Atomics.add(over, 0, 1)
              if (allOver()) idleKhelpers.wakeUpAll()
            } else if (allOver()) return
            else idleKhelpers.sleep(number, () => workqueue.hasWork(memory, forPrograms) || allOver())
          }
        }
        return {
          threads: [
            () => {
              for (const slot of slots) workqueue.queueWork(memory, slot)
            },
            khelper(memory.khelperForPrograms, true),
            khelper(0, false),
          ],
          check() {
            if (executed.join() !== '1,1') throw new Error(`executed ${executed.join()}`)
          },
        }
      },
    },
    {
      name: 'a call is withdrawn while a khelper takes it up: one of both has it',
      scenario: ({ memory: layout, workqueue }) => {
        const { Slot, SlotState } = layout
        const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
        const { words } = memory
        const slot = memory.slots.allocate()
        words[memory.slot(slot) + Slot.STATE] = SlotState.SETUP
        workqueue.queueWork(memory, slot)
        let withdrawn = false
        let executed = false
        return {
          threads: [
            () => {
              withdrawn = workqueue.cancelWork(memory, slot)
            },
            () => {
              const taken = memory.queue.pop()
              const state = memory.slot(taken) + Slot.STATE
              executed =
                Atomics.compareExchange(words, state, SlotState.QUEUED, SlotState.EXECUTING) ===
                SlotState.QUEUED
            },
          ],
          check() {
            if (withdrawn === executed) throw new Error(`withdrawn ${withdrawn}, executed ${executed}`)
          },
        }
      },
    },
    {
      name: 'a call is withdrawn while a khelper takes it up: its strings are read whole, or wiped',
      scenario: modules => modules['parts'].withdrawnCall(modules, 8),
    },
    {
      name: 'the same with strings on a page',
      scenario: modules => modules['parts'].withdrawnCall(modules, 600),
    },
    {
      name: 'a page goes from a call that has ended to the next: it is wiped before it is given back',
      scenario: ({ memory: layout, payload }) => {
        const { Slot } = layout
        const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
        const slot = memory.slots.allocate()
        const row = memory.slot(slot)
        memory.words[row + Slot.PAGE] = payload.writePages(memory, Buffer.from('first'))
        let next = payload.NO_ROOM
        return {
          threads: [
            () => payload.wipePayload(memory, slot),
            () => {
              next = payload.writePages(memory, Buffer.from('next'))
            },
          ],
          check() {
            const read = memory.bytes.toString('latin1', memory.page(0), memory.page(0) + 5)
            if (read !== (next === payload.NO_ROOM ? '\0\0\0\0\0' : 'next\0')) throw new Error(`read ${read}`)
            if (memory.pages.available !== (next === payload.NO_ROOM ? 1 : 0))
              throw new Error('a page is lost')
          },
        }
      },
    },
    {
      name: '3 threads, a caller that awaits and gives up, a khelper, the reaper: one result, one cleanup, one slot',
      // There are hundreds of thousands with four.
      options: { preemptions: 3 },
      large: true,
      scenario: modules => {
        const { complete, memory: layout, parts } = modules
        const call = parts.callerThatGivesUp(modules)
        const { memory } = call
        const reaper = parts.reaperOf(modules, memory)
        return {
          threads: [
            call.thread,
            () => {
              const completer = new complete.Completer(memory)
              const taken = parts.takeUp(modules, memory)
              completer.execDone(taken, layout.ExecState.STARTED)
              memory.launches.push(taken)
              reaper.ring()
            },
            () => {
              const completer = new complete.Completer(memory)
              completer.umhComplete(parts.awaitLaunch(memory, reaper), 256)
              call.end()
            },
          ],
          check: call.check,
        }
      },
    },
  ],
  mutants: [
    {
      name: 'the result comes after the completion pointer was taken',
      file: COMPLETE,
      from: '        words[row + Slot.RETVAL] = retval;\n        Atomics.store(words, row + Slot.STATE, SlotState.DONE);\n        const waiter = Atomics.exchange(words, row + Slot.WAITER, Waiter.NONE);\n        if (waiter === Waiter.SYNC) {\n            new Completion(buffer, this.#memory.byteOffset(row + Slot.COMPLETION)).complete();',
      to: '        const waiter = Atomics.exchange(words, row + Slot.WAITER, Waiter.NONE);\n        if (waiter === Waiter.SYNC) {\n            new Completion(buffer, this.#memory.byteOffset(row + Slot.COMPLETION)).complete();\n            words[row + Slot.RETVAL] = retval;',
    },
    {
      name: 'both free: a blocked caller’s slot goes onto its owner’s list, too',
      file: COMPLETE,
      from: '.complete();\n            return;',
      to: '.complete();',
    },
    {
      name: 'nobody rings the owner',
      file: COMPLETE,
      from: '        if (this.#list(owner).add(slot))\n            this.#doorbell(owner).ring();',
      to: '        this.#list(owner).add(slot);',
    },
    {
      name: 'a call that has ended is put where nobody takes it from',
      file: COMPLETE,
      from: '        if (this.#list(owner).add(slot))\n            this.#doorbell(owner).ring();',
      to: '        this.#doorbell(owner).ring();',
    },
    {
      name: 'no khelper is woken',
      file: WORKQUEUE,
      from: '    memory.idleKhelpers.wakeUpUnlessLooking();\n',
      to: '',
    },
    {
      name: 'a khelper is woken before there is work',
      file: WORKQUEUE,
      from: "    if (!memory.queue.push(slot))\n        throw new Error('khelper_wq has room for every descriptor, and is full');\n    memory.idleKhelpers.wakeUpUnlessLooking();",
      to: "    memory.idleKhelpers.wakeUpUnlessLooking();\n    if (!memory.queue.push(slot))\n        throw new Error('full');",
    },
    {
      name: 'what is left to the others wakes nobody',
      file: WORKQUEUE,
      from: '        deferred.push(slot);\n        idleKhelpers.wakeUp();',
      to: '        deferred.push(slot);',
    },
    {
      name: 'the others are woken before there is anything for them',
      file: WORKQUEUE,
      from: '        deferred.push(slot);\n        idleKhelpers.wakeUp();',
      to: '        idleKhelpers.wakeUp();\n        deferred.push(slot);',
    },
    {
      name: 'one that goes to sleep does not look at what was left to it',
      file: WORKQUEUE,
      from: 'return queue.size > 0 || (!forPrograms && deferred.size > 0);',
      to: 'return queue.size > 0 || (forPrograms && deferred.size > 0);',
    },
    {
      name: 'a call is withdrawn by a store',
      file: WORKQUEUE,
      from: 'return (Atomics.compareExchange(memory.words, state, SlotState.QUEUED, SlotState.CANCELLED) === SlotState.QUEUED);',
      to: 'return (Atomics.load(memory.words, state) === SlotState.QUEUED && Atomics.store(memory.words, state, SlotState.CANCELLED) > 0);',
    },
    {
      name: 'what a khelper may be reading is wiped',
      file: CALLER,
      from: '        if (!cancelWork(this.memory, slot))\n            return false;\n        wipePayload(this.memory, slot);',
      to: '        wipePayload(this.memory, slot);\n        if (!cancelWork(this.memory, slot))\n            return false;',
    },
    {
      name: 'a withdrawn call is wiped only when its slot comes back',
      file: CALLER,
      from: '            return false;\n        wipePayload(this.memory, slot);',
      to: '            return false;',
    },
    {
      name: 'a page is wiped when it may be another call’s',
      file: PAYLOAD,
      from: '    wipePages(memory, first);\n    words[at] = 0;\n    freeChain(memory, first);',
      to: '    words[at] = 0;\n    freeChain(memory, first);\n    wipePages(memory, first);',
    },
    {
      name: 'one that gives up does not look whether the call has ended',
      file: UMH,
      from: 'if (waiter === Waiter.NONE || internal.resolve === undefined)',
      to: 'if (waiter === undefined)',
    },
  ],
}
