/**
 * A signal for a helper that may have no process yet: nobody waits for its exec, which may hang.
 *
 *   slot word KILL_REQUEST   the signal, with TREE where all descendants are meant; 0: none
 *   slot word PID            stored by the khelper when there is a process that can be signalled
 *
 * Why none is lost and none is sent twice: who signals stores the request and then looks at PID; the khelper stores PID
 * and then takes the request. Atomics are sequentially consistent, so at least one of the two sees the other's store,
 * and both take the request by an exchange, which gives it to one, who sends what it got. A request replaces another, but
 * for SIGKILL.
 */
import { type Memory, Slot, type SlotIndex } from './memory.js'

const TREE = 0x100
const SIGKILL = 9

export interface PendingSignal {
  readonly signal: number
  readonly tree: boolean
}

/**
 * By whoever signals a call that a khelper has taken up.
 * @returns what the caller has to send itself, to the process that there is; undefined: the khelper sends it, or has
 */
export function leaveSignal(
  memory: Memory,
  slot: SlotIndex,
  pending: PendingSignal,
): PendingSignal | undefined {
  const { words } = memory
  const row = memory.slot(slot)
  if (Atomics.load(words, row + Slot.PID) !== 0) return pending
  leave(words, row + Slot.KILL_REQUEST, pending)
  return Atomics.load(words, row + Slot.PID) === 0 ? undefined : take(words, row + Slot.KILL_REQUEST)
}

/** What kills for certain is not replaced by what may not. */
function leave(words: Int32Array, at: number, { signal, tree }: PendingSignal): void {
  for (;;) {
    const before = Atomics.load(words, at)
    if ((before & ~TREE) === SIGKILL) return
    const request = signal | (tree ? TREE : 0)
    if (Atomics.compareExchange(words, at, before, request) === before) return
  }
}

/** Takes it from everybody else; it may be another's, that stands for all. */
function take(words: Int32Array, at: number): PendingSignal | undefined {
  const request = Atomics.exchange(words, at, 0)
  return request === 0 ? undefined : { signal: request & ~TREE, tree: (request & TREE) !== 0 }
}

/**
 * By the khelper, once the process can be signalled; before the slot may be another call's.
 * @param pid stored for everybody to see
 * @returns what is to be sent to it
 */
export function tellPid(memory: Memory, slot: SlotIndex, pid: number): PendingSignal | undefined {
  const row = memory.slot(slot)
  Atomics.store(memory.words, row + Slot.PID, pid)
  return take(memory.words, row + Slot.KILL_REQUEST)
}

/** Whether somebody wants to signal a helper that has no process yet. */
export const hasPendingSignal = (memory: Memory, slot: SlotIndex): boolean =>
  Atomics.load(memory.words, memory.slot(slot) + Slot.KILL_REQUEST) !== 0
