/**
 * The way back: how a call ends, from whichever thread ended it.
 *
 * `umhComplete` is Linux's: whoever ends a call stores its result and then swaps the completion pointer
 * for NONE. What the swap finds says who frees the slot. A thread that blocks on the slot's completion is
 * woken and frees it itself. Otherwise (an awaiting caller, a caller that does not wait, one that has
 * given up) the slot goes onto its owner's list, and the owner's thread runs the cleanup and frees it.
 * The swap happens once, so exactly one of them does.
 */
import { Completion, Doorbell, type LockFreeList } from '../atomics-sync/index.js'
import {
  ExecState,
  type Memory,
  Owner,
  type OwnerIndex,
  Slot,
  SlotFlag,
  type SlotIndex,
  SlotState,
  Waiter,
} from './memory.js'

export class Completer {
  readonly #memory: Memory
  readonly #lists: (LockFreeList | undefined)[] = []
  readonly #doorbells: (Doorbell | undefined)[] = []

  constructor(memory: Memory) {
    this.#memory = memory
  }

  /** Ends a call. Afterwards the slot is its owner's: it must not be touched again from here. */
  umhComplete(slot: SlotIndex, retval: number): void {
    const { words, buffer } = this.#memory
    const row = this.#memory.slot(slot)
    words[row + Slot.RETVAL] = retval
    Atomics.store(words, row + Slot.STATE, SlotState.DONE)
    const waiter = Atomics.exchange(words, row + Slot.WAITER, Waiter.NONE)
    if (waiter === Waiter.SYNC) {
      new Completion(buffer, this.#memory.byteOffset(row + Slot.COMPLETION)).complete()
      return
    }
    const owner = words[row + Slot.OWNER] as OwnerIndex
    // Only the first of a batch rings: the owner takes the whole list at once.
    if (this.#list(owner).add(slot)) this.#doorbell(owner).ring()
  }

  /** Tells whoever asks for the pid that the exec is over. The slot is still the caller's own. */
  execDone(slot: SlotIndex, state: typeof ExecState.STARTED | typeof ExecState.FAILED): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const at = row + Slot.EXEC
    const told = ((words[row + Slot.FLAGS] ?? 0) & SlotFlag.TELL_EXEC) !== 0
    if (Atomics.exchange(words, at, state) === ExecState.AWAITED) Atomics.notify(words, at)
    if (told) this.#doorbell(words[row + Slot.OWNER] as OwnerIndex).ring()
  }

  /** A call whose program never ran: `-errno`, and at which step. */
  fail(slot: SlotIndex, error: number, step: number): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    words[row + Slot.FAILED_STEP] = step
    words[row + Slot.FLAGS] = (words[row + Slot.FLAGS] ?? 0) | SlotFlag.USED_ALL
    const retval = -Math.abs(error)
    // Before the exec is told to be over: who waits for that asks why.
    words[row + Slot.RETVAL] = retval
    this.execDone(slot, ExecState.FAILED)
    this.umhComplete(slot, retval)
  }

  /** Wakes an owner's event loop for another reason than a completed call. */
  ring(owner: OwnerIndex): void {
    this.#doorbell(owner).ring()
  }

  #list(owner: OwnerIndex): LockFreeList {
    this.#lists[owner] ??= this.#memory.completedOf(owner)
    return this.#lists[owner]
  }

  #doorbell(owner: OwnerIndex): Doorbell {
    this.#doorbells[owner] ??= new Doorbell(
      this.#memory.buffer,
      this.#memory.byteOffset(this.#memory.owner(owner) + Owner.DOORBELL),
    )
    return this.#doorbells[owner]
  }
}
