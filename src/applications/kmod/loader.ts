/**
 * Loads and unloads modules: init_module and delete_module, as in Linux 6.17, kernel/module/main.c.
 *
 * One thing stands in another order than there: a module's name is taken before its file is run. To run it is to run
 * its code, and a second copy of a module that is loaded already has no business to.
 */
import { isSystemError, SystemError, shutDown } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { type ErrnoName, errnoName, knownName } from '../../libc/errno.js'
import { Module, ModuleState } from './module.js'
import { listOf, type ModuleContext, type ModuleExports } from './module-exports.js'
import { findModule, importModule, MODULE_NAME_BYTES, type ModuleFile } from './module-file.js'
import { type Argument, parseArguments, sameName } from './parameters.js'
import { SymbolTable } from './symbols.js'
import { propertyOf, textOf } from './thrown.js'

/** How long a module waits for one that it uses and that is still coming, in milliseconds. */
export const DEPENDENCY_TIMEOUT = 30_000
/** How long an unload waits for exit, in milliseconds: Linux has no bound, and no way out of it. */
const EXIT_TIMEOUT = 30_000
/** How long a module's file may take to be run, in milliseconds: until then its name is taken, and nothing is shown. */
const FORM_TIMEOUT = 30_000

export interface InsmodOptions {
  /** Breaks the wait for another load of the same module: EINTR. */
  readonly signal?: AbortSignal
}

export interface RmmodOptions {
  /** Removes a module that is in use, or has init and no exit (O_TRUNC); what uses it is on its own then. */
  readonly force?: boolean
}

/** Periods that tests shorten, in milliseconds. */
export interface LoaderPeriods {
  readonly dependency?: number
  readonly exit?: number
  readonly form?: number
}

export class ModuleLoader {
  readonly #kernel: Kernel
  readonly #modules = new Map<string, Module>()
  readonly symbols = new SymbolTable()
  readonly #dependencyTimeout: number
  readonly #exitTimeout: number
  readonly #formTimeout: number
  /** Gives up those that are on their way in. */
  readonly #arrivals = new Map<Module, AbortController>()
  #closed = false
  /** Told of each module that has become LIVE, and that has gone. */
  onEvent: ((action: 'add' | 'remove', module: Module) => void) | undefined

  constructor(kernel: Kernel, periods: LoaderPeriods = {}) {
    this.#kernel = kernel
    this.#dependencyTimeout = periods.dependency ?? DEPENDENCY_TIMEOUT
    this.#exitTimeout = periods.exit ?? EXIT_TIMEOUT
    this.#formTimeout = periods.form ?? FORM_TIMEOUT
  }

  /** In the order in which they were loaded, those included that are on their way. */
  get modules(): readonly Module[] {
    return [...this.#modules.values()]
  }

  find(name: string): Module | undefined {
    return this.#modules.get(sameName(name))
  }

  /**
   * @param args a line of parameters, or what it is made of, one by one
   * @throws SystemError EPERM, ENOENT, ENOEXEC, EEXIST, EBUSY, EINTR, EINVAL, ERANGE, or what its init gave;
   *   ERR_INVALID_ARG_TYPE for a parameter that is declared wrong; ERR_KHELPER_SHUT_DOWN
   */
  async init(
    file: string | URL,
    args: string | readonly Argument[],
    { signal }: InsmodOptions = {},
  ): Promise<Module> {
    this.#checkOpen()
    this.#permitted('init_module')
    const found = await findModule(file)
    await this.#nameFree(found.name, signal)
    // Behind the last pause: a shutdown gives up what it finds among the arrivals.
    this.#checkOpen()
    const module = new Module(found.name, found.url, found.size)
    this.#modules.set(module.name, module)
    const arrival = new AbortController()
    this.#arrivals.set(module, arrival)
    try {
      module.form(await this.#import(found, arrival))
      await this.#link(module, arrival.signal)
      module.state = ModuleState.COMING
      this.#setParameters(module, args)
      await this.#run(module, arrival.signal)
    } catch (error) {
      this.#arrivals.delete(module)
      this.#free(module)
      arrival.signal.throwIfAborted()
      throw loadError(module, error)
    }
    this.#arrivals.delete(module)
    module.state = ModuleState.LIVE
    module.put()
    this.onEvent?.('add', module)
    return module
  }

  /** @throws SystemError EPERM, ENOENT, EAGAIN (which is EWOULDBLOCK: it is in use), EBUSY */
  async delete(name: string, { force = false }: RmmodOptions = {}): Promise<void> {
    const call = { syscall: 'delete_module' }
    this.#permitted('delete_module')
    const length = Buffer.byteLength(name)
    const module = length === 0 || length >= MODULE_NAME_BYTES ? undefined : this.find(name)
    const arrival = module === undefined ? undefined : this.#arrivals.get(module)
    if (force && module !== undefined && arrival !== undefined) {
      arrival.abort(
        new SystemError('EINTR', `module ${module.name} was given up before it was loaded`, {
          syscall: 'init_module',
        }),
      )
      await module.until(() => !this.#arrivals.has(module))
      // It may have come in at just that moment.
      if (module.state !== ModuleState.LIVE) return
    }
    if (module === undefined || module.state === ModuleState.UNFORMED) {
      throw new SystemError('ENOENT', `module ${name} is not loaded`, call)
    }
    if (module.holders.size > 0) {
      const users = [...module.holders].map(holder => holder.name).join(', ')
      throw new SystemError('EAGAIN', `module ${module.name} is in use by: ${users}`, call)
    }
    if (module.state !== ModuleState.LIVE) {
      throw new SystemError('EBUSY', `module ${module.name} is ${module.state}`, call)
    }
    if (module.permanent && !force) {
      throw new SystemError('EBUSY', `module ${module.name} has no exit and stays for ever`, call)
    }
    if (!module.tryStop()) {
      if (!force) throw new SystemError('EAGAIN', `module ${module.name} is in use`, call)
      module.taints.add('R')
      module.forceStop()
    }
    module.state = ModuleState.GOING
    const gone = this.#exit(module).finally(() => {
      this.#free(module)
      this.onEvent?.('remove', module)
    })
    if (!(await inTime(gone, this.#exitTimeout))) {
      throw new SystemError(
        'EBUSY',
        `module ${module.name} has not come back from its exit; it is still going`,
        call,
      )
    }
  }

  /**
   * For a shutdown: gives up those that are on their way in, and unloads all others, users before what they use; what
   * refuses is left. All of them have one and the same time for it.
   */
  async deleteAll(): Promise<void> {
    this.#closed = true
    for (const arrival of this.#arrivals.values()) arrival.abort(shutDown())
    // One of them may have come in at just that moment, and is unloaded like the others.
    for (const module of this.#arrivals.keys()) await module.until(() => !this.#arrivals.has(module))
    const deadline = performance.now() + this.#exitTimeout
    for (const module of this.modules.toReversed()) {
      if (module.state !== ModuleState.LIVE || module.context === undefined) continue
      module.state = ModuleState.GOING
      await inTime(
        this.#exit(module).finally(() => this.#free(module)),
        Math.max(0, deadline - performance.now()),
      )
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw shutDown()
  }

  #permitted(syscall: string): void {
    if (readSysctl(this.#kernel, 'kernel/modules_disabled') === '1') {
      throw new SystemError('EPERM', 'modules are disabled for good (kernel.modules_disabled)', { syscall })
    }
  }

  /** Waits until nobody else is loading a module of that name. */
  async #nameFree(name: string, signal: AbortSignal | undefined): Promise<void> {
    const call = { syscall: 'init_module' }
    const other = this.#modules.get(name)
    if (other === undefined) return
    if (other.state === ModuleState.UNFORMED || other.state === ModuleState.COMING) {
      const settled = () => other.state === ModuleState.LIVE || this.#modules.get(name) !== other
      if (!(await other.until(settled, 0, signal))) {
        throw new SystemError('EINTR', `the wait for another load of module ${name} was broken off`, call)
      }
      this.#checkOpen()
      if (this.#modules.get(name) !== other) {
        throw new SystemError('EBUSY', `module ${name} was being loaded, which came to nothing`, call)
      }
    }
    if (other.state === ModuleState.GOING) {
      throw new SystemError('EBUSY', `module ${name} is on its way out`, call)
    }
    throw new SystemError('EEXIST', `module ${name} is loaded already`, call)
  }

  /** Runs its file. What comes of it later than in time, nobody looks at. */
  async #import(found: ModuleFile, arrival: AbortController): Promise<ModuleExports> {
    const late = setTimeout(() => {
      const message = `module ${found.name}: its file has not been run to its end; it awaits what does not come`
      arrival.abort(new SystemError('EBUSY', message, { syscall: 'init_module' }))
    }, this.#formTimeout)
    try {
      return await unlessAborted(importModule(found), arrival.signal)
    } finally {
      clearTimeout(late)
    }
  }

  /** Takes what the module uses, and offers what it exports. */
  async #link(module: Module, arrival: AbortSignal): Promise<void> {
    const call = { syscall: 'init_module' }
    for (const name of listOf(module.exports.depends)) {
      const other = this.find(name)
      if (other === undefined || other.state === ModuleState.UNFORMED) {
        throw new SystemError('ENOENT', `module ${module.name} depends on ${name}, which is not loaded`, call)
      }
      const settled = () => other.state !== ModuleState.COMING
      if (!(await other.until(settled, this.#dependencyTimeout, arrival))) {
        arrival.throwIfAborted()
        throw new SystemError(
          'EBUSY',
          `module ${module.name} depends on ${name}, whose init has not come back`,
          call,
        )
      }
      module.use(other)
    }
    const duplicate = this.symbols.add(module.exports.symbols ?? {}, module)
    if (duplicate !== undefined) {
      throw new SystemError(
        'ENOEXEC',
        `module ${module.name} exports ${duplicate.name}, which ${duplicate.owner ?? 'the kernel'} exports already`,
        call,
      )
    }
  }

  #setParameters(module: Module, args: string | readonly Argument[]): void {
    const failure = parseArguments(module.parameters, args, message =>
      process.emitWarning(`module ${module.name}: ${message}`, 'khelper'),
    )
    if (failure === undefined) return
    throw new SystemError(failure.code, `module ${module.name}: ${failure.message}`, {
      syscall: 'init_module',
    })
  }

  async #run(module: Module, arrival: AbortSignal): Promise<void> {
    // It may have been given up between two waits, of which neither has heard.
    arrival.throwIfAborted()
    const context: ModuleContext = {
      kernel: this.#kernel,
      module,
      params: module.params,
      symbols: this.symbols.view(module),
    }
    module.context = context
    module.tryGet()
    let result: unknown
    try {
      result = await unlessAborted(initialise(module, context), arrival)
    } catch (error) {
      arrival.throwIfAborted()
      const message = `module ${module.name}: its init has thrown: ${textOf(error)}`
      throw new SystemError(codeOf(error), message, { syscall: 'init_module', cause: error })
    }
    if (result !== undefined && (typeof result !== 'number' || !Number.isInteger(result))) {
      throw new SystemError('EINVAL', `module ${module.name}: its init must give a number, or nothing`, {
        syscall: 'init_module',
      })
    }
    if (result !== undefined && result < 0) {
      const message = `module ${module.name}: its init gave ${result} (${errnoName(result)})`
      throw new SystemError(knownName(errnoName(result)) ?? 'EINVAL', message, {
        syscall: 'init_module',
        retval: result,
      })
    }
    if (result !== undefined && result > 0) {
      process.emitWarning(
        `module ${module.name}: its init gave ${result}, and should give 0 or -E…`,
        'khelper',
      )
    }
  }

  async #exit(module: Module): Promise<void> {
    try {
      if (module.context !== undefined) await module.exports.exit?.(module.context)
    } catch (error) {
      process.emitWarning(`module ${module.name}: its exit has thrown: ${textOf(error)}`, 'khelper')
    }
  }

  #free(module: Module): void {
    this.symbols.remove(module)
    module.unuse()
    if (this.#modules.get(module.name) === module) this.#modules.delete(module.name)
    module.state = ModuleState.UNFORMED
  }
}

async function initialise(module: Module, context: ModuleContext): Promise<unknown> {
  return module.exports.init?.(context)
}

/** What keeps a module from being loaded: what its exports throw when they are read is no error of ours. */
function loadError(module: Module, error: unknown): unknown {
  if (isSystemError(error) || propertyOf(error, 'code') === 'ERR_INVALID_ARG_TYPE') return error
  const message = `module ${module.name}: its exports cannot be read: ${textOf(error)}`
  return new SystemError('ENOEXEC', message, { syscall: 'init_module', cause: error })
}

/** What init threw, as an error number: its own code where it is one. */
function codeOf(error: unknown): ErrnoName {
  const code = propertyOf(error, 'code')
  const numbered = typeof propertyOf(error, 'errno') === 'number' && typeof code === 'string'
  return (numbered ? knownName(code) : undefined) ?? 'EFAULT'
}

/** @throws the signal's reason, if it is aborted before the promise has settled */
async function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  let aborted = () => {}
  const given = new Promise<never>((_, reject) => {
    aborted = () => reject(signal.reason)
    // What made the promise may have done it.
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted, { once: true })
  })
  try {
    return await Promise.race([promise, given])
  } finally {
    signal.removeEventListener('abort', aborted)
  }
}

async function inTime(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>(resolve => {
    timer = setTimeout(() => resolve(false), milliseconds)
  })
  const inTime = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return inTime
}
