/**
 * The kernel: what a thread boots, and what other threads attach to.
 */
import { availableParallelism } from 'node:os'
import type { Writable } from 'node:stream'
import type { ResourceLimits } from 'node:worker_threads'
import { Doorbell } from '../atomics-sync/index.js'
import { asFd, EPOLLIN, errnoName, type Libc, loadLibc } from '../libc/index.js'
import type { CallSpec } from './call-spec.js'
import { Caller } from './caller.js'
import { limitMask, readMasks } from './capability-masks.js'
import { Completer } from './complete.js'
import {
  type DisableDepth,
  type GFP_ATOMIC,
  GFP_KERNEL,
  type GfpFlags,
  UMH_DISABLED,
  UMH_ENABLED,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  type WaitMode,
} from './constants.js'
import { CredentialDirectories, removeLeftCredentials } from './credential-directories.js'
import { DeadOwners } from './dead-owners.js'
import { DirectCalls } from './direct-calls.js'
import { outOfRange, shutDown, unsupported, wrongType } from './errors.js'
import { ONE } from './event-counter.js'
import { HungLaunches } from './hung-launches.js'
import type { Keyring } from './keyring.js'
import { Watch } from './launch-descriptors.js'
import {
  Control,
  Launcher,
  Memory,
  type OwnerIndex,
  RunState,
  Slot,
  SlotFlag,
  type SlotIndex,
} from './memory.js'
import { loadNative } from './native-loading.js'
import { defineKernelFiles } from './proc/khelper-files.js'
import { defineSysctls } from './proc/sysctls.js'
import { ProcTree } from './proc/tree.js'
import { ProcessCall, type ProcessEvents, type ProcessHost } from './process-call.js'
import { firstSerial, type TreeKill } from './process-tree.js'
import { type BlockingHelper, type RunHost, run } from './run/run.js'
import type { Helper, RunOptions } from './run/types.js'
import { temporaryPlace } from './safe-places.js'
import { ServiceDeath } from './service-death.js'
import { makeServiceFolder, removeLeftFolders, removeListed } from './service-folders.js'
import { Signaller, type ThreadSignals } from './signaller.js'
import { StdinPipes } from './stdin-pipe.js'
import type { SetupOptions, SubprocessInfo } from './subprocess-info.js'
import { type KhelperDeath, Supervisor, type ThrownHelper } from './supervisor.js'
import { runSync, type SyncOutcome } from './sync-process.js'
import { type Envp, type ExecOptions, UsermodeHelper } from './umh.js'
import { UsermodeHelperState } from './usermodehelper.js'
import { until } from './wait-until.js'
import { flushWorkqueue, wakeStanding } from './workqueue.js'

const DEFAULT_DESCRIPTORS = 16_384
const LARGEST_DESCRIPTORS = 2 ** 20
const PAGES = 16_384
/** Threads that may be added while in-thread helpers hold all others. */
const ADDED_KHELPERS = 32
const LARGEST_KHELPERS = 1_024

export interface BootOptions {
  /**
   * Khelper threads, which start at once. Default: one at once, and more where calls wait, up to as many as the
   * machine runs at once.
   */
  readonly khelpers?: number
  /** Calls that may be set up or in flight at once, from 1 to 2^20. Default 16 384. */
  readonly descriptors?: number
  /** How programs are started. Default `'auto'`: posix_spawn where it can be had, else child_process. */
  readonly launcher?: 'auto' | 'posix_spawn' | 'child_process'
  /** `false`: helpers are disabled until `usermodehelperEnable()`, as while Linux boots. Default `true`. */
  readonly enabled?: boolean
  /**
   * What becomes of helpers that run when the service dies, by SIGKILL too: `'leave'` (default), or `'kill'`, which needs
   * awk(1) and the launcher posix_spawn. A `shutdown()` leaves them in either case.
   */
  readonly onServiceDeath?: 'leave' | 'kill'
  /** Limits of each khelper thread's heap, for in-thread helpers. Default: Node's. */
  readonly resourceLimits?: ResourceLimits
}

/** Which launcher a kernel uses, and why. */
export interface LauncherInfo {
  readonly name: 'posix_spawn' | 'child_process'
  readonly reason: string
}

/** What another thread needs to `attach`: can be posted, and given as workerData. */
export interface KernelHandle {
  readonly memory: SharedArrayBuffer
  readonly launcher: LauncherInfo
  readonly scratch: string | undefined
}

export interface KernelStats {
  /** Descriptors: all there are, and those that are free. */
  readonly descriptors: { readonly capacity: number; readonly available: number }
  /** Calls that wait for a khelper. */
  readonly queued: number
  /** This thread's calls that are queued or executed, and not ended. */
  readonly inFlight: number
  /** Callers inside exec, on all threads. */
  readonly running: number
  /** Processes that were started by posix_spawn and not yet reaped. */
  readonly processes: number
  /** Khelper threads; 0 as seen from an attached thread. */
  readonly khelpers: number
}

/** Kernels that have to hear of the process's end. */
const booted = new Set<Supervisor>()
const scratches = new Set<string>()

process.on('exit', () => {
  for (const supervisor of booted) supervisor.exit()
  for (const scratch of scratches) removeListed(scratch)
})

/** The parts that a kernel on its own thread and an attached one have each in their way. */
interface Home extends ThreadSignals {
  readonly ready: Promise<unknown>
  readonly khelpers: number
  /** Whether another thread has the kernel. */
  readonly attached: boolean
  /** Called before the first call that may start a process. */
  prepare(): void
  watch(): void
  /** Whether this thread hears its doorbell at all times. */
  listens(): boolean
  /** Called when somebody is given the handle. */
  share(): void
  /** Has a function called with each death of a khelper thread. */
  onKhelperDeath(tell: (death: KhelperDeath) => void): void
  /** Has a function called with what in-thread helpers throw. */
  onThrown(tell: (thrown: ThrownHelper) => void): void
  /** Whether something that has ended a call is still to be told, and when it has been. */
  readonly telling: boolean
  told(): Promise<void>
  /** Ends what is this thread's, when nothing of this thread is in flight. */
  stop(): Promise<void>
}

/**
 * A booted kernel, or this thread's attachment to one. Its calls may be made from its own thread only.
 */
export class Kernel implements AsyncDisposable {
  readonly #memory: Memory
  readonly #home: Home
  readonly #caller: Caller
  readonly #state: UsermodeHelperState
  readonly #pipes: StdinPipes
  readonly #umh: UsermodeHelper
  readonly #signaller: Signaller
  readonly #credentials = new CredentialDirectories()
  #serviceDeath: ServiceDeath | undefined
  /** For what a kernel asks of its khelpers itself. */
  readonly #direct: DirectCalls
  readonly #handle: KernelHandle
  /** Files by path, as Linux shows them in /proc: sysctls, what the kernel is doing, what its applications hold. */
  readonly proc = new ProcTree()
  readonly #preparations: Promise<unknown>[] = []
  readonly #endings = new Set<() => void | Promise<void>>()
  readonly #mourners = new Set<(death: KhelperDeath) => void>()
  #shutdown: Promise<void> | undefined
  #endingsOver = false

  /** @internal `boot` and `attach` make kernels. */
  constructor(memory: Memory, libc: Libc | undefined, handle: KernelHandle, home: Home) {
    this.#memory = memory
    this.#home = home
    this.#handle = handle
    this.#caller = new Caller(
      memory,
      libc,
      () => home.watch(),
      () => home.listens(),
    )
    this.#state = new UsermodeHelperState(memory, this.#caller.owner)
    this.#pipes = new StdinPipes(libc, handle.scratch)
    this.#signaller = new Signaller(memory, libc, home)
    this.#direct = new DirectCalls(this.#caller, this.#state)
    this.#umh = new UsermodeHelper(
      this.#caller,
      this.#state,
      this.#pipes,
      this.#credentials,
      () => home.watch(),
      () => this.ended,
    )
    defineSysctls(this.proc, this)
    defineKernelFiles(this.proc, memory, () => this.stats())
  }

  /** @internal Whether it takes no more calls: a shutdown has begun. */
  get closed(): boolean {
    return this.#shutdown !== undefined || !this.#running
  }

  /** @internal Whether a shutdown has come so far that its applications have ended. */
  get ended(): boolean {
    return this.#endingsOver || !this.#running
  }

  get #running(): boolean {
    return Atomics.load(this.#memory.words, this.#memory.control(Control.RUN_STATE)) === RunState.RUNNING
  }

  /** Resolves when the khelper threads that start at once are up. Calls need not wait for it: they wait in the queue. */
  get ready(): Promise<void> {
    return Promise.all([this.#home.ready, ...this.#preparations]).then(() => {})
  }

  /** @internal What `ready` waits for, too. */
  prepare(preparation: Promise<unknown>): void {
    this.#preparations.push(preparation)
  }

  /** How programs are started, and why so. */
  get launcher(): LauncherInfo {
    return this.#handle.launcher
  }

  /** Whether another thread has booted it: what it keeps beside calls (modules, keys, values by path) is that thread's. */
  get attached(): boolean {
    return this.#home.attached
  }

  /** For other threads of this process to `attach` to this kernel. */
  get handle(): KernelHandle {
    this.#home.share()
    this.#caller.listen()
    return this.#handle
  }

  /** What is in use at this moment. */
  stats(): KernelStats {
    const { slots, words } = this.#memory
    return {
      descriptors: { capacity: slots.capacity, available: slots.available },
      queued: this.#memory.waiting,
      inFlight: this.#caller.inFlight,
      running: this.#state.running,
      processes: Atomics.load(words, this.#memory.control(Control.PROCESSES)),
      khelpers: this.#home.khelpers,
    }
  }

  /**
   * Sets up a call (call_usermodehelper_setup): takes a descriptor and copies the arguments into it.
   * @param path the program as it is, a `file:` URL for an in-thread helper, or `null`
   * @param argv `argv[0]` included
   * @param envp strings `KEY=value`, or an object
   * @param gfp GFP_ATOMIC: `null` if there is no descriptor or no room; GFP_KERNEL: a promise that waits
   *   for them, first come, first served
   * @throws TypeError for wrong types and strings with NUL, before anything is taken
   */
  callUsermodehelperSetup<Data = unknown>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: typeof GFP_ATOMIC,
    options?: SetupOptions<Data>,
  ): SubprocessInfo<Data> | null
  callUsermodehelperSetup<Data = unknown>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: typeof GFP_KERNEL,
    options?: SetupOptions<Data>,
  ): Promise<SubprocessInfo<Data>>
  callUsermodehelperSetup<Data = unknown>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: GfpFlags,
    options?: SetupOptions<Data>,
  ): SubprocessInfo<Data> | null | Promise<SubprocessInfo<Data>> {
    if (this.closed && gfp === GFP_KERNEL) return Promise.reject(shutDown())
    if (this.closed) throw shutDown()
    return this.#umh.setup(path, argv, envp, gfp as typeof GFP_ATOMIC, options)
  }

  /**
   * Gives the helper secrets: a session keyring of its own that holds them where Linux has keyrings, and everywhere a
   * private folder, which `$CREDENTIALS_DIRECTORY` names, that goes with the helper.
   */
  callUsermodehelperSetkeys<Data>(info: SubprocessInfo<Data>, keyring: Keyring): void {
    this.#umh.setKeys(info as SubprocessInfo, keyring)
  }

  /** Sets the function that runs exactly once when the call is over, on this thread. */
  callUsermodehelperSetcleanup<Data>(
    info: SubprocessInfo<Data>,
    cleanup: (info: SubprocessInfo<Data>) => void,
  ): void {
    this.#umh.setCleanup(info as SubprocessInfo, cleanup as (info: SubprocessInfo) => void)
  }

  /** Makes a pipe to the helper's standard input; what is written before the exec waits in it. */
  callUsermodehelperStdinpipe<Data>(info: SubprocessInfo<Data>): Writable {
    return this.#umh.stdinPipe(info as SubprocessInfo)
  }

  /** Frees a call that is set up and will not be executed; its cleanup runs. */
  callUsermodehelperFreeinfo<Data>(info: SubprocessInfo<Data>): void {
    this.#umh.freeInfo(info as SubprocessInfo)
  }

  /**
   * Executes a call (call_usermodehelper_exec). It uses the SubprocessInfo up, whatever comes of it.
   * @returns 0; `-errno` if user code never ran; with UMH_WAIT_PROC else the raw wait status
   */
  callUsermodehelperExec<Data>(
    info: SubprocessInfo<Data>,
    wait: WaitMode,
    options?: ExecOptions,
  ): Promise<number> {
    if (this.closed) return Promise.reject(shutDown())
    this.#home.prepare()
    return this.#umh.exec(info as SubprocessInfo, wait, options)
  }

  /** The same, but blocks this thread and its event loop until it is over. */
  callUsermodehelperExecSync<Data>(info: SubprocessInfo<Data>, wait: WaitMode): number {
    if (this.closed) throw shutDown()
    this.#home.prepare()
    return this.#umh.execSync(info as SubprocessInfo, wait)
  }

  /** Setup and exec in one (call_usermodehelper); waits for a descriptor unless `wait` is UMH_NO_WAIT. */
  callUsermodehelper(
    path: string,
    argv: readonly string[],
    envp: Envp,
    wait: WaitMode,
    options?: ExecOptions,
  ): Promise<number> {
    if (this.closed) return Promise.reject(shutDown())
    this.#home.prepare()
    return this.#umh.call(path, argv, envp, wait, options)
  }

  /**
   * @internal The same, for what an application has to have done when it ends: taken as long as the functions given to
   * `onShutdown` have not come to their end.
   */
  lastCall(path: string, argv: readonly string[], envp: Envp, wait: WaitMode): Promise<number> {
    this.#home.prepare()
    return this.#umh.call(path, argv, envp, wait)
  }

  /** The same as `callUsermodehelper`, but blocks this thread and its event loop until it is over. */
  callUsermodehelperSync(path: string, argv: readonly string[], envp: Envp, wait: WaitMode): number {
    if (this.closed) throw shutDown()
    this.#home.prepare()
    return this.#umh.callSync(path, argv, envp, wait)
  }

  /** Starts a program with a pipe to its standard input (call_usermodehelper_pipe); waits for the exec. */
  async callUsermodehelperPipe(
    path: string,
    argv: readonly string[],
    envp: Envp,
  ): Promise<{ readonly retval: number; readonly stdin: Writable }> {
    if (this.closed) throw shutDown()
    this.#home.prepare()
    return this.#umh.pipe(path, argv, envp)
  }

  /** Setup, setkeys and exec in one (call_usermodehelper_keys). */
  async callUsermodehelperKeys(
    path: string,
    argv: readonly string[],
    envp: Envp,
    keyring: Keyring,
    wait: WaitMode,
  ): Promise<number> {
    if (this.closed) throw shutDown()
    this.#home.prepare()
    return this.#umh.keys(path, argv, envp, keyring, wait)
  }

  /**
   * Lets no more helpers start, and waits up to 5 s until no caller is inside exec.
   * @returns 0; -EINVAL for UMH_ENABLED; -EAGAIN, with helpers enabled again, if the time ran out
   */
  usermodehelperDisable(depth: DisableDepth = UMH_DISABLED): Promise<number> {
    return this.#state.disable(depth)
  }

  /** @internal See `UsermodeHelperState.drain`. */
  drain(timeout: number): Promise<(() => void) | undefined> {
    return this.#state.drain(timeout)
  }

  /** Lets helpers start again, however often they were disabled. */
  usermodehelperEnable(): Promise<void> {
    return this.#state.enable()
  }

  /** Sets the state without waiting for callers, and wakes whoever waits for it. */
  usermodehelperSetDisableDepth(depth: DisableDepth): Promise<void> {
    return this.#state.setDisableDepth(depth)
  }

  /** Holds off `usermodehelperDisable` until `usermodehelperReadUnlock`: 0, or -EAGAIN if disabled. */
  usermodehelperReadTrylock(): Promise<number> {
    return this.#state.readTrylock()
  }

  /** The same, but waits up to `timeout` milliseconds; gives what is left of them, 0 if it got no lock. */
  usermodehelperReadLockWait(timeout: number): Promise<number> {
    return this.#state.readLockWait(timeout)
  }

  /** Gives back what `usermodehelperReadTrylock` or `usermodehelperReadLockWait` took. */
  usermodehelperReadUnlock(): void {
    this.#state.readUnlock()
  }

  /**
   * The capabilities that helpers may have in their bounding set (kernel.usermodehelper.bset); capability n is bit n,
   * and all 41 of Linux are there at first. Assigning can only take bits away. Without CAP_SETPCAP in the service
   * helpers then fail with EPERM.
   */
  get usermodehelperBset(): bigint {
    return readMasks(this.#memory).bset
  }

  set usermodehelperBset(mask: bigint) {
    limitMask(this.#memory, Control.BSET_LOST, checkMask(mask, 'usermodehelperBset'))
  }

  /** The same for the inheritable set (kernel.usermodehelper.inheritable). */
  get usermodehelperInheritable(): bigint {
    return readMasks(this.#memory).inheritable
  }

  set usermodehelperInheritable(mask: bigint) {
    limitMask(this.#memory, Control.INHERITABLE_LOST, checkMask(mask, 'usermodehelperInheritable'))
  }

  /** Resolves when every call that is queued now has been executed (flush_workqueue). */
  flush(): Promise<void> {
    return flushWorkqueue(this.#memory)
  }

  /**
   * Runs a program and gives what became of it.
   *
   * @param file a path, a name to look up in PATH, or the `file:` URL of an in-thread helper
   * @param args without `argv[0]`
   * @returns a promise that is also a handle on the helper; it rejects with a `HelperError` unless the
   *   helper exits with 0 (`reject: false` always resolves), and with ERR_KHELPER_SHUT_DOWN in either case once a
   *   shutdown has begun
   * @throws TypeError, RangeError at once for options that cannot be
   */
  run(
    file: string | URL,
    args: readonly string[],
    options: RunOptions & { readonly encoding: 'buffer' },
  ): Helper<Buffer>
  run(
    file: string | URL,
    args?: readonly string[],
    options?: RunOptions & { readonly encoding?: BufferEncoding },
  ): Helper
  run(file: string | URL, args?: readonly string[], options?: RunOptions): Helper<string | Buffer>
  run(file: string | URL, args: readonly string[] = [], options: RunOptions = {}): Helper<string | Buffer> {
    return this.#run(file, args, options, this.closed, this.#state)
  }

  /**
   * @internal The same for what belongs to an end, of the service or of something in it: also while calls in flight are
   * waited for at a shutdown.
   * @param disabled whether also while helpers are disabled
   * @throws ERR_KHELPER_SHUT_DOWN at once: who blocks does not hear of a promise
   */
  runAtEnd(file: string, args: readonly string[], options: RunOptions, disabled: boolean): BlockingHelper {
    if (!this.#running || this.#caller.closed) throw shutDown()
    const state = this.#state
    const counted = {
      enter: () => state.enter() || disabled,
      leave: () => state.leave(),
    }
    return this.#run(file, args, options, false, counted)
  }

  /**
   * @internal The same for a helper that enters control groups before it is executed. Needs the launcher posix_spawn.
   * @param cgroups files named cgroup.procs
   */
  runIn(
    cgroups: readonly string[],
    file: string | URL,
    args: readonly string[],
    options: RunOptions,
  ): Helper<string | Buffer> {
    return this.#run(file, args, options, this.closed, this.#state, cgroups)
  }

  #run(
    file: string | URL,
    args: readonly string[],
    options: RunOptions,
    closed: boolean,
    state: RunHost['state'],
    cgroups?: readonly string[],
  ): BlockingHelper {
    if (!closed) this.#home.prepare()
    const host = {
      caller: this.#caller,
      state,
      pipes: this.#pipes,
      signaller: this.#signaller,
      scratch: this.#handle.scratch,
      closed,
      watch: () => this.#home.watch(),
      killTree: (tree: TreeKill) => this.#killTree(tree),
      credentials: this.#credentials,
    }
    return run(host, file, args, options, cgroups)
  }

  /** @internal Starts the process that ends helpers when the service dies. */
  watchServiceDeath(serviceDeath: ServiceDeath): void {
    this.#serviceDeath = serviceDeath
    this.#home.prepare()
    void this.#direct.call(serviceDeath.spec, UMH_WAIT_EXEC)?.then(retval => {
      if (retval < 0) process.emitWarning(`helpers will outlive the service: ${errnoName(retval)}`, 'khelper')
    })
  }

  /** @returns whether a khelper will do it */
  #killTree(tree: TreeKill): boolean {
    if (this.closed || this.#caller.libc === undefined) return false
    const spec = { path: 'kill-tree', argv: [], envp: [], flags: SlotFlag.TREE, settings: { tree } }
    const settled = this.#direct.call(spec, UMH_WAIT_PROC)
    // A khelper that died of it has signalled nobody: the helper and its group can be signalled from here.
    void settled?.then(retval => retval < 0 && this.#signaller.signal(tree.process, tree.signal))
    return settled !== undefined
  }

  /**
   * @internal What `khelper/child_process` puts in the place of Node's native handle: a program that is about to be
   * started.
   */
  process(spec: CallSpec, events: ProcessEvents): ProcessCall {
    return new ProcessCall(this.#processHost(), spec, events)
  }

  /**
   * @internal The same, but blocks this thread until it has ended; its standard output and error may be captured.
   * @param input for its standard input; undefined: what the spec says
   * @param timeout milliseconds
   * @returns undefined if there is no descriptor for it
   */
  processSync(
    spec: CallSpec,
    input: Uint8Array | undefined,
    timeout: number | undefined,
  ): SyncOutcome | undefined {
    return runSync(this.#processHost(), this.#pipes, spec, input, timeout)
  }

  #processHost(): ProcessHost {
    if (this.closed) throw shutDown()
    this.#home.prepare()
    return {
      caller: this.#caller,
      state: this.#state,
      signaller: this.#signaller,
      watch: () => this.#home.watch(),
    }
  }

  /** @internal The C library, where programs are started by posix_spawn. */
  get libc(): Libc | undefined {
    return this.#caller.libc
  }

  /**
   * Takes no more calls, waits for those in flight, runs the cleanup of calls that were set up and never
   * executed, and ends the threads. On an attached thread: leaves the kernel, which goes on.
   */
  shutdown(): Promise<void> {
    this.#shutdown ??= this.#stop()
    return this.#shutdown
  }

  /**
   * Has a function called when the kernel is shut down, before the calls in flight are waited for.
   * @returns takes it back
   */
  onShutdown(ending: () => void | Promise<void>): () => void {
    this.#endings.add(ending)
    return () => this.#endings.delete(ending)
  }

  /**
   * Has a function called after a khelper thread has died; another thread takes its place in any case. Only on the
   * thread that booted the kernel. Keeps no process alive.
   * @returns takes it back
   */
  onKhelperDeath(listener: (death: KhelperDeath) => void): () => void {
    if (typeof listener !== 'function') throw wrongType('listener', 'of type function', listener)
    this.#home.onKhelperDeath(death => {
      // In a turn of their own: what they throw is not to keep the supervisor from its work.
      for (const mourner of this.#mourners) process.nextTick(mourner, death)
    })
    this.#mourners.add(listener)
    return () => this.#mourners.delete(listener)
  }

  /** @internal Has a function called with what an in-thread helper has thrown; in a turn of its own. */
  onThrown(listener: (thrown: ThrownHelper) => void): void {
    this.#home.onThrown(thrown => process.nextTick(listener, thrown))
  }

  /** @internal Counts something of an application's as a call in flight, until what it gives is called. */
  hold(): () => void {
    return this.#caller.hold()
  }

  async #stop(): Promise<void> {
    // What crashed before is told first: what hears of it may want to do something about it.
    if (this.#home.telling) await this.#home.told()
    await Promise.all([...this.#endings].map(ending => ending()))
    this.#endingsOver = true
    this.#caller.dropUnqueued()
    await this.#caller.idle()
    // What was in flight may have crashed since.
    await this.#home.told()
    await this.#caller.idle()
    this.#caller.close()
    await this.#home.stop()
    this.#credentials.close()
    this.#serviceDeath?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }
}

/** A kernel on the thread that booted it: has the other threads. */
class BootedHome implements Home {
  readonly attached = false
  readonly #memory: Memory
  readonly #libc: Libc | undefined
  readonly #supervisor: Supervisor
  readonly #scratch: string | undefined
  readonly #deadOwners: DeadOwners
  #shared = false

  constructor(memory: Memory, libc: Libc | undefined, supervisor: Supervisor, scratch: string | undefined) {
    this.#memory = memory
    this.#libc = libc
    this.#supervisor = supervisor
    this.#scratch = scratch
    this.#deadOwners = new DeadOwners(memory, libc)
    booted.add(supervisor)
    if (scratch !== undefined) scratches.add(scratch)
  }

  get ready(): Promise<unknown> {
    return this.#supervisor.ready
  }

  get khelpers(): number {
    return this.#supervisor.khelpers
  }

  prepare(): void {
    this.#supervisor.startReaper()
  }

  watch(): void {
    wakeStanding(this.#memory)
    this.#supervisor.watch()
    if (this.#shared) this.#deadOwners.look()
  }

  listens(): boolean {
    return this.#shared
  }

  onKhelperDeath(tell: (death: KhelperDeath) => void): void {
    this.#supervisor.onKhelperDeath = tell
  }

  onThrown(tell: (thrown: ThrownHelper) => void): void {
    this.#supervisor.onThrown(tell)
  }

  get telling(): boolean {
    return this.#supervisor.telling
  }

  told(): Promise<void> {
    return this.#supervisor.told()
  }

  share(): void {
    this.#shared = true
    this.#supervisor.startReaper()
  }

  signalInThread(slot: SlotIndex, signal: number): boolean {
    return this.#supervisor.signalInThread(slot, signal)
  }

  wakeReaper(): void {
    this.#supervisor.wakeReaper()
  }

  async stop(): Promise<void> {
    const { words } = this.#memory
    Atomics.store(words, this.#memory.control(Control.RUN_STATE), RunState.STOPPING)
    // Calls of attached threads: no new ones, and those under way come to their end.
    Atomics.store(words, this.#memory.control(Control.DISABLE_DEPTH), UMH_DISABLED)
    const ended = () => {
      this.watch()
      return Atomics.load(words, this.#memory.control(Control.RUNNING)) === 0
    }
    while ((await until(words, this.#memory.control(Control.IDLE), ended, STOP_LOOK_MS)) === 0);
    await this.#supervisor.stop()
    // As long as the wait_for_helper thread is there, the end of the process has to wait until it is not loading.
    const gone = this.#reaperGone().then(() => booted.delete(this.#supervisor))
    if (Atomics.load(words, this.#memory.control(Control.PROCESSES)) === 0) await gone
    if (this.#scratch !== undefined) {
      removeListed(this.#scratch)
      scratches.delete(this.#scratch)
    }
  }

  /** The wait_for_helper thread stays while a process is left; then its descriptors are closed. */
  async #reaperGone(): Promise<void> {
    if (this.#supervisor.hasReaper) {
      await new Promise<void>(resolve => {
        this.#supervisor.onReaperGone = resolve
        this.#supervisor.refReaper(
          Atomics.load(this.#memory.words, this.#memory.control(Control.PROCESSES)) === 0,
        )
      })
    }
    for (const word of [Control.EPOLL_FD, Control.EVENT_FD]) {
      const fd = Atomics.exchange(this.#memory.words, this.#memory.control(word), 0)
      if (fd > 0) this.#libc?.close(asFd(fd))
    }
    const step = Atomics.exchange(this.#memory.words, this.#memory.control(Control.EXEC_STEP_FD), 0) - 1
    if (step >= 0) this.#libc?.close(asFd(step))
  }
}

/** How often a shutdown looks after the threads while it waits for other threads' calls. */
const STOP_LOOK_MS = 50

/** A thread attached to a kernel: what needs the other threads it asks of the kernel's thread. */
class AttachedHome implements Home {
  readonly attached = true
  readonly #memory: Memory
  readonly #libc: Libc | undefined
  readonly #completer: Completer
  readonly #hungLaunches: HungLaunches
  readonly khelpers = 0
  readonly ready = Promise.resolve()

  constructor(memory: Memory, libc: Libc | undefined) {
    this.#memory = memory
    this.#libc = libc
    this.#completer = new Completer(memory)
    this.#hungLaunches = new HungLaunches(memory, libc)
    Atomics.add(memory.words, memory.control(Control.ATTACHED), 1)
  }

  prepare(): void {}

  /** The kernel's thread may have to add a khelper for calls that wait. */
  watch(): void {
    wakeStanding(this.#memory)
    this.#hungLaunches.look()
    if (this.#memory.waiting > 0) this.#completer.ring(KERNEL_OWNER)
  }

  share(): void {}

  listens(): boolean {
    return false
  }

  onKhelperDeath(): void {}

  onThrown(): void {}

  readonly telling = false

  async told(): Promise<void> {}

  signalInThread(slot: SlotIndex, signal: number): boolean {
    const { words } = this.#memory
    Atomics.store(words, this.#memory.slot(slot) + Slot.KILL_REQUEST, signal)
    Atomics.add(words, this.#memory.control(Control.KILL_REQUESTS), 1)
    this.#completer.ring(KERNEL_OWNER)
    return true
  }

  wakeReaper(): void {
    const fd = this.#memory.words[this.#memory.control(Control.EVENT_FD)] ?? 0
    if (fd > 0) this.#libc?.write(asFd(fd), ONE)
    const doorbell = this.#memory.control(Control.REAPER_DOORBELL)
    new Doorbell(this.#memory.buffer, this.#memory.byteOffset(doorbell)).ring()
  }

  async stop(): Promise<void> {
    Atomics.sub(this.#memory.words, this.#memory.control(Control.ATTACHED), 1)
  }
}

/** The kernel's own thread is the first that takes a row. */
const KERNEL_OWNER = 0 as OwnerIndex

/**
 * Boots a kernel on this thread. It comes back at once; calls made before the threads are up wait in the queue.
 * @throws TypeError, RangeError for options that cannot be; an error with the code of what the system refused
 */
export function boot(options: BootOptions = {}): Kernel {
  if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
  const khelpers = checkCount(options.khelpers, 'options.khelpers', availableParallelism(), LARGEST_KHELPERS)
  const descriptors = checkCount(
    options.descriptors,
    'options.descriptors',
    DEFAULT_DESCRIPTORS,
    LARGEST_DESCRIPTORS,
  )
  const { libc, launcher } = chooseLauncher(options.launcher ?? 'auto')
  const { onServiceDeath = 'leave' } = options
  if (onServiceDeath !== 'leave' && onServiceDeath !== 'kill') {
    throw wrongType('options.onServiceDeath', "'leave' or 'kill'", onServiceDeath)
  }
  if (onServiceDeath === 'kill' && libc === undefined) {
    throw unsupported("onServiceDeath: 'kill' needs the launcher posix_spawn")
  }
  const memory = Memory.create({ descriptors, pages: PAGES, khelpers: khelpers + ADDED_KHELPERS })
  const { words } = memory
  words[memory.control(Control.DISABLE_DEPTH)] = options.enabled === false ? UMH_DISABLED : UMH_ENABLED
  words[memory.control(Control.LAUNCH_SERIAL)] = firstSerial()
  words[memory.control(Control.LAUNCHER)] = libc === undefined ? Launcher.CHILD_PROCESS : Launcher.POSIX_SPAWN
  if (libc !== undefined) openEpoll(memory, libc)
  removeLeftCredentials()
  const scratch = libc === undefined ? makeScratch() : undefined
  const handle: KernelHandle = { memory: memory.buffer, launcher, scratch }
  const serviceDeath =
    onServiceDeath === 'kill' && libc !== undefined ? new ServiceDeath(memory, libc) : undefined
  const supervisor = new Supervisor(memory, new Completer(memory), libc, {
    khelpers,
    atOnce: options.khelpers === undefined ? 1 : khelpers,
    scratch,
    resourceLimits: options.resourceLimits,
  })
  const kernel = new Kernel(memory, libc, handle, new BootedHome(memory, libc, supervisor, scratch))
  if (serviceDeath !== undefined) kernel.watchServiceDeath(serviceDeath)
  return kernel
}

/**
 * Gives this thread its own face of a kernel that another thread has booted, for as many calls as it likes
 * without that thread's having to do anything.
 * @param handle the kernel's `handle`, as it came through `workerData` or `postMessage`
 */
export function attach(handle: KernelHandle): Kernel {
  if (!(handle?.memory instanceof SharedArrayBuffer)) throw wrongType('handle', "a kernel's handle", handle)
  const memory = Memory.attach(handle.memory)
  const posix = handle.launcher.name === 'posix_spawn'
  const loaded = loadNative(memory, RunState.EXITING, () => ({ libc: posix ? loadLibc() : undefined }))
  if (loaded === undefined) throw shutDown()
  const { libc } = loaded
  return new Kernel(memory, libc, handle, new AttachedHome(memory, libc))
}

/** A folder for what the launcher child_process has in files. */
function makeScratch(): string {
  const place = temporaryPlace()
  removeLeftFolders(place, 'scratch')
  return makeServiceFolder(place, 'scratch')
}

function checkMask(mask: unknown, name: string): bigint {
  if (typeof mask !== 'bigint') throw wrongType(name, 'of type bigint', mask)
  if (BigInt.asUintN(64, mask) !== mask) throw outOfRange(name, 'a set of 64 bits', mask)
  return mask
}

function checkCount(value: unknown, name: string, otherwise: number, largest: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value)
  if (!Number.isInteger(value) || value < 1 || value > largest) {
    throw outOfRange(name, `an integer from 1 to ${largest}`, value)
  }
  return value
}

function chooseLauncher(wanted: 'auto' | 'posix_spawn' | 'child_process'): {
  readonly libc: Libc | undefined
  readonly launcher: LauncherInfo
} {
  if (wanted === 'child_process') {
    return { libc: undefined, launcher: { name: 'child_process', reason: 'asked for' } }
  }
  if (wanted !== 'auto' && wanted !== 'posix_spawn') {
    throw wrongType('options.launcher', "'auto', 'posix_spawn' or 'child_process'", wanted)
  }
  try {
    return { libc: loadLibc(), launcher: { name: 'posix_spawn', reason: 'works here' } }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (wanted === 'posix_spawn') throw unsupported(`posix_spawn cannot be had: ${reason}`)
    return { libc: undefined, launcher: { name: 'child_process', reason } }
  }
}

/** The wait_for_helper thread's epoll set, and the eventfd that wakes it. */
function openEpoll(memory: Memory, libc: Libc): void {
  const epoll = libc.epollCreate()
  if (epoll < 0) throw systemError(epoll, 'epoll_create1')
  const event = libc.eventfd()
  if (event < 0) {
    libc.close(asFd(epoll))
    throw systemError(event, 'eventfd')
  }
  libc.epollAdd(asFd(epoll), asFd(event), EPOLLIN, Watch.WAKE)
  memory.words[memory.control(Control.EPOLL_FD)] = epoll
  memory.words[memory.control(Control.EVENT_FD)] = event
}

function systemError(error: number, syscall: string): Error {
  return Object.assign(new Error(`${errnoName(error)}: ${syscall} failed while booting a kernel`), {
    code: errnoName(error),
    errno: error,
    syscall,
  })
}
