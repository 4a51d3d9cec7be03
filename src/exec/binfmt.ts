/**
 * How a path becomes a running helper: the table of handlers, and which one a call gets.
 *
 *   a URL of scheme `file:`   in-thread: an ES module, run on this thread
 *   anything else             a program, started by this kernel's launcher
 */
import type { Completer } from '../kernel/complete.js'
import { type KhelperIndex, type Memory, Slot, SlotFlag, type SlotIndex } from '../kernel/memory.js'
import type { Libc } from '../libc/index.js'
import { ChildProcessLauncher } from './child-process-launcher.js'
import { InThreadHelpers } from './in-thread.js'
import { PosixLauncher } from './posix-launcher.js'

export interface Handlers {
  /** Executes a call; a promise if this thread can take no other before it is over. */
  execute(slot: SlotIndex): Promise<void> | undefined
  /** This thread's event loop has children to see exit. */
  readonly busy: boolean
  /** An in-thread helper has run here. */
  readonly inThreadUsed: boolean
  /** Resolves when this thread has no children left. */
  drained(): Promise<void>
  /** Frees what the handlers hold. */
  close(): void
}

/**
 * @param libc the C library, where the launcher is posix_spawn
 * @param scratch the kernel's private folder, where the launcher is child_process
 */
export function binfmt(
  memory: Memory,
  completer: Completer,
  khelper: KhelperIndex,
  libc: Libc | undefined,
  scratch: string | undefined,
): Handlers {
  const posix = libc === undefined ? undefined : new PosixLauncher(memory, libc, completer, khelper)
  const childProcess =
    posix === undefined ? new ChildProcessLauncher(memory, completer, scratch ?? '') : undefined
  const inThread = new InThreadHelpers(memory, completer, khelper, libc, scratch)
  return {
    execute(slot) {
      const flags = memory.words[memory.slot(slot) + Slot.FLAGS] ?? 0
      if (flags & SlotFlag.IN_THREAD) return inThread.run(slot)
      if (posix !== undefined) posix.launch(slot)
      else childProcess?.launch(slot)
      return undefined
    },
    get busy() {
      return childProcess?.busy ?? false
    },
    get inThreadUsed() {
      return inThread.used
    },
    drained: () => childProcess?.drained() ?? Promise.resolve(),
    close: () => posix?.close(),
  }
}
