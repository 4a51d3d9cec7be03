/**
 * The modules of one kernel: what the parts of this room are to whoever uses them.
 */
import { SystemError, wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { systemCalls } from '../system-calls/index.js'
import { type InsmodOptions, type LoaderPeriods, ModuleLoader, type RmmodOptions } from './loader.js'
import type { Module, ModuleState } from './module.js'
import { ModuleObjects } from './module-objects.js'
import type { Argument } from './parameters.js'
import { defineModuleFiles, modulesText } from './proc-modules.js'
import { ModuleRequests, type RequestOptions, type RequestPeriods, requestError } from './request-module.js'

/** A loaded module, as it was when it was asked for. */
export interface ModuleInfo {
  readonly name: string
  readonly state: ModuleState
  readonly size: number
  readonly references: number
  readonly holders: readonly string[]
  readonly permanent: boolean
  readonly url: string
}

/** What a helper may call while it looks for a module. */
const MODPROBE_CALLS = ['init_module', 'modules', 'sysctl_read', 'kmsg'] as const

export class Kmod {
  readonly #kernel: Kernel
  readonly #loader: ModuleLoader
  readonly #requests: ModuleRequests

  constructor(kernel: Kernel, periods: LoaderPeriods & RequestPeriods = {}) {
    this.#kernel = kernel
    this.#loader = new ModuleLoader(kernel, periods)
    this.#requests = new ModuleRequests(
      kernel,
      async log => {
        const grant = await systemCalls(kernel).grant(MODPROBE_CALLS, log)
        return { envp: grant.envp, done: () => grant.revoke() }
      },
      periods,
    )
    kernel.proc.define('/proc/modules', { read: () => modulesText(this.#loader.modules) })
    const shown = new Map<Module, () => void>()
    const objects = new ModuleObjects(kernel)
    this.#loader.onEvent = (action, module) => {
      if (action === 'add') {
        shown.set(module, defineModuleFiles(kernel.proc, module))
        objects.add(module.name)
      } else {
        shown.get(module)?.()
        shown.delete(module)
        objects.remove(module.name)
      }
    }
    kernel.onShutdown(() => this.#loader.deleteAll())
  }

  /**
   * Loads a module from its file (init_module).
   * @param file a path or a `file:` URL
   * @param params `'name=value …'`, or an object
   * @throws SystemError EPERM, ENOENT, ENOEXEC, EEXIST, EBUSY, EINTR, EINVAL, ERANGE, or what its init gave;
   *   ERR_INVALID_ARG_TYPE for a parameter that the module declares wrong; ERR_KHELPER_SHUT_DOWN, also for one that
   *   was on its way in when the kernel was shut down
   */
  async insmod(
    file: string | URL,
    params: string | Readonly<Record<string, string | number | bigint | boolean>> = '',
    options: InsmodOptions = {},
  ): Promise<ModuleInfo> {
    return infoOf(await this.#loader.init(file, argumentsOf(params), options))
  }

  /**
   * Unloads a module (delete_module). By force it also gives up one that is being loaded: its insmod fails with EINTR.
   * @throws SystemError EPERM, ENOENT; EAGAIN (which is EWOULDBLOCK) if it is in use; EBUSY if it is not LIVE, stays for
   *   ever, or does not come back from its exit within 30 s
   */
  rmmod(name: string, options: RmmodOptions = {}): Promise<void> {
    if (typeof name !== 'string') return Promise.reject(wrongType('name', 'of type string', name))
    return this.#loader.delete(name, options)
  }

  /**
   * Asks user space for a module (request_module): runs kernel.modprobe and waits for it. That it succeeds does not
   * prove that the module is there: look again.
   * @throws SystemError ENOENT, ENAMETOOLONG, ETIME, EBUSY, ERESTARTSYS, …; `retval` is what request_module gives,
   *   `cause` what the helper has told of its failure
   */
  async requestModule(name: string, options: RequestOptions = {}): Promise<void> {
    const error = requestError(await this.#requests.request(true, name, options), name, this.#modprobe)
    if (error !== undefined) throw error
  }

  /** The same, but waits only until the helper has been started (request_module_nowait). */
  async requestModuleNowait(name: string, options: RequestOptions = {}): Promise<void> {
    const error = requestError(await this.#requests.request(false, name, options), name, this.#modprobe)
    if (error !== undefined) throw error
  }

  /**
   * Looks something up, and where it is not there, asks for a module and looks again (try_then_request_module).
   * @param look gives something falsy if it is not there
   * @returns what the last look gave
   */
  async tryThenRequestModule<Found>(
    look: () => Found,
    name: string,
    options: RequestOptions = {},
  ): Promise<Found> {
    const found = look()
    if (found) return found
    await this.#requests.request(true, name, options)
    return look()
  }

  /** @internal As request_module: 0, `-errno` or the wait status. */
  async requestRetval(wait: boolean, name: string, options?: RequestOptions): Promise<number> {
    return (await this.#requests.request(wait, name, options)).retval
  }

  /** The modules that are loaded, on their way in or on their way out. */
  lsmod(): ModuleInfo[] {
    return this.#loader.modules.filter(module => module.state !== 'unformed').map(infoOf)
  }

  /**
   * Offers symbols of the service to its modules, as the kernel's own (EXPORT_SYMBOL).
   * @throws SystemError EEXIST for one that is exported already, with none added
   */
  exportSymbols(symbols: Readonly<Record<string, unknown>>): void {
    const other = this.#loader.symbols.add(symbols, undefined)
    if (other === undefined) return
    throw new SystemError('EEXIST', `${other.owner ?? 'the kernel'} exports ${other.name} already`)
  }

  /** A handle on a loaded module, to hold references on it; `undefined` if there is none of that name. */
  findModule(name: string): Module | undefined {
    return this.#loader.find(name)
  }

  get #modprobe(): string {
    return readSysctl(this.#kernel, 'kernel/modprobe')
  }
}

function infoOf(module: Module): ModuleInfo {
  const { name, state, size, references, permanent, url } = module
  return {
    name,
    state,
    size,
    references,
    holders: [...module.holders].map(({ name }) => name),
    permanent,
    url,
  }
}

/** An object's values are not put into a line: what is in them could not be told from what divides a line. */
function argumentsOf(params: unknown): string | Argument[] {
  if (typeof params === 'string') return params
  if (typeof params !== 'object' || params === null)
    throw wrongType('params', 'of type string or object', params)
  return Object.entries(params).map(([name, value]) => ({ name, value: String(value) }))
}
