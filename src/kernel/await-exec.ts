/**
 * Waits on a caller's thread, blocked, until an exec is over: it is under way on another thread, and takes a millisecond.
 *
 * It may also hang (a program on a file system that does not answer, a FIFO that nobody opens), and who waits here may be
 * an event loop: so it is waited for, from when a khelper has taken the call up, for a bounded time.
 */
import { ExecState, type Memory, Slot, type SlotIndex, SlotState } from './memory.js'

/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20
/** Generous for an exec on a loaded machine. */
const EXEC_MS = 1_000
/** The same where there is a process already, which can be named and signalled before its exec. */
const STEP_MS = 100

/**
 * @param slot of a call that is queued
 * @param watch looks after the threads meanwhile
 * @param wakeReaper has the wait_for_helper thread look at steps that somebody asks for
 * @param deadline in the time of `performance.now()`; none: a call that no khelper takes up is waited for as long as it takes
 * @returns whether it is over
 */
export function awaitExec(
  memory: Memory,
  slot: SlotIndex,
  watch: () => void,
  wakeReaper: () => void,
  deadline = Number.POSITIVE_INFINITY,
): boolean {
  const { words } = memory
  const row = memory.slot(slot)
  const exec = row + Slot.EXEC
  let taken: number | undefined
  // Whoever ends the exec swaps its state in, and wakes us if it finds AWAITED.
  Atomics.compareExchange(words, exec, ExecState.PENDING, ExecState.AWAITED)
  // Before there is a pid it is the khelper that sees AWAITED; see `hand-over.ts`.
  if (Atomics.load(words, row + Slot.PID) !== 0) wakeReaper()
  while (Atomics.load(words, exec) === ExecState.AWAITED) {
    // One that was withdrawn has no exec to wait for, however long it stays in the queue.
    const state = Atomics.load(words, row + Slot.STATE)
    if (state === SlotState.DONE || state === SlotState.CANCELLED) return true
    const now = performance.now()
    if (state !== SlotState.QUEUED) taken ??= now
    const patience = Atomics.load(words, row + Slot.PID) === 0 ? EXEC_MS : STEP_MS
    const left = Math.min(deadline, (taken ?? Number.POSITIVE_INFINITY) + patience) - now
    if (left <= 0) return false
    if (Atomics.wait(words, exec, ExecState.AWAITED, Math.min(BLOCKED_LOOK_MS, left)) === 'timed-out') watch()
  }
  return true
}
