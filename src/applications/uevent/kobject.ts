/**
 * What events are about: kobjects, which have a name and a parent, and ksets, which say what is told of the objects
 * in them and how. As in Linux 6.17, lib/kobject.c.
 */
import { wrongType, wrongValue } from '../../kernel/errors.js'
import type { KobjUeventEnv } from './env.js'

export interface KobjectOptions {
  /** Default: the kset. */
  readonly parent?: Kobject | null | undefined
  readonly kset?: Kset | null | undefined
}

/** What `uevents` remembers of an object. */
export interface UeventState {
  addSent: boolean
  removeSent: boolean
  /** Sends the event `remove` to whom the event `add` was sent. */
  sendRemove: (() => void) | undefined
}

export const ueventState: unique symbol = Symbol('uevent state')

export class Kobject {
  #name: string | null
  #parent: Kobject | null
  readonly #kset: Kset | null
  /** While true, events about this object are not sent, without an error. */
  ueventSuppress = false
  /** @internal */
  readonly [ueventState]: UeventState = { addSent: false, removeSent: false, sendRemove: undefined }

  /**
   * @param name as it stands in the path; a slash in it becomes `!`, as in Linux. `null`: not named yet, and as long as
   *   it is not, neither it nor what is below it has a path
   */
  constructor(name: string | null, options: KobjectOptions = {}) {
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    const { parent, kset } = options
    if (parent !== undefined && parent !== null && !(parent instanceof Kobject)) {
      throw wrongType('options.parent', 'a Kobject', parent)
    }
    if (kset !== undefined && kset !== null && !(kset instanceof Kset)) {
      throw wrongType('options.kset', 'a Kset', kset)
    }
    this.#name = name === null ? null : checkName(name)
    this.#kset = kset ?? null
    this.#parent = parent ?? this.#kset
  }

  get name(): string | null {
    return this.#name
  }

  set name(name: string) {
    this.#name = checkName(name)
  }

  get parent(): Kobject | null {
    return this.#parent
  }

  get kset(): Kset | null {
    return this.#kset
  }

  /** Names from the topmost object down (kobject_get_path); `null` if one of them has no name. */
  get path(): string | null {
    let path = ''
    for (let object: Kobject | null = this; object !== null; object = object.parent) {
      if (object.name === null) return null
      path = `/${object.name}${path}`
    }
    return path
  }

  /**
   * The object goes (kobject_del): if the event `add` was sent and `remove` was not, `remove` is sent now, and whether
   * that succeeds does not matter. Then the object leaves its parent.
   */
  del(): void {
    const state = this[ueventState]
    if (state.addSent && !state.removeSent) {
      try {
        state.sendRemove?.()
      } catch {
        // As in Linux: the object goes whether or not anybody hears of it.
      }
    }
    this.#parent = null
  }
}

export interface KsetOptions {
  readonly parent?: Kobject | null
  /** Whether events about an object in the kset are sent. */
  filter?(kobj: Kobject): boolean
  /** The subsystem of an object; `null`: nothing is sent. Default: the kset's name. */
  name?(kobj: Kobject): string | null
  /** Adds variables to an event (`addUeventVar`). A number other than 0, or an exception, ends it. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is as good
  uevent?(kobj: Kobject, env: KobjUeventEnv): number | undefined | void
}

/** Objects of one kind; itself an object. */
export class Kset extends Kobject {
  /** @internal */
  readonly operations: Pick<KsetOptions, 'filter' | 'name' | 'uevent'>

  constructor(name: string, options: KsetOptions = {}) {
    super(name, { parent: options?.parent })
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    for (const key of ['filter', 'name', 'uevent'] as const) {
      if (options[key] !== undefined && typeof options[key] !== 'function') {
        throw wrongType(`options.${key}`, 'of type function', options[key])
      }
    }
    this.operations = options
  }
}

function checkName(name: unknown): string {
  if (typeof name !== 'string') throw wrongType('name', 'of type string', name)
  if (name === '') throw wrongValue('name', 'must not be empty')
  if (name.includes('\0')) throw wrongValue('name', 'must be a string without null bytes')
  return name.replaceAll('/', '!')
}
