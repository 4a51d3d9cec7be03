/**
 * `kernel.run`: one program from its options to its result.
 */
import type { Readable, Writable } from 'node:stream'
import { errno, errnoOf } from '../../libc/index.js'
import { awaitExec } from '../await-exec.js'
import type { Caller, DescriptorWaiter, Ending } from '../caller.js'
import { type Captured, takeCaptured } from '../captured.js'
import { UMH_NO_WAIT, UMH_WAIT_PROC } from '../constants.js'
import { type CredentialDirectories, withDirectory } from '../credential-directories.js'
import { shutDown } from '../errors.js'
import {
  ExecState,
  Process,
  type ProcessIndex,
  Slot,
  SlotFlag,
  type SlotIndex,
  Step,
  Waiter,
} from '../memory.js'
import { startOf, type TreeKill } from '../process-tree.js'
import type { Signaller } from '../signaller.js'
import type { StdinPipes } from '../stdin-pipe.js'
import type { UsermodeHelperState } from '../usermodehelper.js'
import { isInThread, queueWork } from '../workqueue.js'
import { checkArguments, checkKillOptions, type RunArguments, signalNumber } from './arguments.js'
import { makeError, makeResult, noOutcome, type Outcome, readOutcome } from './result.js'
import { openStdio, type RunStdio } from './stdio.js'
import type { Helper, KillOptions, RunOptions, RunResult } from './types.js'

const SIGKILL = 9
const NOTHING: Captured = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20
/** A launch that is to be ended and hangs all the same, in what no signal ends, is waited for no longer. */
const LAUNCH_MS = 2_000

/** What `run` needs of its kernel. */
export interface RunHost {
  readonly caller: Caller
  readonly state: Pick<UsermodeHelperState, 'enter' | 'leave'>
  readonly pipes: StdinPipes
  readonly signaller: Signaller
  readonly scratch: string | undefined
  /** Whether it takes no more calls. */
  readonly closed: boolean
  /** Looks after the threads while this one is blocked. */
  watch(): void
  readonly credentials: CredentialDirectories
  /** Lets a khelper signal a helper with all its descendants. @returns whether one will */
  killTree(tree: TreeKill): boolean
}

/** What a thread that blocks, and whose event loop may never turn again, has of a helper. */
export interface BlockingHelper extends Helper<string | Buffer> {
  /**
   * Blocks this thread until the exec is over; withdraws a call that no khelper has taken up in time.
   * @param deadline in the time of `performance.now()`
   * @returns 0, `-errno` if the program was not started, -ETIMEDOUT if it was withdrawn
   */
  startedBy(deadline: number): number
}

/**
 * Starts a program; see `Kernel.run`.
 * @param cgroups files named cgroup.procs: the groups that it enters
 */
export function run(
  host: RunHost,
  file: string | URL,
  args: readonly string[],
  options: RunOptions,
  cgroups?: readonly string[],
): BlockingHelper {
  const checked = checkArguments(file, args, options, host.caller.libc !== undefined)
  const settings = cgroups === undefined ? checked.settings : { ...checked.settings, cgroups }
  const call = new RunCall(host, { ...checked, settings })
  return new RunningHelper(call)
}

/** The awaitable handle. */
class RunningHelper extends Promise<RunResult<string | Buffer>> implements BlockingHelper {
  readonly #call: RunCall

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  constructor(call: RunCall) {
    super((resolve, reject) => {
      call.resolve = resolve
      call.reject = reject
    })
    this.#call = call
    call.start()
  }

  get pid(): number | undefined {
    return this.#call.pid
  }

  startedBy(deadline: number): number {
    return this.#call.startedBy(deadline)
  }

  get stdin(): Writable | null {
    return this.#call.stdio?.stdin ?? null
  }

  get stdout(): Readable | null {
    return this.#call.stdio?.stdout ?? null
  }

  get stderr(): Readable | null {
    return this.#call.stdio?.stderr ?? null
  }

  kill(signal?: NodeJS.Signals | number | KillOptions): boolean {
    return this.#call.kill(signal)
  }
}

/**
 * One call. It waits for a descriptor, is queued, and ends; what ends it early (an abort, a timeout, a
 * kill) acts on whichever of these it is in.
 */
class RunCall implements Ending, DescriptorWaiter {
  readonly #host: RunHost
  readonly #args: RunArguments
  readonly #started = performance.now()
  #spec: DescriptorWaiter['spec'] | undefined
  #slot: SlotIndex | undefined
  #pid: number | undefined
  /** What has become of it, when it has ended. */
  #retval = 0
  #process: { readonly index: number; readonly generation: number } | undefined
  #ended = false
  #timedOut = false
  #aborted = false
  #withdrawnBy: number | undefined
  /** The folder with its secrets. */
  #keys: string | undefined
  /** What was last sent to the whole tree. */
  #tree: TreeKill | undefined
  /** It has ended as withdrawn; a khelper has yet to find its descriptor on the queue. */
  #withdrawn = false
  /** It has ended although its launch hangs; its descriptor and what was made for it come back if that ends. */
  #abandoned = false
  #inputError: Error | undefined
  #timeout: NodeJS.Timeout | undefined
  #overdue: NodeJS.Timeout | undefined
  #hanging: NodeJS.Timeout | undefined
  stdio: RunStdio | undefined
  resolve: (result: RunResult<string | Buffer>) => void = () => {}
  reject: (error: unknown) => void = () => {}

  constructor(host: RunHost, args: RunArguments) {
    this.#host = host
    this.#args = args
  }

  get spec(): DescriptorWaiter['spec'] {
    const args = this.#args
    this.#spec ??= {
      path: args.path,
      argv: args.argv,
      envp: this.#keys === undefined ? args.envp : withDirectory(args.envp, this.#keys),
      flags: args.flags,
      cwd: args.cwd,
      search: args.search,
      settings: this.#keys === undefined ? args.settings : { ...args.settings, keys: this.#keys },
      stdio: this.stdio?.entries ?? [],
      maxOutput: args.maxOutput,
      killSignal: args.killSignal,
      grace: args.grace,
    }
    return this.#spec
  }

  start(): void {
    if (this.#host.closed) {
      this.failed(shutDown())
      return
    }
    const { signal } = this.#args
    if (signal?.aborted) {
      this.#aborted = true
      this.#finish(noOutcome(errno('ECANCELED'), Step.NONE), NOTHING)
      return
    }
    const { keys, settings } = this.#args
    let step: number = Step.KEYS
    try {
      const { uid, gid } = settings?.credentials ?? {}
      if (keys !== undefined) this.#keys = this.#host.credentials.create(keys, uid, gid)
      step = Step.PIPE
      this.stdio = openStdio(this.#host.pipes, this.#args, this.#inputFailed)
    } catch (error) {
      const number = errnoOf(error, 'EIO')
      this.#finish(noOutcome(number, step), NOTHING)
      return
    }
    signal?.addEventListener('abort', this.#abort, { once: true })
    try {
      this.#host.caller.setup(this)
    } catch (error) {
      this.failed(error)
    }
  }

  failed(error: unknown): void {
    this.#ended = true
    this.stdio?.discard()
    this.#settled()
    this.#releaseKeys(undefined)
    this.reject(error)
  }

  taken(slot: SlotIndex): void {
    const { caller, state } = this.#host
    const { memory } = caller
    const enabled = state.enter()
    const row = memory.slot(slot)
    const refused = enabled ? (this.#tooBig(row) ? errno('E2BIG') : undefined) : errno('EBUSY')
    if (refused !== undefined) {
      caller.release(slot)
      state.leave()
      this.stdio?.discard()
      this.#finish(noOutcome(refused, Step.EXECVE), NOTHING)
      return
    }
    this.#slot = slot
    const { wait, timeout } = this.#args
    memory.words[row + Slot.WAIT] = wait
    memory.words[row + Slot.WAITER] = wait === UMH_NO_WAIT ? Waiter.NONE : Waiter.ASYNC
    caller.queued(slot, this)
    queueWork(memory, slot)
    if (wait === UMH_NO_WAIT) this.#resolveNow()
    else if (timeout !== undefined) {
      this.#timeout = setTimeout(() => {
        this.#timedOut = true
        this.#terminate()
      }, timeout)
    }
  }

  #tooBig(row: number): boolean {
    return ((this.#host.caller.memory.words[row + Slot.FLAGS] ?? 0) & SlotFlag.TOO_BIG) !== 0
  }

  /** Not waited for: what becomes of it is nobody's to hear. */
  #resolveNow(): void {
    this.#host.state.leave()
    this.#settled()
    const outcome: Outcome = {
      retval: 0,
      pid: undefined,
      step: Step.NONE,
      rusage: null,
      outputTruncated: false,
    }
    this.resolve(makeResult(this.#args, outcome, NOTHING, this.#termination(), this.#duration()))
  }

  #termination() {
    return { timedOut: this.#timedOut, aborted: this.#aborted, withdrawnBy: this.#withdrawnBy }
  }

  #duration(): number {
    return performance.now() - this.#started
  }

  ended(slot: SlotIndex): void {
    const { caller, state, scratch } = this.#host
    const { memory, libc } = caller
    if (this.#withdrawn) {
      caller.release(slot)
      return
    }
    if (this.#abandoned) {
      caller.reference()
      this.#host.pipes.release(memory, slot)
      void Promise.resolve(takeCaptured(memory, libc, scratch, slot)).catch(() => {})
      caller.release(slot)
      return
    }
    const outcome = readOutcome(memory, slot)
    this.#remember(slot)
    this.#slot = undefined
    this.#ended = true
    this.#settled()
    this.#killTheRest()
    let captured: Captured | Promise<Captured>
    try {
      captured = takeCaptured(memory, libc, scratch, slot)
    } catch (error) {
      captured = Promise.reject(error)
    }
    this.#host.pipes.release(memory, slot)
    caller.release(slot)
    this.#releaseKeys((this.#args.wait & UMH_WAIT_PROC) !== 0 ? undefined : this.#pid)
    if (this.#args.wait === UMH_NO_WAIT) {
      if (outcome.retval < 0) this.stdio?.abandon()
      return
    }
    state.leave()
    if (captured instanceof Promise) {
      const done = caller.hold()
      captured.then(bytes => this.#finish(outcome, bytes), this.reject).finally(done)
    } else this.#finish(outcome, captured)
  }

  dropped(slot: SlotIndex): void {
    this.stdio?.abandon()
    this.#host.caller.release(slot)
  }

  /** @param pid of a helper that goes on */
  #releaseKeys(pid: number | undefined): void {
    if (this.#keys !== undefined) this.#host.credentials.release(this.#keys, pid)
    this.#keys = undefined
  }

  #finish(outcome: Outcome, captured: Captured): void {
    this.#ended = true
    this.#retval = outcome.retval
    this.#settled()
    this.#releaseKeys(undefined)
    if (outcome.retval < 0) this.stdio?.abandon()
    if (this.#inputError !== undefined) {
      this.reject(this.#inputError)
      return
    }
    const result = makeResult(this.#args, outcome, captured, this.#termination(), this.#duration())
    const error = this.#args.reject ? makeError(this.#args, outcome, result) : undefined
    if (error === undefined) this.resolve(result)
    else this.reject(error)
  }

  /** Takes back what could still end the call. */
  #settled(): void {
    clearTimeout(this.#timeout)
    clearTimeout(this.#overdue)
    clearTimeout(this.#hanging)
    this.#args.signal?.removeEventListener('abort', this.#abort)
  }

  readonly #abort = (): void => {
    this.#aborted = true
    this.#terminate()
  }

  readonly #inputFailed = (error: Error): void => {
    this.#inputError = error
    this.#terminate()
  }

  /** killSignal, and after the grace period SIGKILL. */
  #terminate(): void {
    const { killSignal, grace } = this.#args
    this.#sendToTree(killSignal)
    if (this.#ended) return
    this.#hanging ??= setTimeout(() => this.#abandon(), LAUNCH_MS)
    if (grace >= 0) this.#overdue = setTimeout(() => this.#sendToTree(SIGKILL), grace)
  }

  /** Ends a call whose launch hangs in what no signal ends (a file system that has gone, say). */
  #abandon(): void {
    const { caller, signaller, state } = this.#host
    const slot = this.#slot
    // An in-thread helper is launched when it is taken up; what it takes after that is its grace period.
    if (slot === undefined || isInThread(caller.memory, slot)) return
    if (signaller.leaveTreeKill(slot, SIGKILL) !== undefined) return
    this.#abandoned = true
    this.#slot = undefined
    caller.unreference()
    if (this.#args.wait !== UMH_NO_WAIT) state.leave()
    this.#withdrawnBy = this.#args.killSignal
    this.#finish(noOutcome(errno('ECANCELED'), Step.NONE), NOTHING)
  }

  kill(given: NodeJS.Signals | number | KillOptions | undefined): boolean {
    const { signal, tree } =
      typeof given === 'object' ? checkKillOptions(given) : { signal: given, tree: false }
    const number = signal === undefined ? this.#args.killSignal : signalNumber(signal, 'signal')
    return tree ? this.#sendToTree(number) : this.#send(number, false)
  }

  /** The helper and all its descendants, those included that have left it. */
  #sendToTree(wanted: number): boolean {
    const slot = this.#slot
    const { memory, libc } = this.#host.caller
    if (slot === undefined || libc === undefined || wanted === 0) return this.#send(wanted, true)
    if (this.#takeBack(wanted)) return true
    if ((this.#args.flags & SlotFlag.IN_THREAD) !== 0) return this.#send(wanted, true)
    const row = memory.slot(slot)
    const signal = this.#host.signaller.leaveTreeKill(slot, wanted)
    if (signal === undefined) {
      Atomics.store(memory.words, row + Slot.KILLED, 1)
      return true
    }
    const process = (memory.words[row + Slot.PROCESS] ?? 0) - 1
    const pid = memory.words[row + Slot.PID] ?? 0
    const start = process < 0 ? undefined : startOf(pid)
    if (start === undefined) return this.#send(signal, true)
    const generation = memory.words[row + Slot.PROCESS_GENERATION] ?? 0
    const mark = memory.words[memory.process(process as ProcessIndex) + Process.MARK] ?? 0
    const tree: TreeKill = { pid, mark, start, signal, process: { index: process, generation } }
    if (!this.#host.killTree(tree)) return this.#send(signal, true)
    this.#tree = tree
    Atomics.store(memory.words, row + Slot.KILLED, 1)
    this.#host.signaller.wakeReaper()
    return true
  }

  /** The helper has ended; descendants that would not are killed when their grace period is over. */
  #killTheRest(): void {
    const tree = this.#tree
    const { grace } = this.#args
    if (tree === undefined || tree.signal === SIGKILL || grace < 0) return
    setTimeout(() => this.#host.killTree({ ...tree, signal: SIGKILL }), grace).unref()
  }

  /**
   * @param final whether its end is no longer waited for, should descendants keep its output open
   * @returns whether there was something to signal
   */
  #send(signal: number, final: boolean): boolean {
    const { caller, signaller } = this.#host
    const { memory } = caller
    if (this.#ended) return this.#process !== undefined && signaller.signal(this.#process, signal)
    if (final && this.#slot !== undefined) {
      Atomics.store(memory.words, memory.slot(this.#slot) + Slot.KILLED, 1)
    }
    if (signal !== 0 && this.#takeBack(signal)) return true
    if (this.#slot === undefined) return true
    return signaller.signalCall(this.#slot, signal)
  }

  /**
   * Withdraws a call that no khelper has taken up, and ends it: its khelpers may all be busy for long. Its descriptor
   * comes back when one of them finds it on the queue.
   * @returns whether that was so
   */
  #takeBack(signal: number): boolean {
    const { caller, pipes, state } = this.#host
    if (this.#ended) return false
    const slot = this.#slot
    if (slot === undefined) {
      caller.withdraw(this)
      this.stdio?.discard()
    } else {
      if (!caller.cancel(slot)) return false
      this.#withdrawn = true
      this.#slot = undefined
      pipes.release(caller.memory, slot)
      if (this.#args.wait !== UMH_NO_WAIT) state.leave()
    }
    this.#withdrawnBy = signal
    this.#finish(noOutcome(errno('ECANCELED'), Step.NONE), NOTHING)
    return true
  }

  /** Keeps what is asked for after the descriptor is gone. */
  #remember(slot: SlotIndex): void {
    const { words } = this.#host.caller.memory
    const row = this.#host.caller.memory.slot(slot)
    const pid = words[row + Slot.PID] ?? 0
    this.#pid = pid === 0 ? undefined : pid
    this.#retval = words[row + Slot.RETVAL] ?? 0
    const process = words[row + Slot.PROCESS] ?? 0
    const waited = (this.#args.wait & UMH_WAIT_PROC) !== 0
    if (process > 0 && pid > 0 && !waited) {
      this.#process = { index: process - 1, generation: words[row + Slot.PROCESS_GENERATION] ?? 0 }
    }
  }

  get pid(): number | undefined {
    this.#awaitStart(Number.POSITIVE_INFINITY)
    if (this.#slot === undefined) return this.#pid
    const { memory } = this.#host.caller
    const pid = memory.words[memory.slot(this.#slot) + Slot.PID] ?? 0
    return pid === 0 ? undefined : pid
  }

  startedBy(deadline: number): number {
    const { memory } = this.#host.caller
    if (!this.#awaitStart(deadline)) {
      if (this.#takeBack(SIGKILL)) return -errno('ETIMEDOUT')
      // A khelper has just taken it up: it is at the exec, and may be using the caller's descriptors.
      if (!this.#awaitStart(Number.POSITIVE_INFINITY)) {
        this.#sendToTree(SIGKILL)
        return -errno('ETIMEDOUT')
      }
    }
    if (this.#slot === undefined) return Math.min(0, this.#retval)
    const row = memory.slot(this.#slot)
    if (Atomics.load(memory.words, row + Slot.EXEC) !== ExecState.FAILED) return 0
    return memory.words[row + Slot.RETVAL] ?? 0
  }

  /** Blocks this thread until the exec is over, or has hung for long. @returns whether it is over */
  #awaitStart(deadline: number): boolean {
    const { caller } = this.#host
    while (this.#slot === undefined && !this.#ended) {
      const left = deadline - performance.now()
      if (left <= 0) return false
      caller.sleep(Math.min(BLOCKED_LOOK_MS, left))
      this.#host.watch()
    }
    if (this.#slot === undefined) return true
    return awaitExec(
      caller.memory,
      this.#slot,
      () => this.#host.watch(),
      () => this.#host.signaller.wakeReaper(),
      deadline,
    )
  }
}
