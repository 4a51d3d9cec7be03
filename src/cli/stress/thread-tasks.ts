/**
 * What a thread does for an operation: blocks on completions, works on shared structures, makes blocking calls.
 */
import { closeSync, openSync } from 'node:fs'
import { Completion, LockFreeList, MpmcQueue, Slab } from '../../atomics-sync/index.js'
import { GFP_KERNEL, type WaitMode } from '../../kernel/constants.js'
import type { Kernel } from '../../kernel/kernel.js'

export type ThreadTask =
  | { readonly do: 'nothing' }
  | { readonly do: 'take-tokens'; readonly buffer: SharedArrayBuffer; readonly tokens: number }
  | { readonly do: 'wait-timeout'; readonly buffer: SharedArrayBuffer; readonly timeout: number }
  /** Until word 2 of the buffer is 1, as one that is killed by a signal. */
  | { readonly do: 'wait-killable'; readonly buffer: SharedArrayBuffer }
  | ({ readonly do: 'push'; readonly buffer: SharedArrayBuffer; readonly capacity: number } & Range)
  /** Counts what it pops in `counts`, until word 0 of `left` is 0. */
  | {
      readonly do: 'pop'
      readonly buffer: SharedArrayBuffer
      readonly capacity: number
      readonly counts: SharedArrayBuffer
      readonly left: SharedArrayBuffer
    }
  | {
      readonly do: 'hold-slots'
      readonly buffer: SharedArrayBuffer
      readonly capacity: number
      readonly holders: SharedArrayBuffer
      readonly rounds: number
    }
  | ({ readonly do: 'add-nodes'; readonly buffer: SharedArrayBuffer } & Range)
  /** Opens files until there is no descriptor left, again and again for so many milliseconds; then closes them. */
  | { readonly do: 'hold-fds'; readonly ms: number; readonly most: number }
  | {
      readonly do: 'call'
      readonly path: string
      readonly argv: readonly string[]
      readonly wait: WaitMode
      /** Told, with this number, when the cleanup runs. */
      readonly cleanup: number
    }

interface Range {
  readonly from: number
  readonly to: number
}

/** Head at byte 0, then a link of each node. */
export const LIST_LINKS = [64, 4] as const
/** The word behind a completion that says that its waiter is killed. */
export const KILLED_WORD = 2

/** @returns a number that the operation judges */
export function perform(
  task: ThreadTask,
  kernel: Kernel,
  cleaned: (cleanup: number) => void,
): number | Promise<number> {
  switch (task.do) {
    case 'nothing':
      return 0
    case 'take-tokens': {
      const completion = new Completion(task.buffer)
      for (let token = 0; token < task.tokens; token += 1) completion.wait()
      return task.tokens
    }
    case 'wait-timeout':
      return new Completion(task.buffer).waitTimeout(task.timeout)
    case 'wait-killable': {
      const words = new Int32Array(task.buffer)
      const signal = {
        get aborted() {
          return Atomics.load(words, KILLED_WORD) === 1
        },
      } as AbortSignal
      return new Completion(task.buffer).waitKillable({ signal })
    }
    case 'push':
      return push(new MpmcQueue(task.buffer, 0, task.capacity), task)
    case 'pop':
      return pop(
        new MpmcQueue(task.buffer, 0, task.capacity),
        new Int32Array(task.counts),
        new Int32Array(task.left),
      )
    case 'hold-slots':
      return holdSlots(new Slab(task.buffer, 0, task.capacity), new Int32Array(task.holders), task.rounds)
    case 'add-nodes': {
      const list = new LockFreeList(task.buffer, 0, ...LIST_LINKS)
      for (let node = task.from; node < task.to; node += 1) list.add(node)
      return task.to - task.from
    }
    case 'hold-fds':
      return holdFds(task.ms, task.most)
    case 'call':
      return call(task, kernel, cleaned)
  }
}

/** How long a thread that finds nothing to do sleeps. */
const PAUSE_MS = 0.1
const nobody = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
const pause = () => Atomics.wait(nobody, 0, 0, PAUSE_MS)

function push(queue: MpmcQueue, { from, to }: Range): number {
  for (let value = from; value < to; value += 1) while (!queue.push(value)) pause()
  return to - from
}

function pop(queue: MpmcQueue, counts: Int32Array, left: Int32Array): number {
  let popped = 0
  while (Atomics.load(left, 0) > 0) {
    const value = queue.pop()
    if (value === undefined) {
      pause()
      continue
    }
    Atomics.add(counts, value, 1)
    Atomics.sub(left, 0, 1)
    popped += 1
  }
  return popped
}

/** @returns how often a slot was somebody else's at the same time */
function holdSlots(slab: Slab, holders: Int32Array, rounds: number): number {
  let clashes = 0
  for (let round = 0; round < rounds; round += 1) {
    const slots = [slab.allocate(), slab.allocate()].filter(slot => slot >= 0)
    for (const slot of slots) if (Atomics.add(holders, slot, 1) !== 0) clashes += 1
    for (const slot of slots) Atomics.sub(holders, slot, 1)
    for (const slot of round % 2 === 0 ? slots : slots.reverse()) slab.free(slot)
  }
  return clashes
}

/** @returns how many it had at the end */
function holdFds(ms: number, most: number): number {
  const opened: number[] = []
  const deadline = performance.now() + ms
  while (performance.now() < deadline) {
    try {
      while (opened.length < most) opened.push(openSync('/dev/null', 'r'))
    } catch {
      // No descriptor is left: what others give back meanwhile is taken, too.
    }
    Atomics.wait(nobody, 0, 0, 1)
  }
  for (const fd of opened) closeSync(fd)
  return opened.length
}

async function call(
  { path, argv, wait, cleanup }: ThreadTask & { readonly do: 'call' },
  kernel: Kernel,
  cleaned: (cleanup: number) => void,
): Promise<number> {
  const info = await kernel.callUsermodehelperSetup(path, argv, [], GFP_KERNEL, {
    cleanup: () => cleaned(cleanup),
  })
  return kernel.callUsermodehelperExecSync(info, wait)
}
