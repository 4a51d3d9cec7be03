/**
 * Asks user space for a module: request_module, as in Linux 6.17, kernel/module/kmod.c and dups.c.
 */
import { GFP_KERNEL, UMH_KILLABLE, UMH_WAIT_PROC, type WaitMode } from '../../kernel/constants.js'
import { SystemError, wrongType } from '../../kernel/errors.js'
import { MODPROBE } from '../../kernel/helper-programs.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import type { SubprocessInfo } from '../../kernel/subprocess-info.js'
import { type ErrnoName, errno, errnoName, knownName } from '../../libc/errno.js'
import { MODULE_NAME_BYTES } from './module-file.js'
import { RequestLog, unreachable } from './request-log.js'
import { Slots } from './slots.js'

/** Requests that are under way at once (MAX_KMOD_CONCURRENT), and how long one waits for its turn, in ms. */
export const MAX_CONCURRENT = 50
export const ALL_BUSY_TIMEOUT = 5_000
/**
 * Helpers that run at once on khelper threads: each holds one for as long as the module's init takes, and others than
 * modprobe need them, too; there are 32 beyond those that stay (`kernel/supervisor.ts`).
 */
const MAX_IN_THREAD = 16
const IN_THREAD_SCHEME = 'file:'
/** How long what came of a request stands for others of the same name, in ms, where that is asked for. */
export const DUPLICATES_KEPT = 60_000
/** At most one warning in this time, in ms. */
const WARNING_INTERVAL = 5_000
/** Warnings of helpers beyond these are dropped: what a helper writes must not fill the service's memory. */
const MOST_PASSED_ON = 100

const ENVIRONMENT = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/usr/sbin:/bin:/usr/bin']

export interface RequestOptions {
  /** Stands for a fatal signal: breaks the wait with ERESTARTSYS; the helper goes on. */
  readonly signal?: AbortSignal
}

/** Periods that tests shorten, in milliseconds. */
export interface RequestPeriods {
  readonly allBusy?: number
  readonly duplicatesKept?: number
}

/** What a helper that acts for the kernel is given beside its task, and what is to be done when it has ended. */
interface HelperAuthority {
  readonly envp: readonly string[]
  done(): void
}

/** Gives a helper the means to load modules, and to write to a log. */
type Authorise = (log: RequestLog) => Promise<HelperAuthority>

/** What came of a request. */
export interface RequestResult {
  /** 0, which does not prove that the module is there; `-errno`; the helper's wait status. */
  readonly retval: number
  /** Why, where that is known. */
  readonly cause?: Error | undefined
}

const ENDED_WELL: RequestResult = { retval: 0 }
const failed = (code: ErrnoName): RequestResult => ({ retval: -errno(code) })

export class ModuleRequests {
  readonly #kernel: Kernel
  readonly #slots = new Slots(MAX_CONCURRENT)
  /** Helpers on khelper threads, each of which it holds to its end. */
  readonly #threads = new Slots(MAX_IN_THREAD)
  readonly #duplicates = new Map<string, Promise<RequestResult>>()
  readonly #allBusyTimeout: number
  readonly #duplicatesKept: number
  readonly #authorise: Authorise
  /** Warnings of helpers that have been passed on: each request meets the same ones. */
  readonly #passedOn = new Set<string>()
  #warned = Number.NEGATIVE_INFINITY

  constructor(kernel: Kernel, authorise: Authorise, periods: RequestPeriods = {}) {
    this.#kernel = kernel
    this.#authorise = authorise
    this.#allBusyTimeout = periods.allBusy ?? ALL_BUSY_TIMEOUT
    this.#duplicatesKept = periods.duplicatesKept ?? DUPLICATES_KEPT
  }

  /**
   * __request_module.
   * @param wait `false`: until the helper has been started, which says nothing of the module
   * @throws ERR_KHELPER_SHUT_DOWN, ERR_INVALID_ARG_TYPE
   */
  async request(wait: boolean, name: string, { signal }: RequestOptions = {}): Promise<RequestResult> {
    if (typeof name !== 'string') throw wrongType('name', 'of type string', name)
    const path = readSysctl(this.#kernel, 'kernel/modprobe')
    if (path === '') return failed('ENOENT')
    if (Buffer.byteLength(name) >= MODULE_NAME_BYTES) return failed('ENAMETOOLONG')
    if (signal?.aborted) return failed('ERESTARTSYS')
    const deadline = performance.now() + this.#allBusyTimeout
    if (!(await this.#slots.take(this.#allBusyTimeout))) return this.#allBusy(name)
    try {
      // A name ends at its NUL, as in C.
      const request = { wait, name: name.replace(/\0[\s\S]*$/, ''), path, signal, deadline }
      return await killable(this.#deduplicated(request), signal)
    } finally {
      this.#slots.give()
    }
  }

  #allBusy(name: string): RequestResult {
    this.#warn(`module ${name}: all helpers have been under way for too long; nothing is asked for`)
    return failed('ETIME')
  }

  async #deduplicated(request: Request): Promise<RequestResult> {
    const { name, wait } = request
    if (readSysctl(this.#kernel, 'khelper/module_autoload_dups') !== '1') return this.#run(request)
    const before = this.#duplicates.get(name)
    if (before !== undefined) {
      this.#warn(`module ${name} is asked for again; the first answer stands`)
      return wait ? before : ENDED_WELL
    }
    if (!wait) return this.#run(request)
    const result = this.#run(request)
    this.#duplicates.set(name, result)
    const forget = () => {
      setTimeout(() => this.#duplicates.delete(name), this.#duplicatesKept).unref()
    }
    result.then(forget, forget)
    return result
  }

  async #run(request: Request): Promise<RequestResult> {
    const held = request.path.startsWith(IN_THREAD_SCHEME) ? this.#threads : undefined
    if (held !== undefined && !(await held.take(request.deadline - performance.now()))) {
      return this.#allBusy(request.name)
    }
    const log = new RequestLog(message => this.#passOn(message))
    let authority: HelperAuthority | undefined
    const ended = () => {
      authority?.done()
      held?.give()
    }
    let info: SubprocessInfo
    try {
      authority = await this.#authorise(log)
      const { path, name } = request
      const envp = [...ENVIRONMENT, ...authority.envp]
      info = await this.#kernel.callUsermodehelperSetup(path, [path, '-q', '--', name], envp, GFP_KERNEL, {
        cleanup: ended,
      })
    } catch (error) {
      ended()
      const cause = error as NodeJS.ErrnoException
      const code = knownName(cause.code)
      if (code === undefined) throw error
      return { retval: -errno(code), cause }
    }
    if (request.signal?.aborted) {
      // Nobody waits any more: it was given up while there was no descriptor for it.
      this.#kernel.callUsermodehelperFreeinfo(info)
      return failed('ERESTARTSYS')
    }
    const retval = await this.#exec(info, request)
    const { failure } = log
    if (failure !== undefined) return { retval, cause: new Error(failure) }
    return { retval, cause: request.path === MODPROBE ? unreachable(retval) : undefined }
  }

  /**
   * Either way the call lasts as long as the helper, because its authority does. Who waits for the start only breaks the
   * wait then.
   */
  async #exec(info: SubprocessInfo, { wait, signal }: Request): Promise<number> {
    const mode = (UMH_WAIT_PROC | UMH_KILLABLE) as WaitMode
    if (wait) return this.#kernel.callUsermodehelperExec(info, mode, { signal })
    const over = new AbortController()
    const broken = () => over.abort()
    let started = false
    signal?.addEventListener('abort', broken, { once: true })
    if (signal?.aborted) broken()
    const retval = await this.#kernel.callUsermodehelperExec(info, mode, {
      signal: over.signal,
      started: () => {
        started = true
        over.abort()
      },
    })
    signal?.removeEventListener('abort', broken)
    return started ? 0 : retval
  }

  #passOn(message: string): void {
    if (this.#passedOn.size >= MOST_PASSED_ON || this.#passedOn.has(message)) return
    this.#passedOn.add(message)
    process.emitWarning(`modprobe: ${message}`, 'khelper')
  }

  #warn(message: string): void {
    const now = performance.now()
    if (now - this.#warned < WARNING_INTERVAL) return
    this.#warned = now
    process.emitWarning(message, 'khelper')
  }
}

/** One request on its way. */
interface Request {
  readonly wait: boolean
  readonly name: string
  /** Of modprobe. */
  readonly path: string
  readonly signal: AbortSignal | undefined
  /** Until when it may wait for its turn. */
  readonly deadline: number
}

function killable(result: Promise<RequestResult>, signal: AbortSignal | undefined): Promise<RequestResult> {
  if (signal === undefined) return result
  return new Promise((resolve, reject) => {
    const aborted = () => resolve(failed('ERESTARTSYS'))
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted, { once: true })
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}

/** What a request came to, as an error; `undefined` if it came to 0. */
export function requestError(
  { retval, cause }: RequestResult,
  name: string,
  path: string,
): SystemError | undefined {
  if (retval === 0) return undefined
  const details = { syscall: 'request_module', path, retval, cause }
  if (retval > 0) {
    const why = cause === undefined ? '' : `: ${cause.message}`
    return new SystemError(
      'ENOENT',
      `module ${name}: ${path} has failed (wait status ${retval})${why}`,
      details,
    )
  }
  const code = knownName(errnoName(retval)) ?? 'EINVAL'
  const why = cause?.message ?? REASONS[code] ?? path
  return new SystemError(code, `module ${name} cannot be asked for: ${why}`, details)
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such modprobe; kernel.modprobe names it',
  ENAMETOOLONG: `a name has at most ${MODULE_NAME_BYTES - 1} bytes`,
  ETIME: `${MAX_CONCURRENT} other requests are under way, or ${MAX_IN_THREAD} whose helpers hold a thread each`,
  EBUSY: 'helpers are disabled',
  ERESTARTSYS: 'the wait was broken off',
}
