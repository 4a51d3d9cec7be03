/**
 * From the khelper that has started a process to the wait_for_helper thread: by the khelper itself, or by whoever takes a
 * launch over that its khelper died in.
 *
 *   STARTING   the row is the khelper's; the process is being made
 *   LIVE       there is a process: it can be signalled (`pending-signal.ts`), and its call is told its pid
 *   exec'd     without an exec step, at once; with one, when the wait_for_helper thread finds its socket closed
 *   failed     the step has told why; nothing of the program ran, and the process is only to be reaped
 *
 * How a step went is only watched where somebody wants to know it before the end: a call that ends with its exec, a caller
 * that is told of it (TELL_EXEC). Else it is read at the end, or when somebody asks (`awaitExec`): he says so in EXEC and
 * then, if there is a pid, wakes the wait_for_helper thread, which looks at all that are handed over; the khelper says
 * that there is a pid and that the process is handed over, and then looks at EXEC. One of both sees the other.
 *
 * A process that is stopped or killed in its step, by whoever may signal it by then, holds up its own call alone: no
 * thread waits for a step.
 */
import { asFd, type Libc } from '../libc/index.js'
import type { Completer } from './complete.js'
import { UMH_WAIT_PROC } from './constants.js'
import { ONE } from './event-counter.js'
import { closeOwned, watchCaptures, watchStep } from './launch-descriptors.js'
import {
  Control,
  ExecState,
  type Memory,
  Process,
  type ProcessIndex,
  ProcessState,
  Slot,
  SlotFlag,
  type SlotIndex,
  SlotState,
  Step,
} from './memory.js'
import { type PendingSignal, tellPid } from './pending-signal.js'
import { signalProcess } from './process-table.js'
import { killTree, signalTarget, startOf } from './process-tree.js'
import { tellFlushers } from './workqueue.js'

const SIGKILL = 9

/**
 * Says that there is a process, and sends it what it was to be sent. Its exit may be seen from here on.
 * @param pidfd gives a pidfd of it, or a negative number: then it is asked for from time to time
 * @param letGo called when the slot is needed no more: right behind it the call may end, and the slot be another's
 * @param watchExit called last: once the exit is seen, the row may be another launch's, whose step would be watched
 *   before that launch has said so, and what it tells would be lost. Tells whether the exit is watched; if not the
 *   wait_for_helper thread is woken to look for it
 */
export function handOver(
  memory: Memory,
  libc: Libc,
  completer: Completer,
  slot: SlotIndex,
  index: ProcessIndex,
  pidfd: (pid: number) => number,
  letGo: () => void,
  watchExit: () => boolean,
): void {
  const { words } = memory
  const slotRow = memory.slot(slot)
  const row = memory.process(index)
  const epoll = asFd(words[memory.control(Control.EPOLL_FD)] ?? -1)
  const waited = ((words[slotRow + Slot.WAIT] ?? 0) & UMH_WAIT_PROC) !== 0
  const stepping = (words[row + Process.STEP_SOCKET] ?? 0) > 0
  const pid = words[row + Process.PID] ?? 0
  closeOwned(memory, libc, slot)
  words[row + Process.SLOT] = waited ? slot + 1 : 0
  words[row + Process.STEP_SLOT] = stepping ? slot + 1 : 0
  words[slotRow + Slot.PROCESS] = index + 1
  words[slotRow + Slot.PROCESS_GENERATION] = words[row + Process.GENERATION] ?? 0
  watchCaptures(memory, libc, index, epoll)
  words[row + Process.PIDFD] = Math.max(0, pidfd(pid) + 1)
  const told = !waited || ((words[slotRow + Slot.FLAGS] ?? 0) & SlotFlag.TELL_EXEC) !== 0
  if (waited) Atomics.store(words, slotRow + Slot.STATE, SlotState.RUNNING)
  Atomics.store(words, row + Process.STATE, ProcessState.LIVE)
  const pending = tellPid(memory, slot, pid)
  if (pending !== undefined) send(memory, libc, index, pid, pending)
  if (!stepping) completer.execDone(slot, ExecState.STARTED)
  letGo()
  if (stepping && told) watchStep(memory, libc, index, epoll)
  else if (!stepping && !waited) completer.umhComplete(slot, 0)
  // From here the process may be reaped, and the row be another launch's.
  Atomics.store(words, row + Process.HANDED_OVER, 1)
  const asked = stepping && !told && Atomics.load(words, slotRow + Slot.EXEC) === ExecState.AWAITED
  if (!watchExit() || asked) libc.write(asFd(words[memory.control(Control.EVENT_FD)] ?? -1), ONE)
}

/**
 * By the wait_for_helper thread: the exec step's socket is closed. The program runs, or somebody has killed the process
 * before it could, which is then seen as its end.
 */
export function stepSucceeded(memory: Memory, completer: Completer, index: ProcessIndex): void {
  const slot = takeStep(memory, index)
  if (slot === undefined) return
  const waited = (memory.words[memory.process(index) + Process.SLOT] ?? 0) > 0
  completer.execDone(slot, ExecState.STARTED)
  if (waited) return
  completer.umhComplete(slot, 0)
  // Pending until here.
  tellFlushers(memory)
}

/**
 * By the wait_for_helper thread: the exec step has told that it failed. Nothing of the program ran: the call ends, and the
 * process, which somebody may have stopped, is only to be reaped.
 * @param step what failed; NONE: the step did not come so far as to know
 */
export function stepFailed(
  memory: Memory,
  libc: Libc,
  completer: Completer,
  index: ProcessIndex,
  error: number,
  step: number,
): void {
  const { words } = memory
  const slot = takeStep(memory, index)
  if (slot === undefined) return
  const row = memory.process(index)
  words[row + Process.SLOT] = 0
  const generation = words[row + Process.GENERATION] ?? 0
  signalProcess(memory, index, generation, SIGKILL, pid => libc.kill(pid, SIGKILL) === 0)
  Atomics.store(words, memory.slot(slot) + Slot.PID, 0)
  completer.fail(slot, error, step === Step.NONE ? Step.EXEC_STEP : step)
  tellFlushers(memory)
}

/** Whether a step is under way that somebody has asked for, and nobody watches. */
export function isStepAsked(memory: Memory, index: ProcessIndex): boolean {
  const { words } = memory
  const slot = (words[memory.process(index) + Process.STEP_SLOT] ?? 0) - 1
  return slot >= 0 && Atomics.load(words, memory.slot(slot as SlotIndex) + Slot.EXEC) === ExecState.AWAITED
}

/** The call whose step has ended, once. */
function takeStep(memory: Memory, index: ProcessIndex): SlotIndex | undefined {
  const at = memory.process(index) + Process.STEP_SLOT
  const slot = (memory.words[at] ?? 0) - 1
  memory.words[at] = 0
  return slot < 0 ? undefined : (slot as SlotIndex)
}

function send(
  memory: Memory,
  libc: Libc,
  index: ProcessIndex,
  pid: number,
  { signal, tree }: PendingSignal,
): void {
  const { words } = memory
  const row = memory.process(index)
  const generation = words[row + Process.GENERATION] ?? 0
  const mark = words[row + Process.MARK] ?? 0
  signalProcess(memory, index, generation, signal, target =>
    tree
      ? killTree(libc, { pid, mark, start: startOf(pid) ?? 0, signal, process: { index, generation } }) > 0
      : signalTarget(target, signal, (to, number) => libc.kill(to, number) === 0),
  )
}
