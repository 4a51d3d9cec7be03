/**
 * From the khelper that has started a process to the wait_for_helper thread: by the khelper itself, or by whoever takes a
 * launch over that its khelper died in.
 *
 *   STARTING   the row is the khelper's; the process is being made
 *   LIVE       there is a process: it can be signalled (`pending-signal.ts`), and its call is told its pid
 *   exec'd     without an exec step, at once; with one, when the wait_for_helper thread finds its pipe closed
 *   failed     the step has told why; nothing of the program ran, and the process is only to be reaped
 *
 * A process that is stopped or killed in its step, by whoever may signal it by then, holds up its own call alone: no
 * thread waits for a step.
 */
import { asFd, type Libc } from '../libc/index.js'
import type { Completer } from './complete.js'
import { UMH_WAIT_PROC } from './constants.js'
import { closeOwned, watchCaptures } from './launch-descriptors.js'
import {
  Control,
  ExecState,
  type Memory,
  Process,
  type ProcessIndex,
  ProcessState,
  Slot,
  type SlotIndex,
  SlotState,
} from './memory.js'
import { tellPid } from './pending-signal.js'
import { signalProcess } from './process-table.js'
import { killTree, startOf } from './process-tree.js'

export interface HandedOver {
  /** Its call goes on until the process has ended. */
  readonly waited: boolean
  /** Its exec step is under way; `watchStep` is still to be called, when nothing else of the call is needed. */
  readonly stepping: boolean
}

/**
 * Says that there is a process, and sends it what it was to be sent. Its exit may be seen from here on; its call is still
 * the caller's, unless `afterwards` ends it.
 * @param pidfd gives a pidfd to watch, or a negative number: then it is asked for from time to time
 */
export function handOver(
  memory: Memory,
  libc: Libc,
  completer: Completer,
  slot: SlotIndex,
  index: ProcessIndex,
  pidfd: (pid: number) => number,
): HandedOver {
  const { words } = memory
  const slotRow = memory.slot(slot)
  const row = memory.process(index)
  const waited = ((words[slotRow + Slot.WAIT] ?? 0) & UMH_WAIT_PROC) !== 0
  const stepping = (words[row + Process.STEP_PIPE] ?? 0) > 0
  const pid = words[row + Process.PID] ?? 0
  closeOwned(memory, libc, slot)
  words[row + Process.SLOT] = waited ? slot + 1 : 0
  words[row + Process.STEP_SLOT] = stepping ? slot + 1 : 0
  words[slotRow + Slot.PROCESS] = index + 1
  words[slotRow + Slot.PROCESS_GENERATION] = words[row + Process.GENERATION] ?? 0
  watchCaptures(memory, libc, index, asFd(words[memory.control(Control.EPOLL_FD)] ?? -1))
  const watched = pidfd(pid)
  if (watched >= 0) words[row + Process.PIDFD] = watched + 1
  if (waited && !stepping) Atomics.store(words, slotRow + Slot.STATE, SlotState.RUNNING)
  Atomics.store(words, row + Process.STATE, ProcessState.LIVE)
  const pending = tellPid(memory, slot, pid)
  if (pending !== undefined) send(memory, libc, index, pid, pending.signal, pending.tree)
  if (!stepping) completer.execDone(slot, ExecState.STARTED)
  Atomics.store(words, row + Process.HANDED_OVER, 1)
  return { waited, stepping }
}

function send(
  memory: Memory,
  libc: Libc,
  index: ProcessIndex,
  pid: number,
  signal: number,
  tree: boolean,
): void {
  const row = memory.process(index)
  const generation = memory.words[row + Process.GENERATION] ?? 0
  const mark = memory.words[row + Process.MARK] ?? 0
  signalProcess(memory, index, generation, signal, target =>
    tree
      ? killTree(libc, { pid, mark, start: startOf(pid) ?? 0, signal, process: { index, generation } }) > 0
      : libc.kill(target, signal) === 0,
  )
}
