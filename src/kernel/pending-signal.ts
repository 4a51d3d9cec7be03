/**
 * A signal for a helper that may have no process yet: nobody waits for its exec, which may hang.
 *
 *   slot word KILL_REQUEST   the signal, with TREE where all descendants are meant; 0: none
 *   slot word PID            stored by the khelper when there is a process that can be signalled
 *
 * Why none is lost and none is sent twice: who signals stores the request and then looks at PID; the khelper stores PID
 * and then takes the request. Atomics are sequentially consistent, so at least one of the two sees the other's store,
 * and both take the request by an exchange, which gives it to one.
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
 * @returns whether the khelper will send it, or has; if not there is a process, which the caller is to signal
 */
export function leaveSignal(memory: Memory, slot: SlotIndex, pending: PendingSignal): boolean {
  const { words } = memory
  const row = memory.slot(slot)
  if (Atomics.load(words, row + Slot.PID) !== 0) return false
  const request = pending.signal | (pending.tree ? TREE : 0)
  const before = Atomics.exchange(words, row + Slot.KILL_REQUEST, request)
  // What kills for certain is not to be taken back by what may not.
  if ((before & ~TREE) === SIGKILL) Atomics.store(words, row + Slot.KILL_REQUEST, before)
  if (Atomics.load(words, row + Slot.PID) === 0) return true
  return Atomics.exchange(words, row + Slot.KILL_REQUEST, 0) === 0
}

/**
 * By the khelper, once the process can be signalled; before the slot may be another call's.
 * @param pid stored for everybody to see
 */
export function tellPid(memory: Memory, slot: SlotIndex, pid: number): PendingSignal | undefined {
  const { words } = memory
  const row = memory.slot(slot)
  Atomics.store(words, row + Slot.PID, pid)
  if (Atomics.load(words, row + Slot.KILL_REQUEST) === 0) return undefined
  const request = Atomics.exchange(words, row + Slot.KILL_REQUEST, 0)
  return request === 0 ? undefined : { signal: request & ~TREE, tree: (request & TREE) !== 0 }
}

/** Whether somebody wants to signal a helper that has no process yet. */
export const hasPendingSignal = (memory: Memory, slot: SlotIndex): boolean =>
  Atomics.load(memory.words, memory.slot(slot) + Slot.KILL_REQUEST) !== 0
