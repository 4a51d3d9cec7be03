/**
 * In-thread helpers: an ES module named by a `file:` URL, whose default export runs on the khelper thread.
 *
 *   export default function main(argv, envp, context) { return 0 }
 *
 * The result is an exit status from 0 to 255, or a promise of one; nothing is 0. A helper that throws has
 * exited with 1, and what it threw is its standard error. `process.exit(n)` ends the thread, and the
 * call with status n; the supervisor starts another thread.
 */
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { Doorbell } from '../atomics-sync/index.js'
import { keepCaptured } from '../kernel/captured.js'
import type { Completer } from '../kernel/complete.js'
import { UMH_WAIT_PROC } from '../kernel/constants.js'
import {
  ExecState,
  Khelper,
  type KhelperIndex,
  type Memory,
  Slot,
  type SlotIndex,
  Stdio,
  Step,
} from '../kernel/memory.js'
import { type ErrnoName, errno, type Libc, waitStatusOf } from '../libc/index.js'
import { CallTimes } from './call-times.js'
import { InternedCache } from './payload-cursor.js'
import { StringPayloadReader } from './string-payload.js'

const STDERR = 2
const CAPTURED_STDERR = 1
const EXIT_FAILURE = 1
const LARGEST_STATUS = 255
const SIGTERM = 15

/** What an in-thread helper is given beside argv and envp. */
export interface HelperContext {
  /**
   * Aborted when the helper is asked to end (timeout, abort, `kill()`). A helper that has not asked
   * for it is ended with its thread at once; one that has gets the grace period to return.
   */
  readonly signal: AbortSignal
}

/** The default export of an in-thread helper. */
export type HelperMain = (
  argv: readonly string[],
  envp: readonly string[],
  context: HelperContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: a helper that returns nothing has exited with 0
) => number | void | Promise<number | void>

interface HelperModule {
  readonly url: string
  /** Its default export, once it has been imported. */
  main: HelperMain | undefined
  readonly times: CallTimes
}

export class InThreadHelpers {
  readonly #memory: Memory
  readonly #completer: Completer
  readonly #row: number
  readonly #payload: StringPayloadReader
  readonly #libc: Libc | undefined
  readonly #scratch: string | undefined
  readonly #modules = new Map<string, HelperModule>()
  /** The same modules, by the number of their interned path. */
  readonly #programs: InternedCache<HelperModule>
  readonly #doorbell: Doorbell
  readonly #tellThrown: (error: unknown, helper: string) => void
  /** Whether one has run here: it may have left timers or sockets behind. */
  used = false
  #last: HelperModule | undefined
  /** An import has failed for want of something that may be there again: Node would not try it again on this thread. */
  spent = false
  #closed = false

  constructor(
    memory: Memory,
    completer: Completer,
    khelper: KhelperIndex,
    libc: Libc | undefined,
    scratch: string | undefined,
    thrown: (error: unknown, helper: string) => void,
  ) {
    this.#memory = memory
    this.#completer = completer
    this.#row = memory.khelper(khelper)
    this.#payload = new StringPayloadReader(memory)
    this.#programs = new InternedCache(memory, block =>
      this.#module(block.toString('utf8', 0, block.byteLength - 1)),
    )
    this.#libc = libc
    this.#scratch = scratch
    this.#tellThrown = thrown
    this.#doorbell = new Doorbell(memory.buffer, memory.byteOffset(this.#row + Khelper.SIGNAL_DOORBELL))
  }

  /** Runs a slot's helper to its end; a promise if it takes a turn of the event loop. */
  run(slot: SlotIndex): Promise<void> | undefined {
    this.used = true
    const path = this.#payload.open(slot)
    const argv = this.#payload.argv(slot)
    const envp = this.#payload.envp(slot)
    const module = this.#interned(slot) ?? this.#module(path)
    this.#last = module
    if (module.main === undefined) return this.#import(slot, module, argv, envp)
    if (!module.times.due()) return this.#call(slot, module.main, argv, envp)
    const start = performance.now()
    const running = this.#call(slot, module.main, argv, envp)
    module.times.took(running === undefined ? performance.now() - start : Number.POSITIVE_INFINITY)
    return running
  }

  /** This thread is about to sleep. */
  rest(): void {
    this.#payload.rest()
  }

  /** The URL of the one that ran last. */
  get last(): string | undefined {
    return this.#last?.url
  }

  /** How long a call is likely to hold this thread, in milliseconds: Infinity where that is not known. */
  expected(slot: SlotIndex): number {
    return this.#interned(slot)?.times.expected ?? Number.POSITIVE_INFINITY
  }

  #interned(slot: SlotIndex): HelperModule | undefined {
    const named = this.#memory.words[this.#memory.slot(slot) + Slot.PROGRAM] ?? 0
    return named > 0 ? this.#programs.get(named - 1) : undefined
  }

  #module(url: string): HelperModule {
    let module = this.#modules.get(url)
    if (module === undefined) {
      module = { url, main: undefined, times: new CallTimes() }
      this.#modules.set(url, module)
    }
    return module
  }

  async #import(
    slot: SlotIndex,
    module: HelperModule,
    argv: readonly string[],
    envp: readonly string[],
  ): Promise<void> {
    const { words } = this.#memory
    const current = this.#row + Khelper.CURRENT
    let main: HelperMain
    Atomics.store(words, this.#row + Khelper.IMPORTING, 1)
    const imported = putOffExceptions()
    try {
      if (Atomics.load(words, current) !== slot + 1) this.#awaitTermination()
      main = mainOf(await import(module.url))
    } catch (error) {
      await imported()
      Atomics.store(words, this.#row + Khelper.IMPORTING, 0)
      if (this.#closed) this.#awaitTermination()
      this.#tell(slot, `${inspect(error)}\n`)
      const number = importErrno(error)
      this.spent ||= PASSING.some(name => errno(name) === number)
      if (Atomics.compareExchange(words, current, slot + 1, 0) !== slot + 1) this.#awaitTermination()
      this.#completer.fail(slot, number, Step.IMPORT)
      return
    }
    await imported()
    Atomics.store(words, this.#row + Khelper.IMPORTING, 0)
    if (Atomics.load(words, current) !== slot + 1) this.#awaitTermination()
    module.main = main
    await this.#call(slot, main, argv, envp)
  }

  #call(
    slot: SlotIndex,
    main: HelperMain,
    argv: readonly string[],
    envp: readonly string[],
  ): Promise<void> | undefined {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const waited = ((words[row + Slot.WAIT] ?? 0) & UMH_WAIT_PROC) !== 0
    this.#completer.execDone(slot, ExecState.STARTED)
    if (!waited) {
      // Nobody waits for its end: from here the slot is its owner's again.
      Atomics.store(words, this.#row + Khelper.DETACHED, 1)
      Atomics.store(words, this.#row + Khelper.CURRENT, 0)
      this.#completer.umhComplete(slot, 0)
    }
    const ended = waited ? slot : undefined
    const context = new Context(this.#memory, this.#row, this.#doorbell)
    try {
      const result = main(argv, envp, context)
      if (isThenable(result)) return this.#await(ended, result, context)
      this.#exit(ended, result)
    } catch (error) {
      this.#thrown(ended, error)
    }
    if (context.used) context.release()
    return undefined
  }

  async #await(slot: SlotIndex | undefined, result: PromiseLike<unknown>, context: Context): Promise<void> {
    try {
      this.#exit(slot, await result)
    } catch (error) {
      this.#thrown(slot, error)
    }
    if (context.used) context.release()
  }

  #exit(slot: SlotIndex | undefined, status: unknown): void {
    if (this.#closed) this.#awaitTermination()
    if (status === undefined) this.#end(slot, 0)
    else if (isExitStatus(status)) this.#end(slot, waitStatusOf(status))
    else
      this.#thrown(
        slot,
        new TypeError(`main must return an exit status from 0 to 255, not ${inspect(status)}`),
      )
  }

  #thrown(slot: SlotIndex | undefined, error: unknown): void {
    if (this.#closed) this.#awaitTermination()
    if (slot !== undefined) this.#tell(slot, `${inspect(error)}\n`)
    // One call at a time: it is the last that has thrown.
    if (this.#last !== undefined) this.#tellThrown(error, this.#last.url)
    this.#end(slot, waitStatusOf(EXIT_FAILURE))
  }

  #end(slot: SlotIndex | undefined, status: number): void {
    const { words } = this.#memory
    if (slot === undefined) {
      Atomics.store(words, this.#row + Khelper.DETACHED, 0)
      return
    }
    const current = this.#row + Khelper.CURRENT
    if (Atomics.compareExchange(words, current, slot + 1, 0) !== slot + 1) this.#awaitTermination()
    this.#completer.umhComplete(slot, status)
  }

  /** This thread is being ended: for the sake of its call, which its supervisor completes, or by `process.exit`. */
  #awaitTermination(): never {
    // What a listener of `exit` throws comes out of process.exit; what is left of the exit is done by the second.
    if (this.#closed) process.exit()
    const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    for (;;) Atomics.wait(never, 0, 0)
  }

  /** The thread exits, and its call has ended with it: the slot is not this thread's any more. */
  close(): void {
    this.#closed = true
  }

  /** Writes what a helper threw to its standard error. */
  #tell(slot: SlotIndex, text: string): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const kind = words[row + Slot.STDIO + STDERR]
    try {
      if (kind === Stdio.FD) writeSync(words[row + Slot.STDIO_FD + STDERR] ?? STDERR, text)
      if (kind === Stdio.CAPTURE) {
        keepCaptured(this.#memory, this.#libc, this.#scratch, slot, CAPTURED_STDERR, Buffer.from(text))
      }
    } catch {
      // Its standard error cannot be written to: its status says that it failed.
    }
  }
}

/** Gives out `context.signal`, and watches for signals only if somebody asks for it. */
class Context implements HelperContext {
  readonly #memory: Memory
  readonly #row: number
  readonly #doorbell: Doorbell
  #controller: AbortController | undefined

  constructor(memory: Memory, row: number, doorbell: Doorbell) {
    this.#memory = memory
    this.#row = row
    this.#doorbell = doorbell
  }

  get used(): boolean {
    return this.#controller !== undefined
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      Atomics.store(this.#memory.words, this.#row + Khelper.HANDLES_SIGNALS, 1)
      this.#listen(this.#controller)
    }
    return this.#controller.signal
  }

  release(): void {
    this.#controller = undefined
    Atomics.store(this.#memory.words, this.#row + Khelper.HANDLES_SIGNALS, 0)
    Atomics.store(this.#memory.words, this.#row + Khelper.SIGNAL, 0)
    this.#doorbell.ring()
  }

  #listen(controller: AbortController): void {
    const signalled = () => Atomics.load(this.#memory.words, this.#row + Khelper.SIGNAL) !== 0
    const rung = this.#doorbell.listen(signalled)
    const look = () => {
      if (this.#controller !== controller) return
      const signal = Atomics.exchange(this.#memory.words, this.#row + Khelper.SIGNAL, 0)
      if (signal === 0) this.#listen(controller)
      else controller.abort(new DOMException(`asked to end by signal ${signal || SIGTERM}`, 'AbortError'))
    }
    if (rung === null) queueMicrotask(look)
    else rung.then(look)
  }
}

/** How long an exception is put off for the sake of an import, which may have no end. */
const PUT_OFF_MS = 5_000

/**
 * Until what it gives is called, what nobody catches on this thread (a helper that ran before has left a timer) does not
 * end it: a file that Node is just opening would stay open for ever. Where a helper listens for such exceptions itself
 * they are its own.
 * @returns the import is over. Resolves if nothing was thrown; else the thread ends of it
 */
function putOffExceptions(): () => Promise<void> {
  let thrown: { readonly error: unknown } | undefined
  const throwAgain = (): void => {
    process.off('uncaughtException', putOff)
    if (thrown === undefined) return
    const { error } = thrown
    setImmediate(() => {
      throw error
    })
  }
  const putOff = (error: unknown): void => {
    if (thrown !== undefined || process.listenerCount('uncaughtException') > 1) return
    thrown = { error }
    setTimeout(throwAgain, PUT_OFF_MS)
  }
  process.on('uncaughtException', putOff)
  return async () => {
    throwAgain()
    if (thrown !== undefined) await new Promise(() => {})
  }
}

function mainOf(module: { readonly default?: unknown }): HelperMain {
  if (typeof module.default !== 'function') {
    throw Object.assign(new TypeError('an in-thread helper must export its main function as default'), {
      code: 'ENOEXEC',
    })
  }
  return module.default as HelperMain
}

/** Reasons that lie in the service and may pass. */
const PASSING: readonly ErrnoName[] = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EIO']

/** As execve has it: no such file, may not be read, not something that can be run, no descriptor left. */
function importErrno(error: unknown): number {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ENOENT') return errno('ENOENT')
  if (code === 'EACCES') return errno('EACCES')
  const passing = PASSING.find(name => name === code)
  return errno(passing ?? 'ENOEXEC')
}

function isExitStatus(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LARGEST_STATUS
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
