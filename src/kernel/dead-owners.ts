/**
 * Attached threads that died with calls in flight, and what they have left.
 *
 * Linux tells in /proc whether a thread is there; nothing else would tell the kernel's thread of a worker
 * that some other thread has started and terminated. What a dead thread's calls hold is freed as they end;
 * their cleanups, which are functions of the dead thread, are gone with it.
 */
import { existsSync } from 'node:fs'
import type { LockFreeList } from '../atomics-sync/index.js'
import { asFd, type Libc } from '../libc/index.js'
import { closeOwned } from './launch-descriptors.js'
import {
  Control,
  Interned,
  type Memory,
  Owner,
  type OwnerIndex,
  OwnerState,
  Slot,
  SlotFlag,
  type SlotIndex,
  SlotState,
} from './memory.js'
import { freePages, wipePayload } from './payload.js'

const LOOK_MS = 500
const THREADS_IN_PROC = existsSync('/proc/self/task')

export class DeadOwners {
  readonly #memory: Memory
  readonly #libc: Libc | undefined
  readonly #dead = new Map<OwnerIndex, LockFreeList>()
  #looked = 0

  constructor(memory: Memory, libc: Libc | undefined) {
    this.#memory = memory
    this.#libc = libc
  }

  /** Looks, unless it has just done so. */
  look(): void {
    const now = performance.now()
    if (!THREADS_IN_PROC || now - this.#looked < LOOK_MS) return
    this.#looked = now
    const { words } = this.#memory
    for (let index = 1; index < this.#memory.owners; index += 1) {
      const owner = index as OwnerIndex
      const row = this.#memory.owner(owner)
      if (Atomics.load(words, row + Owner.STATE) !== OwnerState.LIVE || this.#dead.has(owner)) continue
      const thread = words[row + Owner.THREAD_ID] ?? 0
      if (thread !== 0 && !existsSync(`/proc/self/task/${thread}`)) this.#bury(owner, row)
    }
    for (const [owner, list] of this.#dead) this.#collect(owner, list)
  }

  /** Its callers are inside exec no more. */
  #bury(owner: OwnerIndex, row: number): void {
    const { words } = this.#memory
    this.#dead.set(owner, this.#memory.completedOf(owner))
    Atomics.sub(words, this.#memory.control(Control.ATTACHED), 1)
    Atomics.sub(words, this.#memory.control(Control.RUNNING), words[row + Owner.RUNNING] ?? 0)
    words[row + Owner.RUNNING] = 0
  }

  /** Frees the calls that have ended or never began; the row too, when it has none left. */
  #collect(owner: OwnerIndex, list: LockFreeList): void {
    const { words } = this.#memory
    for (let node = list.takeAll(); node >= 0; ) {
      const next = list.next(node)
      this.#free(node as SlotIndex)
      node = next
    }
    let left = false
    for (let index = 0; index < this.#memory.size.descriptors; index += 1) {
      const row = this.#memory.slot(index as SlotIndex)
      const state = Atomics.load(words, row + Slot.STATE)
      if (state === SlotState.FREE || words[row + Slot.OWNER] !== owner) continue
      // A call on which the dead thread blocked was never on its list.
      if (state === SlotState.SETUP || state === SlotState.DONE) this.#free(index as SlotIndex)
      else left = true
    }
    if (left) return
    this.#freeInterned(owner)
    this.#dead.delete(owner)
    Atomics.store(words, this.#memory.owner(owner) + Owner.STATE, OwnerState.FREE)
  }

  #free(slot: SlotIndex): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    if (Atomics.load(words, row + Slot.STATE) === SlotState.FREE) return
    if (this.#libc !== undefined) {
      closeOwned(this.#memory, this.#libc, slot)
      if (((words[row + Slot.FLAGS] ?? 0) & SlotFlag.CAPTURED_BY_NAME) === 0) {
        for (const stream of [0, 1]) {
          const file = (words[row + Slot.CAPTURED + stream] ?? 0) - 1
          if (file >= 0) this.#libc.close(asFd(file))
        }
      }
    }
    wipePayload(this.#memory, slot)
    Atomics.store(words, row + Slot.STATE, SlotState.FREE)
    this.#memory.slots.free(slot)
  }

  #freeInterned(owner: OwnerIndex): void {
    const { words, interned } = this.#memory
    for (let id = 0; id < interned.capacity; id += 1) {
      const row = this.#memory.internedRow(id)
      if (words[row + Interned.LIVE] !== 1 || words[row + Interned.OWNER] !== owner) continue
      freePages(this.#memory, row + Interned.PAGE)
      words[row + Interned.LIVE] = 0
      interned.free(id)
    }
  }
}
