/**
 * Finds modules by name or alias and has the kernel load or unload them, with what they need: modprobe(8).
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isSystemError, SystemError } from '../../../kernel/errors.js'
import { sameName } from '../parameters.js'
import { AliasTable } from './alias.js'
import { emptyConfig, type ModprobeConfig, type SoftDependency } from './config.js'
import type { IndexedModule, ModuleIndex } from './module-index.js'
import { type RunCommand, runByShell } from './run-command.js'

/** What modprobe asks of the kernel. */
export interface ModuleSystemCalls {
  initModule(path: string, params: string): Promise<void>
  deleteModule(name: string): Promise<void>
  modules(): Promise<readonly LoadedModule[]>
}

export interface LoadedModule {
  readonly name: string
  readonly references: number
  readonly holders: readonly string[]
}

export interface ModprobeOptions {
  readonly indexes: readonly ModuleIndex[]
  readonly config?: ModprobeConfig
  /** Where the modules are that come with khelper. */
  readonly builtin: string
  /** Blacklists are for names as well, not for aliases only. */
  readonly useBlacklist?: boolean
  /** A module that is loaded already is a failure, and one that is to be unloaded and is not there. */
  readonly firstTime?: boolean
  /** Commands of `install` and `remove` are not run. */
  readonly ignoreCommands?: boolean
  /** Runs them. Default: as children of this process. */
  readonly runCommand?: RunCommand
  /** Those that this modprobe is run by, which are not run again (`commandsUnderWay`). */
  readonly underWay?: readonly string[]
  /** Only tells what would be done. */
  readonly dryRun?: boolean
  /** Told of each step. */
  readonly told?: (step: string) => void
  /** Unloading: how long to try again while the module is in use, in milliseconds. */
  readonly wait?: number
}

/** The longest name that kmod looks up, and the longest argument that a program can have (MAX_ARG_STRLEN), in bytes. */
const LONGEST_NAME = 4_095
const LONGEST_COMMAND = 128 * 1024 - 1
const OPTIONS_VARIABLE = '$CMDLINE_OPTS'
const RETRY_FIRST = 10
const RETRY_MOST = 1_000

/** One thing to be done: the module is loaded, or a command is run in its stead. */
interface Step {
  readonly module: IndexedModule
  readonly command: string | undefined
  readonly params: string
  /** What asked for it can do without. */
  readonly optional: boolean
}

export class Modprobe {
  readonly #calls: ModuleSystemCalls
  readonly #options: ModprobeOptions
  readonly #config: ModprobeConfig
  readonly #configured: AliasTable
  readonly #indexed: readonly AliasTable[]

  constructor(calls: ModuleSystemCalls, options: ModprobeOptions) {
    this.#calls = calls
    this.#options = options
    this.#config = options.config ?? emptyConfig()
    this.#configured = new AliasTable(this.#config.aliases)
    this.#indexed = options.indexes.map(({ aliases }) => new AliasTable(aliases))
  }

  /**
   * Loads a module, what it needs, and what goes with it.
   * @param params what is put behind the options of the configuration
   * @throws SystemError ENOENT if there is none of that name; what the kernel refuses
   */
  async load(name: string, params = ''): Promise<void> {
    for (const step of this.plan(name, params)) await this.#do(step, name)
  }

  /** What `load` would do, in its order. */
  plan(name: string, params = ''): Step[] {
    const steps: Step[] = []
    try {
      for (const module of this.#find(name)) this.#add(module, name, params, steps, new Set(), false)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new SystemError('ELOOP', `what module ${name} needs is nested too deeply`)
    }
    return steps
  }

  /**
   * Unloads a module, and then what it needed and nobody else needs.
   * @throws SystemError what the kernel refuses; ENOENT with `firstTime`
   */
  async unload(name: string): Promise<void> {
    for (const module of this.#find(name)) {
      const command = this.#options.ignoreCommands ? undefined : this.#config.remove.get(module.name)
      if (command !== undefined) {
        await this.#run('remove', module.name, command, '')
        continue
      }
      const loaded = await this.#loaded(module.name)
      if (loaded === undefined) {
        if (this.#options.firstTime) throw new SystemError('ENOENT', `module ${module.name} is not loaded`)
        continue
      }
      await this.#remove(module.name, this.#options.wait ?? 0)
      for (const need of module.depends.toReversed()) {
        const idle = await this.#loaded(need)
        if (idle?.references === 0 && idle.holders.length === 0) await this.#remove(need, 0).catch(inUse)
      }
    }
  }

  /** The modules that a name stands for. */
  #find(given: string): IndexedModule[] {
    const name = sameName(given)
    if (Buffer.byteLength(name) > LONGEST_NAME) {
      throw new SystemError(
        'ENAMETOOLONG',
        `the name of a module or an alias has at most ${LONGEST_NAME} bytes`,
      )
    }
    const byAlias = (aliases: AliasTable) => aliases.modulesOf(name).map(sameName)
    const configured = byAlias(this.#configured)
    const direct = configured.length > 0 ? undefined : this.#module(name)
    const { indexes, useBlacklist } = this.#options
    const names =
      direct !== undefined ? [name] : configured.length > 0 ? configured : this.#indexed.flatMap(byAlias)
    const found = [...new Set(names)].flatMap(each => this.#module(each) ?? [])
    if (found.length === 0) {
      const places = indexes.map(index => index.directory).join(', ') || 'what comes with khelper'
      throw new SystemError('ENOENT', `module ${given} not found in ${places}`)
    }
    return useBlacklist || direct === undefined
      ? found.filter(module => !this.#config.blacklist.has(module.name))
      : found
  }

  #module(name: string): IndexedModule | undefined {
    for (const index of this.#options.indexes) {
      const module = index.modules.get(name)
      if (module !== undefined) return module
    }
    const path = join(this.#options.builtin, `${name}.js`)
    if (/^\w+$/.test(name) && existsSync(path)) return { name, path, depends: [] }
    // A module can be nothing but a command.
    return this.#config.install.has(name) ? { name, path: '', depends: [] } : undefined
  }

  /** @param seen what is on its way in already: of a cycle of soft dependencies, each is loaded once */
  #add(
    module: IndexedModule,
    asked: string,
    params: string,
    steps: Step[],
    seen: Set<string>,
    optional: boolean,
  ): void {
    if (seen.has(module.name)) return
    seen.add(module.name)
    const { pre, post } = this.#softdep(module.name)
    for (const name of pre) this.#addOptional(name, steps, seen)
    const command = this.#options.ignoreCommands ? undefined : this.#config.install.get(module.name)
    const names = new Set([module.name, sameName(asked)])
    const options = [...names].flatMap(name => this.#config.options.get(name) ?? [])
    const line = [...options, params].filter(each => each !== '').join(' ')
    if (command === undefined) {
      for (const need of module.depends) {
        const other = this.#module(need)
        if (other === undefined) {
          throw new SystemError('ENOENT', `module ${module.name} depends on ${need}, which is not there`)
        }
        this.#add(other, need, '', steps, seen, optional)
      }
    }
    steps.push({ module, command, params: line, optional })
    for (const name of post) this.#addOptional(name, steps, seen)
  }

  #addOptional(name: string, steps: Step[], seen: Set<string>): void {
    let found: IndexedModule[]
    try {
      found = this.#find(name)
    } catch (error) {
      if (!isSystemError(error)) throw error
      // It can do without.
      return
    }
    for (const module of found) this.#add(module, name, '', steps, seen, true)
  }

  #softdep(name: string): SoftDependency {
    const configured = this.#config.softdeps.get(name)
    if (configured !== undefined) return configured
    for (const index of this.#options.indexes) {
      const softdep = index.softdeps.get(name)
      if (softdep !== undefined) return softdep
    }
    return { pre: [], post: [] }
  }

  async #do(step: Step, asked: string): Promise<void> {
    const { module, command, params, optional } = step
    try {
      if (command === undefined) await this.#insert(module, params, asked)
      else await this.#run('install', module.name, command, params)
    } catch (error) {
      if (!optional) throw error
    }
  }

  async #insert(module: IndexedModule, params: string, asked: string): Promise<void> {
    this.#options.told?.(['insmod', module.path, params].filter(word => word !== '').join(' '))
    if (this.#options.dryRun) return
    try {
      await this.#calls.initModule(module.path, params)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const wanted = sameName(asked) === module.name
      if (code !== 'EEXIST' || (this.#options.firstTime && wanted)) throw error
    }
  }

  /** The operator's own command, which is written for a shell. */
  async #run(directive: 'install' | 'remove', name: string, command: string, params: string): Promise<void> {
    const parts = command.split(OPTIONS_VARIABLE)
    // Each of the two may be short, and what they make too long for the memory.
    if (command.length + (parts.length - 1) * params.length > LONGEST_COMMAND) {
      throw new SystemError(
        'E2BIG',
        `the ${directive} command for module ${name} is longer than a program can be given`,
      )
    }
    const line = parts.join(params)
    this.#options.told?.(`${directive} ${line}`)
    if (this.#options.dryRun) return
    const { underWay = [], runCommand = runByShell } = this.#options
    const itself = `${directive}:${name}`
    if (underWay.includes(itself)) {
      const message = `the ${directive} command for module ${name} runs modprobe, which would run it again; let it run modprobe --ignore-install`
      throw new SystemError('ELOOP', message)
    }
    const problem = await runCommand({ line, module: name, underWay: [...underWay, itself] })
    if (problem === undefined) return
    throw new SystemError('EINVAL', `the ${directive} command for module ${name} has failed (${problem})`)
  }

  async #loaded(name: string): Promise<LoadedModule | undefined> {
    return (await this.#calls.modules()).find(module => module.name === name)
  }

  async #remove(name: string, patience: number): Promise<void> {
    this.#options.told?.(`rmmod ${name}`)
    if (this.#options.dryRun) return
    const deadline = performance.now() + patience
    for (let pause = RETRY_FIRST; ; pause = Math.min(2 * pause, RETRY_MOST)) {
      try {
        await this.#calls.deleteModule(name)
        return
      } catch (error) {
        const left = deadline - performance.now()
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || left <= 0) throw error
        await new Promise(resolve => setTimeout(resolve, Math.min(pause, left)))
      }
    }
  }
}

/** Somebody has begun to use it meanwhile: it stays. */
function inUse(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EAGAIN' && error.code !== 'EBUSY') throw error
}
