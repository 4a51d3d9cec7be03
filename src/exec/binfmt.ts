/**
 * How a path becomes a running helper: the table of handlers, and which one a call gets.
 *
 *   a URL of scheme `file:`   in-thread: an ES module, run on this thread
 *   anything else             a program: by posix_spawn from this thread, or, with the launcher child_process,
 *                             on the wait_for_helper thread. Node ties a child to the thread that started it,
 *                             and a khelper may have to be ended for the sake of an in-thread helper.
 */

import { Doorbell } from '../atomics-sync/index.js'
import type { Completer } from '../kernel/complete.js'
import { Control, type KhelperIndex, type Memory, Slot, SlotFlag, type SlotIndex } from '../kernel/memory.js'
import type { Libc } from '../libc/index.js'
import { InThreadHelpers } from './in-thread.js'
import { PosixLauncher } from './posix-launcher.js'

export interface Handlers {
  /** Executes a call; a promise if this thread can take no other before it is over. */
  execute(slot: SlotIndex): Promise<void> | undefined
  /** How long a call is likely to hold this thread, in milliseconds: Infinity where that is not known. */
  expected(slot: SlotIndex): number
  /** An in-thread helper has run here. */
  readonly inThreadUsed: boolean
  /** The URL of the in-thread helper that ran last here. */
  readonly lastInThread: string | undefined
  /** This thread is not what it was, and is to take no other call. */
  readonly spent: boolean
  /** This thread is about to sleep: it overwrites what it keeps of calls. */
  rest(): void
  /** Frees what the handlers hold; this thread executes nothing more. */
  close(): void
}

/**
 * @param libc the C library, where the launcher is posix_spawn
 * @param scratch the kernel's private folder, where the launcher is child_process
 * @param thrown told what an in-thread helper has thrown, before its call ends
 */
export function binfmt(
  memory: Memory,
  completer: Completer,
  khelper: KhelperIndex,
  libc: Libc | undefined,
  scratch: string | undefined,
  thrown: (error: unknown, helper: string) => void,
): Handlers {
  const posix = libc === undefined ? undefined : new PosixLauncher(memory, libc, completer, khelper)
  const inThread = new InThreadHelpers(memory, completer, khelper, libc, scratch, thrown)
  const reaper = new Doorbell(memory.buffer, memory.byteOffset(memory.control(Control.REAPER_DOORBELL)))
  return {
    execute(slot) {
      const flags = memory.words[memory.slot(slot) + Slot.FLAGS] ?? 0
      if (flags & SlotFlag.IN_THREAD) return inThread.run(slot)
      if (posix !== undefined) {
        if (flags & SlotFlag.TREE) posix.killTree(slot)
        else posix.launch(slot)
      } else {
        // Room for every slot at once, so this cannot fail.
        memory.launches.push(slot)
        reaper.ring()
      }
      return undefined
    },
    expected: slot => inThread.expected(slot),
    get inThreadUsed() {
      return inThread.used
    },
    get lastInThread() {
      return inThread.last
    },
    get spent() {
      return inThread.spent
    },
    rest() {
      inThread.rest()
      posix?.rest()
    },
    close() {
      inThread.close()
      posix?.close()
    },
  }
}
