/**
 * A module of the kernel: its states and its references, as in Linux 6.17, kernel/module/main.c.
 *
 *   UNFORMED → COMING → LIVE → GOING
 *
 * The count of references starts at 1, which stands for its being loaded. It is 2 while init runs, and 0 once it is
 * settled that it goes.
 */
import { SystemError } from '../../kernel/errors.js'
import { isFreeLicense, type ModuleContext, type ModuleExports, type ModuleOwner } from './module-exports.js'
import { Parameter, type ParameterValue, sameName } from './parameters.js'

export const ModuleState = {
  /** Its name is taken; its file is being read. Shown nowhere. */
  UNFORMED: 'unformed',
  COMING: 'coming',
  LIVE: 'live',
  GOING: 'going',
} as const
export type ModuleState = (typeof ModuleState)[keyof typeof ModuleState]

/** What a module's being loaded counts as (MODULE_REF_BASE). */
const BASE = 1

export class Module implements ModuleOwner {
  readonly name: string
  /** Where it came from. */
  readonly url: string
  /** Bytes of its file. */
  readonly size: number
  exports: ModuleExports = {}
  readonly parameters = new Map<string, Parameter>()
  /** The modules that it uses, each of which it holds a reference on. */
  readonly uses = new Set<Module>()
  /** The modules that use it. */
  readonly holders = new Set<Module>()
  readonly taints = new Set<string>()
  context: ModuleContext | undefined
  #state: ModuleState = ModuleState.UNFORMED
  #references = BASE
  #changed: (() => void)[] = []

  constructor(name: string, url: string, size: number) {
    this.name = name
    this.url = url
    this.size = size
  }

  get state(): ModuleState {
    return this.#state
  }

  set state(state: ModuleState) {
    this.#state = state
    this.#tell()
  }

  /** As Linux reports it: without the one for its being loaded, -1 once it goes. */
  get references(): number {
    return this.#references - BASE
  }

  /** Whether it can never be unloaded: init without exit. */
  get permanent(): boolean {
    return this.exports.init !== undefined && this.exports.exit === undefined
  }

  /** Takes in what its file exports. @throws TypeError for a parameter that is declared wrong */
  form(exports: ModuleExports): void {
    this.exports = exports
    for (const [name, declaration] of Object.entries(exports.params ?? {})) {
      this.parameters.set(sameName(name), new Parameter(name, declaration))
    }
    if (!isFreeLicense(exports.license)) this.taints.add('P')
  }

  /** The values of its parameters, as they are at the time. */
  get params(): Readonly<Record<string, ParameterValue>> {
    const values: Record<string, ParameterValue> = {}
    for (const parameter of this.parameters.values()) {
      Object.defineProperty(values, parameter.name, { get: () => parameter.value, enumerable: true })
    }
    return values
  }

  tryGet(): boolean {
    if (this.#state === ModuleState.GOING || this.#state === ModuleState.UNFORMED) return false
    this.#references += 1
    return true
  }

  put(): void {
    if (this.#references <= BASE) {
      process.emitWarning(`module ${this.name}: more references are given back than were taken`, 'khelper')
      return
    }
    this.#references -= 1
    this.#tell()
  }

  /** Gives back the reference for its being loaded, if it is the only one. */
  tryStop(): boolean {
    if (this.#references !== BASE) return false
    this.#references = 0
    return true
  }

  /** The same, whoever holds references: for a removal by force. */
  forceStop(): void {
    this.#references = 0
  }

  /** Makes this module a user of another. @throws SystemError ENOENT if that one is on its way out */
  use(other: Module): void {
    if (this.uses.has(other)) return
    if (!other.tryGet()) {
      throw new SystemError('ENOENT', `module ${other.name} is on its way out, ${this.name} cannot use it`)
    }
    this.uses.add(other)
    other.holders.add(this)
  }

  /** Gives back what it uses. */
  unuse(): void {
    for (const other of this.uses) {
      other.holders.delete(this)
      other.put()
    }
    this.uses.clear()
  }

  /**
   * Waits until a condition on its state or its references holds.
   * @param timeout milliseconds, 0: as long as it takes
   * @returns whether it holds; not if the time was over, or the signal aborted
   */
  async until(condition: () => boolean, timeout = 0, signal?: AbortSignal): Promise<boolean> {
    if (condition()) return true
    if (signal?.aborted) return false
    return new Promise(resolve => {
      const timer = timeout > 0 ? setTimeout(() => end(false), timeout) : undefined
      const look = () => {
        if (condition()) end(true)
        else this.#changed.push(look)
      }
      const aborted = () => end(false)
      const end = (holds: boolean) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', aborted)
        this.#changed = this.#changed.filter(other => other !== look)
        resolve(holds)
      }
      signal?.addEventListener('abort', aborted, { once: true })
      this.#changed.push(look)
    })
  }

  #tell(): void {
    const waiting = this.#changed
    this.#changed = []
    for (const look of waiting) look()
  }
}
