/**
 * Takes over a launch that its khelper thread died in.
 */
import { asFd, type Libc } from '../libc/index.js'
import type { Completer } from './complete.js'
import { UMH_WAIT_PROC } from './constants.js'
import { closeOwned, closePipes, watchCaptures } from './launch-descriptors.js'
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
import { freeProcess } from './process-table.js'

/**
 * @returns whether the program runs, and has been handed to the wait_for_helper thread, which must be
 *   woken; else everything made for it has been taken back, and the call is still to be ended
 */
export function recoverLaunch(
  memory: Memory,
  libc: Libc,
  completer: Completer,
  slot: SlotIndex,
  process: number,
): boolean {
  const { words } = memory
  const slotRow = memory.slot(slot)
  const row = memory.process(process as ProcessIndex)
  // posix_spawn itself writes the pid, and only when it succeeds.
  const pid = words[row + Process.PID] ?? 0
  closeOwned(memory, libc, slot)
  if (pid === 0) {
    closePipes(memory, libc, row)
    freeProcess(memory, process as ProcessIndex)
    return false
  }
  const waited = ((words[slotRow + Slot.WAIT] ?? 0) & UMH_WAIT_PROC) !== 0
  words[row + Process.SLOT] = waited ? slot + 1 : 0
  words[slotRow + Slot.PID] = pid
  words[slotRow + Slot.PROCESS] = process + 1
  words[slotRow + Slot.PROCESS_GENERATION] = words[row + Process.GENERATION] ?? 0
  watchCaptures(memory, libc, process as ProcessIndex, asFd(words[memory.control(Control.EPOLL_FD)] ?? -1))
  if (waited) Atomics.store(words, slotRow + Slot.STATE, SlotState.RUNNING)
  Atomics.store(words, row + Process.STATE, ProcessState.LIVE)
  completer.execDone(slot, ExecState.STARTED)
  Atomics.store(words, row + Process.HANDED_OVER, 1)
  if (!waited) completer.umhComplete(slot, 0)
  return true
}
