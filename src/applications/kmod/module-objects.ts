/**
 * Modules as objects that events are about: /module/NAME, in the subsystem 'module'.
 */
import type { Kernel } from '../../kernel/kernel.js'
import { Kobject, Kset, uevents } from '../uevent/index.js'

export class ModuleObjects {
  readonly #kernel: Kernel
  readonly #kset = new Kset('module')
  readonly #objects = new Map<string, Kobject>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** The module is LIVE. That somebody could not be told of it does not concern the module. */
  add(name: string): void {
    const object = new Kobject(name, { kset: this.#kset })
    this.#objects.set(name, object)
    try {
      uevents(this.#kernel).kobjectUevent(object, 'add')
    } catch (error) {
      process.emitWarning(`module ${name}: ${(error as Error).message}`, 'khelper')
    }
  }

  remove(name: string): void {
    this.#objects.get(name)?.del()
    this.#objects.delete(name)
  }
}
