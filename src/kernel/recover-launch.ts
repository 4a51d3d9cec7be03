/**
 * Takes over a launch that its khelper thread died in.
 */
import type { Libc } from '../libc/index.js'
import type { Completer } from './complete.js'
import { handOver } from './hand-over.js'
import { closeOwned, closePipes } from './launch-descriptors.js'
import { type Memory, Process, type ProcessIndex, type SlotIndex } from './memory.js'
import { freeProcess } from './process-table.js'

const NO_PIDFD = () => -1
const NOT_WATCHED = () => false

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
  const index = process as ProcessIndex
  const row = memory.process(index)
  // posix_spawn itself writes the pid, and only when it succeeds.
  if ((words[row + Process.PID] ?? 0) === 0) {
    closeOwned(memory, libc, slot)
    closePipes(memory, libc, row)
    freeProcess(memory, index)
    return false
  }
  handOver(memory, libc, completer, slot, index, NO_PIDFD, () => {}, NOT_WATCHED)
  return true
}
