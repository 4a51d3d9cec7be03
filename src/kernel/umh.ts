/**
 * The article's functions with today's semantics: Linux 6.17, kernel/umh.c; `setkeys`, `setcleanup`,
 * `stdinpipe` and `pipe` as in 2.6.30, kernel/kmod.c.
 */
import type { Writable } from 'node:stream'
import { Backoff, Completion, ERESTARTSYS } from '../atomics-sync/index.js'
import { errno } from '../libc/index.js'
import { type CallSpec, checkCall, type StdioEntry, setStdio } from './call-spec.js'
import type { Caller, Ending } from './caller.js'
import {
  GFP_ATOMIC,
  GFP_KERNEL,
  type GfpFlags,
  UMH_FREEZABLE,
  UMH_KILLABLE,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  type WaitMode,
} from './constants.js'
import { type CredentialDirectories, withDirectory } from './credential-directories.js'
import { DirectCalls } from './direct-calls.js'
import { infoUsed, outOfRange, shutDown, wrongType, wrongValue } from './errors.js'
import { Keyring } from './keyring.js'
import { Slot, SlotFlag, type SlotIndex, Stdio, Waiter } from './memory.js'
import type { StdinPipes } from './stdin-pipe.js'
import { InfoState, internals, type SetupOptions, SubprocessInfo } from './subprocess-info.js'
import type { UsermodeHelperState } from './usermodehelper.js'
import { queueWork } from './workqueue.js'

const LARGEST_WAIT = UMH_WAIT_PROC | UMH_KILLABLE | UMH_FREEZABLE
const WAIT_BITS = UMH_WAIT_EXEC | UMH_WAIT_PROC
/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20
const IGNORED: StdioEntry = { kind: Stdio.IGNORE, fd: 0 }
const IN_THREAD_SCHEME = 'file:'

/** What may break the wait of a call with UMH_KILLABLE. */
export interface ExecOptions {
  /** Stands for a fatal signal. The helper is not killed by it, nor the call withdrawn. */
  readonly signal?: AbortSignal | undefined
  /** Called when the helper has been started: before the call's end, and not at all if its exec failed. */
  readonly started?: (() => void) | undefined
}

/** The environment of a call: `KEY=value` strings, or an object. */
export type Envp = readonly string[] | Readonly<Record<string, string | undefined>> | null | undefined

const EMPTY: readonly string[] = Object.freeze([])

/** An environment as it is written: an object's undefined values are left out. */
export function envpStrings(envp: Envp): readonly string[] {
  if (envp === null || envp === undefined) return EMPTY
  if (Array.isArray(envp)) return envp
  if (typeof envp !== 'object') throw wrongType('envp', 'an array of strings or an object', envp)
  const strings: string[] = []
  for (const [key, value] of Object.entries(envp)) if (value !== undefined) strings.push(`${key}=${value}`)
  return strings
}

/** @throws RangeError for a wait mode that does not exist */
export function checkWait(wait: unknown): asserts wait is WaitMode {
  if (typeof wait !== 'number') throw wrongType('wait', 'one of the UMH_ constants', wait)
  if (!Number.isInteger(wait) || wait < 0 || wait > LARGEST_WAIT || (wait & WAIT_BITS) === WAIT_BITS) {
    throw outOfRange(
      'wait',
      'UMH_NO_WAIT, UMH_WAIT_EXEC or UMH_WAIT_PROC, with UMH_KILLABLE or UMH_FREEZABLE',
      wait,
    )
  }
}

export class UsermodeHelper implements Ending {
  readonly #caller: Caller
  readonly #state: UsermodeHelperState
  readonly #pipes: StdinPipes
  readonly #credentials: CredentialDirectories
  /** Looks after the threads while this one is blocked. */
  readonly #watch: () => void
  readonly #direct: DirectCalls
  readonly #infos: (SubprocessInfo | undefined)[] = []
  readonly #isClosed: () => boolean

  constructor(
    caller: Caller,
    state: UsermodeHelperState,
    pipes: StdinPipes,
    credentials: CredentialDirectories,
    watch: () => void,
    isClosed: () => boolean,
  ) {
    this.#caller = caller
    this.#state = state
    this.#direct = new DirectCalls(caller, state)
    this.#pipes = pipes
    this.#credentials = credentials
    this.#watch = watch
    this.#isClosed = isClosed
  }

  setup<Data>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: typeof GFP_ATOMIC,
    options?: SetupOptions<Data>,
  ): SubprocessInfo<Data> | null
  setup<Data>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: typeof GFP_KERNEL,
    options?: SetupOptions<Data>,
  ): Promise<SubprocessInfo<Data>>
  setup<Data>(
    path: string | null,
    argv: readonly string[],
    envp: Envp,
    gfp: GfpFlags,
    options?: SetupOptions<Data>,
  ): SubprocessInfo<Data> | null | Promise<SubprocessInfo<Data>> {
    if (gfp !== GFP_ATOMIC && gfp !== GFP_KERNEL) throw wrongType('gfp', 'GFP_ATOMIC or GFP_KERNEL', gfp)
    checkCallbacks(options)
    const given = this.#spec(path, argv, envp)
    // A copy: what the caller changes later is not seen.
    const spec = { ...given, argv: given.argv.slice(), envp: given.envp.slice() }
    if (gfp === GFP_ATOMIC) {
      const slot = this.#caller.trySetup(spec)
      if (slot !== undefined) return this.#info(path, spec, slot, options)
      checkCall(spec)
      return null
    }
    checkCall(spec)
    return new Promise((resolve, reject) => {
      this.#caller.setup({
        spec,
        taken: slot => resolve(this.#info(path, spec, slot, options)),
        failed: reject,
      })
    })
  }

  #spec(path: string | null, argv: readonly string[], envp: Envp): CallSpec {
    if (this.#isClosed()) throw shutDown()
    if (path !== null && typeof path !== 'string') throw wrongType('path', 'of type string', path)
    if (!Array.isArray(argv)) throw wrongType('argv', 'an array of strings', argv)
    const flags = path?.startsWith(IN_THREAD_SCHEME) ? SlotFlag.IN_THREAD : 0
    return { path: path ?? '', argv, envp: envpStrings(envp), flags }
  }

  #info<Data>(
    path: string | null,
    spec: CallSpec,
    slot: SlotIndex,
    options: SetupOptions<Data> | undefined,
  ): SubprocessInfo<Data> {
    const info = new SubprocessInfo(path, spec, slot, options)
    this.#infos[slot] = info as SubprocessInfo
    this.#caller.own(slot, this)
    return info
  }

  setCleanup(info: SubprocessInfo, cleanup: (info: SubprocessInfo) => void): void {
    this.#own(info)
    if (typeof cleanup !== 'function') throw wrongType('cleanup', 'of type function', cleanup)
    info[internals].cleanup = cleanup as never
  }

  /** call_usermodehelper_setkeys: the session keyring of the helper, and the folder with the same secrets. */
  setKeys(info: SubprocessInfo, keyring: Keyring): void {
    const internal = this.#own(info)
    if (!(keyring instanceof Keyring)) throw wrongType('keyring', 'a Keyring', keyring)
    if ((internal.spec.flags & SlotFlag.IN_THREAD) !== 0) {
      throw wrongValue('keyring', 'cannot be given to an in-thread helper')
    }
    internal.keys = keyring
  }

  /** Writes the secrets, and the call anew with their place. @returns `-errno` if that fails */
  #giveKeys(info: SubprocessInfo, keys: Keyring): number | undefined {
    const internal = info[internals]
    const { spec, slot, stdin } = internal
    try {
      internal.directory = this.#credentials.create(keys, undefined, undefined)
    } catch (error) {
      return (error as NodeJS.ErrnoException).errno ?? -errno('EIO')
    }
    const envp = withDirectory(spec.envp, internal.directory)
    const settings = { ...spec.settings, keys: internal.directory }
    const stdio = stdin === undefined ? spec.stdio : [stdin, IGNORED, IGNORED]
    const written = this.#caller.rewrite(slot, { ...spec, envp, settings, ...(stdio && { stdio }) })
    return written ? undefined : -errno('ENOMEM')
  }

  stdinPipe(info: SubprocessInfo): Writable {
    const { slot } = this.#own(info)
    const { writable, kind, fd } = this.#pipes.create()
    setStdio(this.#caller.memory, slot, 0, kind, fd)
    info[internals].stdin = { kind, fd }
    return writable
  }

  /** call_usermodehelper_freeinfo: for a call that is set up and will not be executed. */
  freeInfo(info: SubprocessInfo): void {
    this.#own(info)
    this.#free(info)
  }

  /** A SubprocessInfo that has not been executed; anything else is an error. */
  #own(info: SubprocessInfo): SubprocessInfo[typeof internals] {
    if (!(info instanceof SubprocessInfo)) throw wrongType('info', 'a SubprocessInfo', info)
    if (info[internals].state !== InfoState.SETUP) throw infoUsed(info.path)
    if (this.#infos[info[internals].slot] !== info) throw infoUsed(info.path)
    return info[internals]
  }

  /** Starts a call: its result where it ends at once, else `undefined`, and it is queued. */
  #begin(
    info: SubprocessInfo,
    wait: WaitMode,
    waiter: number,
    started?: (() => void) | undefined,
  ): number | undefined {
    checkWait(wait)
    const internal = this.#own(info)
    const { memory } = this.#caller
    // The order of the checks is Linux's.
    if (info.path === null) return this.#endNow(info, -errno('EINVAL'))
    const enabled = this.#state.enter()
    internal.waited = (wait & UMH_WAIT_PROC) !== 0
    const refused = enabled
      ? (this.#refusal(info, internal.slot) ?? (internal.keys && this.#giveKeys(info, internal.keys)))
      : -errno('EBUSY')
    if (refused !== undefined) {
      this.#endNow(info, refused)
      this.#state.leave()
      return refused
    }
    const row = memory.slot(internal.slot)
    memory.words[row + Slot.WAIT] = wait
    memory.words[row + Slot.WAITER] = wait === UMH_NO_WAIT ? Waiter.NONE : waiter
    internal.state = InfoState.EXECUTING
    if (waiter === Waiter.SYNC && wait !== UMH_NO_WAIT) this.#caller.disown(internal.slot)
    else this.#caller.queued(internal.slot, this)
    if (started !== undefined) {
      const flags = row + Slot.FLAGS
      memory.words[flags] = (memory.words[flags] ?? 0) | SlotFlag.TELL_EXEC
      this.#caller.onExec(internal.slot, started)
    }
    queueWork(memory, internal.slot)
    return undefined
  }

  /** What ends a call before it is queued, if anything does. */
  #refusal(info: SubprocessInfo, slot: SlotIndex): number | undefined {
    if (info.path === '') return 0
    const { memory } = this.#caller
    const flags = memory.words[memory.slot(slot) + Slot.FLAGS] ?? 0
    if (flags & SlotFlag.TOO_BIG) return -errno('E2BIG')
    if (info.argv.length === 0) return -errno('EINVAL')
    const { init } = info[internals]
    if (init === undefined) return undefined
    let value: unknown
    try {
      value = init(info as never)
    } catch (error) {
      this.#endNow(info, -errno('ECANCELED'))
      this.#state.leave()
      throw error
    }
    return typeof value === 'number' && value !== 0 ? value : undefined
  }

  #endNow(info: SubprocessInfo, retval: number): number {
    info.retval = retval
    this.#free(info)
    return retval
  }

  /** Runs the cleanup and frees the descriptor. */
  #free(info: SubprocessInfo): void {
    const internal = info[internals]
    internal.state = InfoState.FREED
    this.#infos[internal.slot] = undefined
    this.#pipes.release(this.#caller.memory, internal.slot)
    if (internal.directory !== undefined) {
      this.#credentials.release(internal.directory, internal.waited ? undefined : info.pid)
    }
    try {
      internal.cleanup?.(info as never)
    } catch (error) {
      // A cleanup that throws must not keep the call from ending; the error is still the process's.
      process.nextTick(() => {
        throw error
      })
    }
    this.#caller.release(internal.slot)
  }

  /** The awaiting form of exec. */
  exec(info: SubprocessInfo, wait: WaitMode, options?: ExecOptions): Promise<number> {
    try {
      const signal = options?.signal
      const ended = this.#begin(info, wait, Waiter.ASYNC, options?.started)
      if (ended !== undefined) return Promise.resolve(ended)
      if (wait === UMH_NO_WAIT) {
        this.#state.leave()
        return Promise.resolve(0)
      }
      return new Promise(resolve => {
        info[internals].resolve = resolve
        if (signal !== undefined && (wait & UMH_KILLABLE) !== 0) this.#listen(info, signal)
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** A fatal signal breaks the wait; whoever ends the call later frees it. */
  #listen(info: SubprocessInfo, signal: AbortSignal): void {
    const { memory } = this.#caller
    const internal = info[internals]
    const abort = () => {
      // The swap of umh.c: if the completion has been taken already, the call has ended, and its result counts.
      const waiter = Atomics.exchange(memory.words, memory.slot(internal.slot) + Slot.WAITER, Waiter.NONE)
      if (waiter === Waiter.NONE || internal.resolve === undefined) return
      const { resolve } = internal
      internal.resolve = undefined
      internal.unlisten = undefined
      this.#state.leave()
      resolve(-ERESTARTSYS)
    }
    if (signal.aborted) {
      abort()
      return
    }
    signal.addEventListener('abort', abort, { once: true })
    internal.unlisten = () => signal.removeEventListener('abort', abort)
  }

  /** The blocking form of exec. */
  execSync(info: SubprocessInfo, wait: WaitMode): number {
    const ended = this.#begin(info, wait, Waiter.SYNC)
    if (ended !== undefined) return ended
    if (wait === UMH_NO_WAIT) {
      this.#state.leave()
      return 0
    }
    const { memory } = this.#caller
    const row = memory.slot(info[internals].slot)
    this.#block(new Completion(memory.buffer, memory.byteOffset(row + Slot.COMPLETION)))
    const retval = this.#result(info)
    this.#free(info)
    this.#state.leave()
    return retval
  }

  #block(completion: Completion): void {
    const backoff = new Backoff()
    while (backoff.spin()) if (completion.tryWait()) return
    while (completion.waitTimeout(BLOCKED_LOOK_MS) === 0) this.#watch()
  }

  #result(info: SubprocessInfo): number {
    const { memory } = this.#caller
    const row = memory.slot(info[internals].slot)
    const retval = memory.words[row + Slot.RETVAL] ?? 0
    const pid = memory.words[row + Slot.PID] ?? 0
    info.retval = retval
    info.pid = pid === 0 ? undefined : pid
    return retval
  }

  /** A queued call has come back. */
  ended(slot: SlotIndex): void {
    const info = this.#infos[slot]
    if (info === undefined) return
    const { resolve, unlisten } = info[internals]
    const retval = this.#result(info)
    this.#free(info)
    if (resolve === undefined) return
    unlisten?.()
    this.#state.leave()
    resolve(retval)
  }

  /** The kernel goes, and this call was never executed. */
  dropped(slot: SlotIndex): void {
    const info = this.#infos[slot]
    if (info !== undefined) this.#free(info)
  }

  /** Setup and exec in one. */
  call(
    path: string,
    argv: readonly string[],
    envp: Envp,
    wait: WaitMode,
    options?: ExecOptions,
  ): Promise<number> {
    try {
      checkWait(wait)
      if (path && Array.isArray(argv) && argv.length > 0 && !options?.signal && !options?.started) {
        const queued = this.#direct.call(this.#spec(path, argv, envp), wait)
        if (queued !== undefined) return queued
      }
      const info = this.setup(path, argv, envp, GFP_ATOMIC)
      if (info !== null) return this.exec(info, wait, options)
      if (wait === UMH_NO_WAIT) return Promise.resolve(-errno('ENOMEM'))
      return this.setup(path, argv, envp, GFP_KERNEL).then(info => this.exec(info, wait, options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Setup, setkeys and exec in one (call_usermodehelper_keys). */
  async keys(
    path: string,
    argv: readonly string[],
    envp: Envp,
    keyring: Keyring,
    wait: WaitMode,
  ): Promise<number> {
    checkWait(wait)
    const info =
      this.setup(path, argv, envp, GFP_ATOMIC) ??
      (wait === UMH_NO_WAIT ? null : await this.setup(path, argv, envp, GFP_KERNEL))
    if (info === null) return -errno('ENOMEM')
    try {
      this.setKeys(info, keyring)
    } catch (error) {
      this.freeInfo(info)
      throw error
    }
    return this.exec(info, wait)
  }

  callSync(path: string, argv: readonly string[], envp: Envp, wait: WaitMode): number {
    checkWait(wait)
    for (;;) {
      const info = this.setup(path, argv, envp, GFP_ATOMIC)
      if (info !== null) return this.execSync(info, wait)
      if (wait === UMH_NO_WAIT) return -errno('ENOMEM')
      this.#caller.sleep(BLOCKED_LOOK_MS)
      this.#watch()
    }
  }

  /** Always waits for the exec, as in 2.6.30. */
  async pipe(
    path: string,
    argv: readonly string[],
    envp: Envp,
  ): Promise<{ readonly retval: number; readonly stdin: Writable }> {
    const info = await this.setup(path, argv, envp, GFP_KERNEL)
    let stdin: Writable
    try {
      stdin = this.stdinPipe(info)
    } catch (error) {
      this.freeInfo(info)
      throw error
    }
    const retval = await this.exec(info, UMH_WAIT_EXEC)
    if (retval < 0) stdin.destroy()
    return { retval, stdin }
  }
}

function checkCallbacks<Data>(options: SetupOptions<Data> | undefined): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
  const { init, cleanup } = options
  if (init !== undefined && typeof init !== 'function')
    throw wrongType('options.init', 'of type function', init)
  if (cleanup !== undefined && typeof cleanup !== 'function') {
    throw wrongType('options.cleanup', 'of type function', cleanup)
  }
}
