/**
 * Asks user space for a module: request_module, as in Linux 6.17, kernel/module/kmod.c and dups.c.
 */
import {
  GFP_KERNEL,
  UMH_KILLABLE,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  type WaitMode,
} from '../../kernel/constants.js'
import { SystemError, wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { errno, errnoName, knownName } from '../../libc/errno.js'
import { MODULE_NAME_BYTES } from './module-file.js'
import { Slots } from './slots.js'

/** Requests that are under way at once (MAX_KMOD_CONCURRENT), and how long one waits for its turn, in ms. */
const MAX_CONCURRENT = 50
const ALL_BUSY_TIMEOUT = 5_000
/** How long what came of a request stands for others of the same name, in ms, where that is asked for. */
const DUPLICATES_KEPT = 60_000
/** At most one warning in this time, in ms. */
const WARNING_INTERVAL = 5_000

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
export interface HelperAuthority {
  readonly envp: readonly string[]
  done(): void
}

interface Duplicate {
  readonly result: Promise<number>
}

export class ModuleRequests {
  readonly #kernel: Kernel
  readonly #slots = new Slots(MAX_CONCURRENT)
  readonly #duplicates = new Map<string, Duplicate>()
  readonly #allBusyTimeout: number
  readonly #duplicatesKept: number
  /** Gives a helper the means to load modules. */
  readonly #authorise: () => HelperAuthority | Promise<HelperAuthority>
  #warned = Number.NEGATIVE_INFINITY

  constructor(
    kernel: Kernel,
    authorise: () => HelperAuthority | Promise<HelperAuthority>,
    periods: RequestPeriods = {},
  ) {
    this.#kernel = kernel
    this.#authorise = authorise
    this.#allBusyTimeout = periods.allBusy ?? ALL_BUSY_TIMEOUT
    this.#duplicatesKept = periods.duplicatesKept ?? DUPLICATES_KEPT
  }

  /**
   * __request_module.
   * @param wait `false`: until the helper has been started, which says nothing of the module
   * @returns 0, which does not prove that the module is there; `-errno`; the helper's wait status
   */
  async request(wait: boolean, name: string, { signal }: RequestOptions = {}): Promise<number> {
    if (typeof name !== 'string') throw wrongType('name', 'of type string', name)
    const path = readSysctl(this.#kernel, 'kernel/modprobe')
    if (path === '') return -errno('ENOENT')
    if (Buffer.byteLength(name) >= MODULE_NAME_BYTES) return -errno('ENAMETOOLONG')
    if (signal?.aborted) return -errno('ERESTARTSYS')
    if (!(await this.#slots.take(this.#allBusyTimeout))) {
      this.#warn(
        `module ${name}: ${MAX_CONCURRENT} requests have been under way for too long; nothing is asked for`,
      )
      return -errno('ETIME')
    }
    try {
      // A name ends at its NUL, as in C.
      return await this.#deduplicated(wait, name.replace(/\0[\s\S]*$/, ''), path, signal)
    } finally {
      this.#slots.give()
    }
  }

  async #deduplicated(
    wait: boolean,
    name: string,
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    if (readSysctl(this.#kernel, 'khelper/module_autoload_dups') !== '1')
      return this.#run(wait, name, path, signal)
    const before = this.#duplicates.get(name)
    if (before !== undefined) {
      this.#warn(`module ${name} is asked for again; the first answer stands`)
      return wait ? killable(before.result, signal) : 0
    }
    if (!wait) return this.#run(wait, name, path, signal)
    const result = this.#run(wait, name, path, signal)
    this.#duplicates.set(name, { result })
    void result.finally(() => setTimeout(() => this.#duplicates.delete(name), this.#duplicatesKept).unref())
    return result
  }

  async #run(wait: boolean, name: string, path: string, signal: AbortSignal | undefined): Promise<number> {
    const authority = await this.#authorise()
    const mode = ((wait ? UMH_WAIT_PROC : UMH_WAIT_EXEC) | UMH_KILLABLE) as WaitMode
    const info = await this.#kernel.callUsermodehelperSetup(
      path,
      [path, '-q', '--', name],
      [...ENVIRONMENT, ...authority.envp],
      GFP_KERNEL,
      { cleanup: () => authority.done() },
    )
    return this.#kernel.callUsermodehelperExec(info, mode, signal === undefined ? {} : { signal })
  }

  #warn(message: string): void {
    const now = performance.now()
    if (now - this.#warned < WARNING_INTERVAL) return
    this.#warned = now
    process.emitWarning(message, 'khelper')
  }
}

function killable(result: Promise<number>, signal: AbortSignal | undefined): Promise<number> {
  if (signal === undefined) return result
  return new Promise((resolve, reject) => {
    const aborted = () => resolve(-errno('ERESTARTSYS'))
    signal.addEventListener('abort', aborted, { once: true })
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}

/** What a request came to, as an error; `undefined` if it came to 0. */
export function requestError(retval: number, name: string, path: string): SystemError | undefined {
  if (retval === 0) return undefined
  const details = { syscall: 'request_module', path, retval }
  if (retval > 0) {
    return new SystemError('ENOENT', `module ${name}: ${path} has failed (wait status ${retval})`, details)
  }
  const code = knownName(errnoName(retval)) ?? 'EINVAL'
  return new SystemError(code, `module ${name} cannot be asked for: ${REASONS[code] ?? path}`, details)
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such modprobe; kernel.modprobe names it',
  ENAMETOOLONG: `a name has at most ${MODULE_NAME_BYTES - 1} bytes`,
  ETIME: `${MAX_CONCURRENT} other requests are under way`,
  EBUSY: 'helpers are disabled',
  ERESTARTSYS: 'the wait was broken off',
}
