/**
 * Waits on a caller's thread, blocked, until an exec is over: it is under way on another thread, and takes a
 * millisecond.
 */
import { ExecState, type Memory, Slot, SlotState } from './memory.js'

/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20

/**
 * @param row of the call's slot, which must be queued
 * @param watch looks after the threads meanwhile
 * @param longest milliseconds after which it is given up; none: it is waited for as long as it takes
 * @returns whether it is over
 */
export function awaitExec(
  { words }: Memory,
  row: number,
  watch: () => void,
  longest = Number.POSITIVE_INFINITY,
): boolean {
  const exec = row + Slot.EXEC
  const state = row + Slot.STATE
  const deadline = performance.now() + longest
  // Whoever ends the exec swaps its state in, and wakes us if it finds AWAITED.
  Atomics.compareExchange(words, exec, ExecState.PENDING, ExecState.AWAITED)
  while (Atomics.load(words, exec) === ExecState.AWAITED) {
    // One that was withdrawn has no exec to wait for, however long it stays in the queue.
    const now = Atomics.load(words, state)
    if (now === SlotState.DONE || now === SlotState.CANCELLED) return true
    const left = deadline - performance.now()
    if (Atomics.wait(words, exec, ExecState.AWAITED, Math.min(BLOCKED_LOOK_MS, left)) !== 'timed-out')
      continue
    if (performance.now() >= deadline) return false
    watch()
  }
  return true
}
