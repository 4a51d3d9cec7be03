/**
 * Sends signals to helpers, from whichever thread made their call.
 */
import type { Libc } from '../libc/index.js'
import { type Memory, type ProcessIndex, Slot, type SlotIndex, SlotState } from './memory.js'
import { leaveSignal } from './pending-signal.js'
import { signalProcess } from './process-table.js'
import { signalGroup, signalTarget } from './process-tree.js'
import { isInThread } from './workqueue.js'

/** What the thread that has the khelper threads does for others. */
export interface ThreadSignals {
  /** Ends an in-thread helper, or asks it to end. */
  signalInThread(slot: SlotIndex, signal: number): boolean
  /** Makes the wait_for_helper thread look at calls marked KILLED. */
  wakeReaper(): void
}

export class Signaller {
  readonly #memory: Memory
  readonly #libc: Libc | undefined
  readonly #threads: ThreadSignals

  constructor(memory: Memory, libc: Libc | undefined, threads: ThreadSignals) {
    this.#memory = memory
    this.#libc = libc
    this.#threads = threads
  }

  /**
   * Signals the helper of a call that has been taken up. Nobody waits for its exec: where it has no process yet, its
   * khelper sends the signal as soon as there is one.
   * @returns whether there was something to signal
   */
  signalCall(slot: SlotIndex, signal: number): boolean {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    if (isInThread(this.#memory, slot)) {
      return signal === 0 || this.#threads.signalInThread(slot, signal)
    }
    if (Atomics.load(words, row + Slot.STATE) === SlotState.DONE) return false
    // The signal 0 asks whether there is something to signal: there will be.
    if (signal === 0) return Atomics.load(words, row + Slot.PID) === 0 || this.#signalProcess(row, 0)
    const pending = leaveSignal(this.#memory, slot, { signal, tree: false })
    const sent = pending === undefined || this.#signalProcess(row, pending.signal)
    if (Atomics.load(words, row + Slot.KILLED) === 1) this.#threads.wakeReaper()
    return sent
  }

  /**
   * Asks for the end of a helper that may have no process yet, with all that it may have by then.
   * @returns the signal that the caller has to send itself, as there is a process; undefined: it is sent
   */
  leaveTreeKill(slot: SlotIndex, signal: number): number | undefined {
    return leaveSignal(this.#memory, slot, { signal, tree: true })?.signal
  }

  #signalProcess(row: number, signal: number): boolean {
    const { words } = this.#memory
    const process = words[row + Slot.PROCESS] ?? 0
    const generation = words[row + Slot.PROCESS_GENERATION] ?? 0
    return process === 0
      ? this.#signalPid(words[row + Slot.PID] ?? 0, signal)
      : this.signal({ index: process - 1, generation }, signal)
  }

  /** Makes the wait_for_helper thread look at calls that are marked KILLED. */
  wakeReaper(): void {
    this.#threads.wakeReaper()
  }

  /** Signals a process that has a row, and its group with it. */
  signal(
    { index, generation }: { readonly index: number; readonly generation: number },
    signal: number,
  ): boolean {
    return signalProcess(this.#memory, index as ProcessIndex, generation, signal, (target, number) =>
      signalTarget(target, number, this.#kill),
    )
  }

  readonly #kill = (pid: number, signal: number): boolean =>
    this.#libc === undefined ? sendByNode(pid, signal) : this.#libc.kill(pid, signal) === 0

  /** A child of node:child_process leads a group unless it shares the service's terminal. */
  #signalPid(pid: number, signal: number): boolean {
    return pid > 0 && signalGroup(pid, signal, sendByNode)
  }
}

/** kill(2) by Node; tells whether the signal arrived. */
export function sendByNode(pid: number, signal: number): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
