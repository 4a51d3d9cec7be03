/**
 * Launches that hang before their exec, and whose helper is to be ended: in a program or a working directory on a file
 * system that does not answer, say. The khelper waits in vfork until its child has exec'd or gone, and cannot act on the
 * signal that was left for it (`pending-signal.ts`); nothing of the program has run, so the child is killed.
 */
import { readFileSync } from 'node:fs'
import { asFd, type Libc } from '../libc/index.js'
import {
  Khelper,
  type KhelperIndex,
  type Memory,
  Process,
  type ProcessIndex,
  ProcessState,
  type SlotIndex,
} from './memory.js'
import { hasPendingSignal } from './pending-signal.js'

/** An exec takes a millisecond; one that takes so long although its helper is to be ended hangs. */
const HUNG_MS = 100
/** Between two looks at whether a launch is over. */
const LOOK_MS = 5
const SIGKILL = 9

interface Suspect {
  /** The khelper's TAKEN: tells this launch from its next. */
  readonly taken: number
  readonly since: number
}

export class HungLaunches {
  readonly #memory: Memory
  readonly #libc: Libc | undefined
  readonly #suspects: (Suspect | undefined)[] = []

  constructor(memory: Memory, libc: Libc | undefined) {
    this.#memory = memory
    this.#libc = libc
  }

  /** To be called now and then while calls are in flight. */
  look(): void {
    if (this.#libc === undefined) return
    for (let index = 0; index < this.#memory.size.khelpers; index += 1) {
      const row = this.#memory.khelper(index as KhelperIndex)
      const taken = this.#launchToEnd(row)
      const suspect = this.#suspects[index]
      if (taken === undefined) this.#suspects[index] = undefined
      else if (suspect?.taken !== taken) this.#suspects[index] = { taken, since: performance.now() }
      else if (performance.now() - suspect.since > HUNG_MS)
        this.#end(this.#libc, row, taken, () => this.#launchToEnd(row))
    }
  }

  /**
   * The process is going, which ends only when every thread does: launches under way have the time of one that hangs, and
   * those that do are ended.
   */
  exit(): void {
    if (this.#libc === undefined) return
    const { words } = this.#memory
    const deadline = performance.now() + HUNG_MS
    for (let index = 0; index < this.#memory.size.khelpers; index += 1) {
      const row = this.#memory.khelper(index as KhelperIndex)
      const launch = this.#launch(row)
      while (launch !== undefined && this.#launch(row) === launch) {
        const left = deadline - performance.now()
        if (left <= 0) {
          this.#end(this.#libc, row, launch, () => this.#launch(row))
          break
        }
        // Changes with the launch's end, and nobody notifies: a short sleep.
        Atomics.wait(words, row + Khelper.TAKEN, launch, Math.min(left, LOOK_MS))
      }
    }
  }

  /** @returns the khelper's TAKEN, if it is at a launch */
  #launch(row: number): number | undefined {
    const { words } = this.#memory
    const taken = Atomics.load(words, row + Khelper.TAKEN)
    const starting = Atomics.load(words, row + Khelper.STARTING) !== 0
    return starting && Atomics.load(words, row + Khelper.CURRENT) > 0 ? taken : undefined
  }

  /** @returns the khelper's TAKEN, if it is at a launch that is to be ended */
  #launchToEnd(row: number): number | undefined {
    const taken = this.#launch(row)
    const slot = (Atomics.load(this.#memory.words, row + Khelper.CURRENT) - 1) as SlotIndex
    return taken !== undefined && slot >= 0 && hasPendingSignal(this.#memory, slot) ? taken : undefined
  }

  #end(libc: Libc, row: number, taken: number, launch: () => number | undefined): void {
    const { words } = this.#memory
    const started = this.#startedPids()
    for (const pid of childrenOf(words[row + Khelper.THREAD_ID] ?? 0)) {
      if (started.has(pid)) continue
      const pidfd = libc.pidfdOpen(pid)
      if (pidfd < 0) continue
      // Looked at behind the opening: the khelper is still at that launch, so this is its child and no later one.
      if (launch() === taken) libc.pidfdSendSignal(asFd(pidfd), SIGKILL)
      libc.close(asFd(pidfd))
    }
  }

  /** What has been started: a khelper's other children. */
  #startedPids(): Set<number> {
    const { words, size } = this.#memory
    const pids = new Set<number>()
    for (let index = 0; index < size.descriptors; index += 1) {
      const row = this.#memory.process(index as ProcessIndex)
      if (Atomics.load(words, row + Process.STATE) !== ProcessState.FREE)
        pids.add(words[row + Process.PID] ?? 0)
    }
    return pids
  }
}

/** The children of one thread of this process. */
function childrenOf(thread: number): number[] {
  try {
    const text = readFileSync(`/proc/self/task/${thread}/children`, 'latin1')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
