/**
 * Starts the khelper threads and the wait_for_helper thread, replaces those that die, adds one where all
 * are held by in-thread helpers, and ends those that must end.
 *
 * node:worker_threads rather than a pool: a call is tied to the thread that holds it by a word in shared
 * memory, so the thread's number must outlive the thread, and exactly that thread must be ended when
 * its helper has to be killed.
 */
import { closeSync, existsSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { type ResourceLimits, Worker } from 'node:worker_threads'
import { Doorbell } from '../atomics-sync/index.js'
import { asFd, errno, type Libc, waitStatusOf } from '../libc/index.js'
import type { Completer } from './complete.js'
import { ONE } from './event-counter.js'
import { HungLaunches } from './hung-launches.js'
import {
  Control,
  Khelper,
  type KhelperIndex,
  KhelperState,
  khelperState,
  type Memory,
  RunState,
  Slot,
  type SlotIndex,
  SlotState,
  Step,
  stateOfKhelper,
} from './memory.js'
import { programOf } from './program-of.js'
import { recoverLaunch } from './recover-launch.js'
import { isInThread } from './workqueue.js'

/** What a khelper thread is given. */
export interface KhelperData {
  readonly thread: 'khelper'
  readonly buffer: SharedArrayBuffer
  readonly khelper: number
  /** Of this thread, among all that were started. */
  readonly serial: number
  readonly scratch: string | undefined
  /** Milliseconds without work after which it leaves. */
  readonly retireAfter: number | undefined
}

/** What the wait_for_helper thread is given. */
export interface ReaperData {
  readonly thread: 'wait_for_helper'
  readonly buffer: SharedArrayBuffer
  readonly scratch: string | undefined
}

/** What a khelper thread tells: what ran last on it, when it dies; what an in-thread helper has thrown. */
export type KhelperMessage =
  | { readonly ran: string | undefined }
  | {
      readonly thrown: { readonly message: string; readonly stack: string }
      readonly threadId: number
      readonly helper: string
    }

/** An in-thread helper that has thrown, or given what is no exit status; its thread goes on. */
export interface ThrownHelper {
  readonly threadId: number
  /** Its message and stack; not its class. */
  readonly error: Error
  /** The URL. */
  readonly helper: string
}

/** How a khelper thread came to its end, other than by leaving when there was nothing left for it to do. */
export interface KhelperDeath {
  /** Its number; the thread that takes its place has the same. */
  readonly khelper: number
  /** Linux's number of the thread; 0 elsewhere, and for a thread that did not come up. */
  readonly threadId: number
  /**
   * `'error'`: an exception that nobody caught, or no memory left; `'exit'`: an in-thread helper called `process.exit`;
   * `'signal'`: it was ended for the sake of its in-thread helper.
   */
  readonly reason: 'error' | 'exit' | 'signal'
  readonly error: Error | undefined
  readonly exitCode: number | undefined
  /** The number of the signal; SIGABRT where memory ran out. */
  readonly signal: number | undefined
  /** What it was executing, a path or the URL of an in-thread helper, or else the in-thread helper that ran last on it. */
  readonly helper: string | undefined
}

export interface SupervisorOptions {
  /** Threads that stay once they are there. */
  readonly khelpers: number
  /** How many of them start at once: the others when calls wait. */
  readonly atOnce: number
  readonly scratch: string | undefined
  readonly resourceLimits: ResourceLimits | undefined
}

const KHELPER = new URL('../../workers/khelper.js', import.meta.url)
const WAIT_FOR_HELPER = new URL('../../workers/wait-for-helper.js', import.meta.url)

/** An added khelper leaves after this time without work. */
const RETIRE_MS = 5_000
/** After so many threads in a row that did not come up, the calls that wait for one fail. */
const FAILED_STARTS = 5
const RESTART_MS = 50
/** A thread that has not come up after this time, while this one is blocked and hears of nothing, is taken for dead. */
const COMING_UP_MS = 2_000
/** What a khelper may still take for itself at a shutdown, or at its own end, when every call of its has ended. */
const STOP_MS = 1_000
/** At least this long between two looks at whether threads have died, or are all held. */
const LOOK_MS = 15
/** Loading takes some milliseconds; who ends the process or a thread waits no longer than this for it. */
const LOADING_MS = 5_000
/**
 * A thread that reads modules is not ended meanwhile, or Node leaves the file open that it was just opening. Reading is
 * over long before this; what takes longer is a module whose own code does not end.
 */
const IMPORT_MS = 250
/** A khelper whose launch takes longer does nothing else for a while: its program's file system may have gone. */
const HELD_BY_LAUNCH_MS = 1_000
/** More than a thread opens to come up, and to load what it runs. */
const THREAD_DESCRIPTORS = 12
const SIGKILL = 9
const SIGABRT = 6
const THREADS_IN_PROC = existsSync('/proc/self/task')

interface Thread {
  readonly worker: Worker
  readonly started: number
  /** What stands in its row's STATE until it has come up. */
  readonly starting: number
  /** The signal that it is being ended with. */
  killedBy: number | undefined
  error: NodeJS.ErrnoException | undefined
  /** The in-thread helper that ran last on it, as it tells when it dies. */
  helper: string | undefined
  /** Exceptions of in-thread helpers that it has told. */
  thrown: number
}

interface Importing {
  readonly index: KhelperIndex
  readonly thread: Thread
  readonly deadline: number
}

export class Supervisor {
  readonly #memory: Memory
  readonly #completer: Completer
  readonly #libc: Libc | undefined
  readonly #options: SupervisorOptions
  readonly #threads: (Thread | undefined)[] = []
  readonly #reaperDoorbell: Doorbell
  readonly #hungLaunches: HungLaunches
  readonly #ready: Promise<unknown>
  #reaper: Worker | undefined
  #reaperWanted = false
  /** When it could last not be started. */
  #reaperFailed = Number.NEGATIVE_INFINITY
  #failedStarts = 0
  /** Khelper threads that were started. */
  #serial = 0
  /** When a thread that did not come up is tried again. */
  readonly #restartAt: (number | undefined)[] = []
  /** Each khelper's TAKEN at the last look, and since when it has been the same. */
  readonly #takenBefore: number[] = []
  readonly #takenSince: number[] = []
  #looked = 0
  /** When the event loop last had a turn behind `watch`, and whether one is due. */
  #turned = performance.now()
  #turnDue = false
  /** Threads whose death was seen before it was told. */
  #untold = 0
  #whenTold: (() => void)[] = []
  #stopped = false
  /** Threads that are to be ended and were just reading modules. */
  readonly #importing: Importing[] = []

  constructor(memory: Memory, completer: Completer, libc: Libc | undefined, options: SupervisorOptions) {
    this.#memory = memory
    this.#completer = completer
    this.#libc = libc
    this.#options = options
    this.#hungLaunches = new HungLaunches(memory, libc)
    this.#reaperDoorbell = new Doorbell(
      memory.buffer,
      memory.byteOffset(memory.control(Control.REAPER_DOORBELL)),
    )
    const online: Promise<unknown>[] = []
    for (let khelper = 0; khelper < options.atOnce; khelper += 1) {
      online.push(this.#restart(khelper as KhelperIndex))
    }
    this.#ready = Promise.all(online)
  }

  /** Resolves when the khelpers that start at once have come up; holds the event loop open until then. */
  get ready(): Promise<unknown> {
    const open = setInterval(() => {}, 2 ** 30)
    return this.#ready.finally(() => clearInterval(open))
  }

  /** Khelper threads that are there. */
  get khelpers(): number {
    return this.#threads.filter(thread => thread !== undefined).length
  }

  /** Starts the wait_for_helper thread, if it is not there; what cannot be started now, `watch` tries again. */
  startReaper(): void {
    if (this.#reaper !== undefined) return
    this.#reaperWanted = true
    if (performance.now() - this.#reaperFailed < RESTART_MS) return
    try {
      this.#newReaper()
    } catch {
      this.#reaperFailed = performance.now()
    }
  }

  #newReaper(): void {
    const data: ReaperData = {
      thread: 'wait_for_helper',
      buffer: this.#memory.buffer,
      scratch: this.#options.scratch,
    }
    const worker = this.#worker(WAIT_FOR_HELPER, 'wait_for_helper', data)
    this.#reaper = worker
    // What does not come up is not tried again at once.
    let online = false
    worker.once('online', () => {
      online = true
    })
    worker.unref()
    worker.on('error', () => {})
    worker.once('exit', () => {
      this.#reaper = undefined
      if (this.#libc === undefined) this.#failLaunched()
      const state = Atomics.load(this.#memory.words, this.#memory.control(Control.RUN_STATE))
      if (state > RunState.STOPPING) this.onReaperGone?.()
      else if (online) this.startReaper()
      else {
        this.#reaperFailed = performance.now()
        setTimeout(() => this.#stopped || this.startReaper(), RESTART_MS).unref()
      }
    })
  }

  /** Called when a khelper thread has died. */
  onKhelperDeath: ((death: KhelperDeath) => void) | undefined

  #onThrown: ((thrown: ThrownHelper) => void) | undefined

  /** Has a function called with what in-thread helpers throw. */
  onThrown(tell: (thrown: ThrownHelper) => void): void {
    this.#onThrown = tell
    Atomics.store(this.#memory.words, this.#memory.control(Control.THROWN_HEARD), 1)
  }

  /** Whether a call that has ended may have ended by a death, or an exception, that is still to be told. */
  get telling(): boolean {
    if (this.#untold > 0) return true
    const { words } = this.#memory
    return this.#threads.some((thread, index) => {
      if (thread === undefined) return false
      const row = this.#memory.khelper(index as KhelperIndex)
      const state = stateOfKhelper(Atomics.load(words, row + Khelper.STATE))
      const leaves = state === KhelperState.LEAVING || state === KhelperState.DEAD
      return leaves || thread.thrown < Atomics.load(words, row + Khelper.THROWN)
    })
  }

  /** Resolves when nothing is `telling` any more, or a thread takes too long for it. */
  async told(): Promise<void> {
    if (!this.telling) return
    await new Promise<void>(resolve => {
      const overdue = setTimeout(resolve, STOP_MS)
      this.#whenTold.push(() => {
        clearTimeout(overdue)
        resolve()
      })
    })
  }

  #someTold(): void {
    if (this.#whenTold.length === 0 || this.telling) return
    for (const told of this.#whenTold.splice(0)) told()
  }

  /** Called when the wait_for_helper thread has left for good. */
  onReaperGone: (() => void) | undefined

  /** Whether the process stays for the wait_for_helper thread. */
  refReaper(stays: boolean): void {
    if (stays) this.#reaper?.ref()
    else this.#reaper?.unref()
  }

  get hasReaper(): boolean {
    return this.#reaper !== undefined
  }

  /** To be called now and then while calls are in flight; may be called while this thread is blocked. */
  watch(): void {
    this.#deliverSignals()
    this.#hungLaunches.look()
    if (this.#importing.length > 0) this.#endImporting()
    const now = performance.now()
    if (now - this.#looked < LOOK_MS || this.#stopped) return
    this.#looked = now
    this.#noteTurn()
    if (this.#reaperWanted) this.startReaper()
    this.#restartDue()
    this.#lookForDead()
    this.#addIfNeeded()
  }

  /** Ends an in-thread helper, or asks it to end if it handles signals. */
  signalInThread(slot: SlotIndex, signal: number): boolean {
    const { words } = this.#memory
    const index = (words[this.#memory.slot(slot) + Slot.KHELPER] ?? 0) - 1
    const thread = this.#threads[index]
    if (thread === undefined) return false
    const row = this.#memory.khelper(index as KhelperIndex)
    if (Math.abs(Atomics.load(words, row + Khelper.CURRENT)) !== slot + 1) return false
    if (signal !== SIGKILL && Atomics.load(words, row + Khelper.HANDLES_SIGNALS) === 1) {
      Atomics.store(words, row + Khelper.SIGNAL, signal)
      new Doorbell(this.#memory.buffer, this.#memory.byteOffset(row + Khelper.SIGNAL_DOORBELL)).ring()
      return true
    }
    if (Atomics.compareExchange(words, row + Khelper.CURRENT, slot + 1, -(slot + 1)) !== slot + 1)
      return false
    thread.killedBy = signal
    if (Atomics.load(words, row + Khelper.IMPORTING) === 0) void thread.worker.terminate()
    else
      this.#importing.push({ index: index as KhelperIndex, thread, deadline: performance.now() + IMPORT_MS })
    return true
  }

  /** Ends those that are to be ended, when they have read what they were reading; `watch` comes by until they are gone. */
  #endImporting(): void {
    const { words } = this.#memory
    const now = performance.now()
    for (const ending of this.#importing.splice(0)) {
      const { index, thread, deadline } = ending
      if (this.#threads[index] !== thread) continue
      const reads = Atomics.load(words, this.#memory.khelper(index) + Khelper.IMPORTING) === 1
      if (reads && now < deadline) this.#importing.push(ending)
      else void thread.worker.terminate()
    }
  }

  /** Lets the threads leave; to be called when no call is in flight. */
  async stop(): Promise<void> {
    const { words } = this.#memory
    this.#stopped = true
    Atomics.store(words, this.#memory.control(Control.RUN_STATE), RunState.STOPPED)
    this.#wakeAll()
    await Promise.all(
      this.#threads.map(thread => (thread === undefined ? undefined : this.#leave(thread.worker))),
    )
  }

  /** The process is going: nothing may hold it up, but for threads that are just loading native code. */
  exit(): void {
    this.#stopped = true
    const { words } = this.#memory
    Atomics.store(words, this.#memory.control(Control.RUN_STATE), RunState.EXITING)
    this.#wakeAll()
    this.#hungLaunches.exit()
    const loading = this.#memory.control(Control.LOADING)
    const deadline = performance.now() + LOADING_MS
    for (let threads = Atomics.load(words, loading); threads > 0; threads = Atomics.load(words, loading)) {
      if (performance.now() > deadline) return
      Atomics.wait(words, loading, threads, LOOK_MS)
    }
  }

  /** Makes the wait_for_helper thread look at what is not announced by an event. */
  wakeReaper(): void {
    const fd = this.#memory.words[this.#memory.control(Control.EVENT_FD)] ?? 0
    if (fd > 0) this.#libc?.write(asFd(fd), ONE)
    this.#reaperDoorbell.ring()
  }

  #wakeAll(): void {
    this.#memory.idleKhelpers.wakeUpAll()
    this.wakeReaper()
  }

  async #leave(worker: Worker): Promise<void> {
    const loading = this.#memory.control(Control.LOADING)
    const deadline = performance.now() + STOP_MS + LOADING_MS
    const end = () => {
      const waits = Atomics.load(this.#memory.words, loading) > 0 && performance.now() < deadline
      if (waits) overdue = setTimeout(end, LOOK_MS)
      else void worker.terminate()
    }
    let overdue = setTimeout(end, STOP_MS)
    // Not `once`: it would reject with the last error of an in-thread helper.
    await new Promise<void>(resolve => worker.once('exit', () => resolve()))
    clearTimeout(overdue)
  }

  /** @throws where a thread cannot be had */
  #worker(url: URL, name: string, workerData: KhelperData | ReaperData): Worker {
    seeDescriptors()
    return new Worker(url, {
      name,
      workerData,
      // Descriptors travel between threads: none is a single thread's to close.
      trackUnmanagedFds: false,
      ...(this.#options.resourceLimits && { resourceLimits: this.#options.resourceLimits }),
      // Node hands these down to threads, where it then refuses them.
      ...(process.execArgv.some(flag => flag.startsWith('--input-type')) && { execArgv: [] }),
    })
  }

  #start(index: KhelperIndex): Promise<void> {
    const { words } = this.#memory
    const row = this.#memory.khelper(index)
    words.fill(0, row, row + Khelper.WORDS)
    this.#serial += 1
    const starting = khelperState(KhelperState.STARTING, this.#serial)
    Atomics.store(words, row + Khelper.STATE, starting)
    const data: KhelperData = {
      thread: 'khelper',
      buffer: this.#memory.buffer,
      khelper: index,
      serial: this.#serial,
      scratch: this.#options.scratch,
      retireAfter: index < this.#options.khelpers ? undefined : RETIRE_MS,
    }
    const thread: Thread = {
      worker: this.#worker(KHELPER, `khelper/${index}`, data),
      started: performance.now(),
      starting,
      killedBy: undefined,
      error: undefined,
      helper: undefined,
      thrown: 0,
    }
    this.#threads[index] = thread
    // Before the unref, as listening takes a reference.
    thread.worker.on('message', (message: KhelperMessage) => this.#hear(thread, message))
    thread.worker.unref()
    thread.worker.on('error', error => {
      thread.error = error as NodeJS.ErrnoException
    })
    thread.worker.once('exit', code => {
      this.#died(index, thread, code)
      this.#someTold()
    })
    return new Promise<void>(resolve => {
      thread.worker.once('online', resolve)
      thread.worker.once('exit', () => resolve())
    })
  }

  #hear(thread: Thread, message: KhelperMessage): void {
    if ('ran' in message) {
      thread.helper = message.ran
      return
    }
    const { thrown, threadId, helper } = message
    thread.thrown += 1
    this.#onThrown?.({ threadId, error: Object.assign(new Error(thrown.message), thrown), helper })
    this.#someTold()
  }

  /** @param code the exit code, where it is known */
  #died(index: KhelperIndex, thread: Thread, code: number | undefined): void {
    if (this.#threads[index] !== thread) return
    const { words } = this.#memory
    const row = this.#memory.khelper(index)
    this.#threads[index] = undefined
    const state = stateOfKhelper(Atomics.load(words, row + Khelper.STATE))
    this.#failedStarts = state < KhelperState.RUNNING ? this.#failedStarts + 1 : 0
    Atomics.store(words, row + Khelper.STATE, KhelperState.NONE)
    this.#memory.idleKhelpers.forget(index)
    const held = Math.abs(Atomics.load(words, row + Khelper.CURRENT))
    const program = held > 0 ? programOf(this.#memory, (held - 1) as SlotIndex) : undefined
    const reserve = Atomics.exchange(words, row + Khelper.RESERVE, 0) - 1
    if (reserve >= 0) this.#libc?.close(asFd(reserve))
    this.#completeHeld(row, thread, code)
    if (this.#stopped) return
    const threadId = words[row + Khelper.THREAD_ID] ?? 0
    const tell = (exitCode: number) => {
      if (exitCode === 0) return
      const helper = program ?? thread.helper
      this.onKhelperDeath?.({ khelper: index, threadId, ...causeOfDeath(thread, exitCode), helper })
    }
    // Where its death was seen before it was told, its error, its code and what it ran last are still on their way.
    if (code !== undefined) tell(code)
    else {
      this.#untold += 1
      // One that goes on all the same, in a helper's own listener of `exit` or behind it.
      const overdue = setTimeout(() => void thread.worker.terminate(), STOP_MS).unref()
      thread.worker.once('exit', exitCode => {
        this.#untold -= 1
        clearTimeout(overdue)
        tell(exitCode)
        this.#someTold()
      })
    }
    if (index < this.#options.khelpers) this.#replace(index)
    // A wake-up may have been spent on the dead.
    this.#memory.idleKhelpers.wakeUp()
  }

  /** Ends the call that a dead khelper held, or hands its program on to the wait_for_helper thread. */
  #completeHeld(row: number, thread: Thread, code: number | undefined): void {
    const { words } = this.#memory
    const current = Math.abs(Atomics.exchange(words, row + Khelper.CURRENT, 0))
    const starting = Atomics.exchange(words, row + Khelper.STARTING, 0)
    if (current === 0) return
    const slot = (current - 1) as SlotIndex
    if (isInThread(this.#memory, slot)) {
      this.#completer.umhComplete(slot, inThreadStatus(thread, code))
      return
    }
    const recovered =
      this.#libc !== undefined &&
      starting > 0 &&
      recoverLaunch(this.#memory, this.#libc, this.#completer, slot, starting - 1)
    if (recovered) this.wakeReaper()
    else this.#completer.fail(slot, errno('EOWNERDEAD'), Step.KHELPER)
  }

  #replace(index: KhelperIndex): void {
    if (this.#failedStarts === 0) {
      void this.#restart(index)
      return
    }
    // Threads do not come up, for want of memory most likely: not at once again, and not for ever in vain.
    if (this.#failedStarts >= FAILED_STARTS && this.khelpers === 0) this.#failQueued()
    this.#restartAt[index] = performance.now() + RESTART_MS
    setTimeout(() => this.#restartDue(), RESTART_MS).unref()
  }

  /** Threads that did not come up are tried again; by `watch` too, because a blocked thread has no timers. */
  #restartDue(): void {
    const now = performance.now()
    for (let index = 0; index < this.#options.khelpers && !this.#stopped; index += 1) {
      if (this.#threads[index] !== undefined || (this.#restartAt[index] ?? Infinity) > now) continue
      this.#restartAt[index] = undefined
      void this.#restart(index as KhelperIndex)
    }
  }

  /** Starts a thread, now or when one can be had. @returns resolves when it has come up, or has not */
  async #restart(index: KhelperIndex): Promise<void> {
    let started: Promise<void>
    try {
      started = this.#start(index)
    } catch {
      this.#failedStarts += 1
      this.#replace(index)
      return
    }
    await started
  }

  /** The thread that had started them by node:child_process has gone: nobody will hear of their exits. */
  #failLaunched(): void {
    const { words, size } = this.#memory
    for (let index = 0; index < size.descriptors; index += 1) {
      const slot = index as SlotIndex
      const row = this.#memory.slot(slot)
      const state = Atomics.load(words, row + Slot.STATE)
      const taken = state === SlotState.EXECUTING || state === SlotState.RUNNING
      if (!taken || isInThread(this.#memory, slot)) continue
      this.#completer.fail(slot, errno('EOWNERDEAD'), Step.KHELPER)
    }
    Atomics.store(words, this.#memory.control(Control.PROCESSES), 0)
  }

  #failQueued(): void {
    for (const queue of [this.#memory.deferred, this.#memory.queue]) {
      for (let slot = queue.pop(); slot !== undefined; slot = queue.pop()) {
        this.#completer.fail(slot as SlotIndex, errno('EAGAIN'), Step.KHELPER)
      }
    }
  }

  /** Signals for in-thread helpers that other threads have asked for. */
  #deliverSignals(): void {
    const { words } = this.#memory
    if (Atomics.exchange(words, this.#memory.control(Control.KILL_REQUESTS), 0) === 0) return
    for (let index = 0; index < this.#threads.length; index += 1) {
      const current = Atomics.load(words, this.#memory.khelper(index as KhelperIndex) + Khelper.CURRENT)
      if (current <= 0) continue
      const slot = (current - 1) as SlotIndex
      // A program's is its khelper's to send.
      if (!isInThread(this.#memory, slot)) continue
      const signal = Atomics.exchange(words, this.#memory.slot(slot) + Slot.KILL_REQUEST, 0)
      if (signal !== 0) this.signalInThread(slot, signal)
    }
  }

  #noteTurn(): void {
    if (this.#turnDue) return
    this.#turnDue = true
    setImmediate(() => {
      this.#turnDue = false
      this.#turned = performance.now()
    }).unref()
  }

  /**
   * A blocked thread hears of no `exit` event: one that ends says so in its row, and of one that was ended Linux tells in
   * /proc, where its number is known.
   */
  #lookForDead(): void {
    const { words } = this.#memory
    for (const [index, thread] of this.#threads.entries()) {
      if (thread === undefined) continue
      const row = this.#memory.khelper(index as KhelperIndex)
      const id = words[row + Khelper.THREAD_ID] ?? 0
      const state = stateOfKhelper(Atomics.load(words, row + Khelper.STATE))
      const there = id === 0 || !THREADS_IN_PROC || existsSync(`/proc/self/task/${id}`)
      const lives = state === KhelperState.STARTING ? this.#comesUp(row, thread) : there
      if (lives && state !== KhelperState.DEAD && state !== KhelperState.NONE) continue
      this.#died(index as KhelperIndex, thread, undefined)
    }
  }

  /** Of a thread that died before it could tell its number nothing is seen. */
  #comesUp(row: number, thread: Thread): boolean {
    const now = performance.now()
    if (now - Math.max(thread.started, this.#turned) < COMING_UP_MS) return true
    const { words } = this.#memory
    const before = Atomics.compareExchange(words, row + Khelper.STATE, thread.starting, KhelperState.NONE)
    if (before !== thread.starting) return true
    void thread.worker.terminate()
    return false
  }

  /** A launch takes a while on a loaded machine, and holds its khelper only if it hangs. */
  #isHeld(index: number, row: number, taken: number): boolean {
    const { words } = this.#memory
    const now = performance.now()
    if (taken !== this.#takenBefore[index]) this.#takenSince[index] = now
    if (Atomics.load(words, row + Khelper.DETACHED) !== 0) return true
    if (Atomics.load(words, row + Khelper.CURRENT) === 0) return false
    const launches = Atomics.load(words, row + Khelper.STARTING) !== 0
    return !launches || now - (this.#takenSince[index] ?? now) > HELD_BY_LAUNCH_MS
  }

  /**
   * Adds a khelper where calls wait: one of those that stay, if every one that is there has come up; beyond them only
   * if each has been at one and the same call since the last look; and the one for programs only if there can be no
   * other.
   */
  #addIfNeeded(): void {
    const { words, queue, khelperForPrograms } = this.#memory
    let stuck = this.#memory.waiting > 0
    let up = stuck
    let free = -1
    for (let index = 0; index < khelperForPrograms; index += 1) {
      if (this.#threads[index] === undefined) {
        if (free < 0) free = index
        continue
      }
      const row = this.#memory.khelper(index as KhelperIndex)
      const taken = Atomics.load(words, row + Khelper.TAKEN)
      const held = this.#isHeld(index, row, taken)
      // One that is coming up, or is between two calls, will take the next.
      if (taken !== this.#takenBefore[index] || !held) stuck = false
      if (stateOfKhelper(Atomics.load(words, row + Khelper.STATE)) < KhelperState.RUNNING) up = false
      this.#takenBefore[index] = taken
    }
    if (free < 0) {
      const there = this.#threads[khelperForPrograms] !== undefined
      if (stuck && queue.size > 0 && !there) void this.#restart(khelperForPrograms)
      return
    }
    const stays = free < this.#options.khelpers
    // Threads that do not come up are tried again in their time, not in ours.
    if (stays ? up && this.#failedStarts === 0 : stuck) void this.#restart(free as KhelperIndex)
  }
}

/**
 * Sees that a thread will have the descriptors to come up. What one has opened that then misses another is leaked: libuv
 * does not close a loop that is half made.
 * @throws EMFILE, ENFILE
 */
function seeDescriptors(): void {
  const opened: number[] = []
  try {
    while (opened.length < THREAD_DESCRIPTORS) opened.push(openSync(devNull, 'r'))
  } finally {
    for (const fd of opened) closeSync(fd)
  }
}

/** The wait status of an in-thread helper whose thread has gone. */
function inThreadStatus({ killedBy, error }: Thread, code: number | undefined): number {
  if (killedBy !== undefined) return killedBy
  // A thread that exits by itself has told its status: this one ran out of memory.
  if (code === undefined || error?.code === 'ERR_WORKER_OUT_OF_MEMORY') return SIGABRT
  return waitStatusOf(error === undefined ? code : 1)
}

function causeOfDeath(
  { killedBy, error }: Thread,
  code: number,
): Pick<KhelperDeath, 'reason' | 'error' | 'exitCode' | 'signal'> {
  if (killedBy !== undefined)
    return { reason: 'signal', error: undefined, exitCode: undefined, signal: killedBy }
  const aborted = error?.code === 'ERR_WORKER_OUT_OF_MEMORY'
  return {
    reason: error !== undefined ? 'error' : 'exit',
    error,
    exitCode: code,
    signal: aborted ? SIGABRT : undefined,
  }
}
