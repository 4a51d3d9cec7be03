/**
 * Events about objects, told to listeners and to the helper that kernel.hotplug names; as in Linux 6.17,
 * lib/kobject_uevent.c, step by step.
 */
import { channel } from 'node:diagnostics_channel'
import { GFP_ATOMIC, UMH_NO_WAIT } from '../../kernel/constants.js'
import { SystemError, shutDown, wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { type ErrnoName, errnoName } from '../../libc/errno.js'
import { perKernel } from '../per-kernel.js'
import { checkAction, type KobjectAction, parseSynthetic } from './actions.js'
import { addUeventVar, KobjUeventEnv, type UeventVariables, variablesOf } from './env.js'
import { Kobject, type Kset, ueventState } from './kobject.js'
import { checkListening, type ListenOptions, type Uevent, UeventListener } from './listener.js'
import { UeventFiles } from './uevent-files.js'

/** The channel of node:diagnostics_channel on which every event of every kernel is published, as a `Uevent`. */
const published = channel('khelper:uevent')

export class Uevents {
  readonly #kernel: Kernel
  readonly #listeners = new Set<UeventListener>()
  /** From `add` to `remove` an object has its file, to which synthetic events are written. */
  readonly #files: UeventFiles
  #seqnum = 0

  /** @internal See `uevents`. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#files = new UeventFiles(kernel.proc, (kobj, text) => this.synthesize(kobj, text))
    kernel.proc.define('/sys/kernel/uevent_seqnum', { read: () => `${this.#seqnum}\n` })
    kernel.onShutdown(() => {
      for (const listener of this.#listeners) listener.end()
    })
  }

  /** The number of the last event (/sys/kernel/uevent_seqnum). */
  get seqnum(): number {
    return this.#seqnum
  }

  /** Tells of what happened to an object (kobject_uevent); see `kobjectUeventEnv`. */
  kobjectUevent(kobj: Kobject, action: KobjectAction): void {
    this.kobjectUeventEnv(kobj, action, null)
  }

  /**
   * Tells of what happened to an object, with variables of the caller's (kobject_uevent_env). Nothing is waited for.
   * What is suppressed, filtered out or has no subsystem is not sent, without an error.
   * @throws SystemError EINVAL if neither the object nor one above it is in a kset; ENOENT if it has no path; ENOMEM
   *   beyond 64 variables or 2048 bytes; what the kset's `uevent` refuses it with; and then, with the listeners told
   *   already, what became of the helper: EBUSY while helpers are disabled, ENOMEM without a free descriptor;
   *   ERR_KHELPER_SHUT_DOWN after the kernel's shutdown
   */
  kobjectUeventEnv(kobj: Kobject, action: KobjectAction, variables: UeventVariables): void {
    if (!(kobj instanceof Kobject)) throw wrongType('kobj', 'a Kobject', kobj)
    checkAction(action)
    const given = variablesOf(variables)
    if (this.#kernel.ended) throw shutDown()
    const state = kobj[ueventState]
    if (action === 'remove') {
      state.removeSent = true
      // Whether or not anybody hears of it: the object goes.
      this.#files.remove(kobj)
    }
    const kset = ksetOf(kobj)
    const { filter, name, uevent } = kset.operations
    if (kobj.ueventSuppress) return
    if (filter !== undefined && !filter.call(kset.operations, kobj)) return
    const subsystem = name === undefined ? kset.name : name.call(kset.operations, kobj)
    if (subsystem === null) return
    const devpath = kobj.path
    if (devpath === null) throw refused('ENOENT', 'an object without a name has no path')
    const env = new KobjUeventEnv()
    for (const variable of [`ACTION=${action}`, `DEVPATH=${devpath}`, `SUBSYSTEM=${subsystem}`, ...given]) {
      addUeventVar(env, variable)
    }
    checkAnswer(uevent?.call(kset.operations, kobj, env), devpath)
    if (action === 'add') {
      state.addSent = true
      state.sendRemove = () => this.kobjectUevent(kobj, 'remove')
    }
    if (action === 'unbind') env.remove('MODALIAS')
    this.#seqnum += 1
    const seqnum = this.#seqnum
    env.add(`SEQNUM=${seqnum}`)
    if (action === 'add') this.#files.add(kobj, devpath)
    else this.#files.move(kobj, devpath)
    this.#broadcast({ action, devpath, subsystem, seqnum, env: asObject(env.variables) })
    this.#callHelper(env, subsystem)
  }

  /**
   * Sends an event that is asked for in text, as by a write to the file `uevent` of an object (kobject_synth_uevent).
   * @param text `ACTION`, or `ACTION UUID KEY=VALUE…`; the event then has SYNTH_UUID and SYNTH_ARG_KEY
   * @throws SystemError EINVAL for text that cannot be; what `kobjectUeventEnv` throws
   */
  synthesize(kobj: Kobject, text: string): void {
    if (!(kobj instanceof Kobject)) throw wrongType('kobj', 'a Kobject', kobj)
    if (typeof text !== 'string') throw wrongType('text', 'of type string', text)
    const { action, variables } = parseSynthetic(text)
    this.kobjectUeventEnv(kobj, action, variables)
  }

  /**
   * Listens from now on: an async iterator of events. Listening keeps no process alive.
   * @throws TypeError, RangeError; ERR_KHELPER_SHUT_DOWN
   */
  events(options: ListenOptions = {}): UeventListener {
    const capacity = checkListening(options)
    if (this.#kernel.closed) throw shutDown()
    const listener = new UeventListener(options, capacity, left => this.#listeners.delete(left))
    if (!options.signal?.aborted) this.#listeners.add(listener)
    return listener
  }

  #broadcast(event: Uevent): void {
    Object.freeze(event)
    for (const listener of this.#listeners) listener.receive(event)
    if (published.hasSubscribers) published.publish(event)
  }

  /** Starts the helper that kernel.hotplug names, if it names one: the last step, and it has the last word. */
  #callHelper(env: KobjUeventEnv, subsystem: string): void {
    const helper = readSysctl(this.#kernel, 'kernel/hotplug')
    if (helper === '') return
    env.add('HOME=/')
    env.add('PATH=/sbin:/bin:/usr/sbin:/usr/bin')
    if (Buffer.byteLength(subsystem) + 1 > env.room) {
      throw refused('ENOMEM', 'the event has no room for its subsystem as an argument')
    }
    const info = this.#kernel.callUsermodehelperSetup(helper, [helper, subsystem], env.variables, GFP_ATOMIC)
    if (info === null) throw refused('ENOMEM', 'no descriptor is free for the helper; boot with more', helper)
    // Blocks nothing: with UMH_NO_WAIT it only queues, and says at once whether it has.
    const retval = this.#kernel.callUsermodehelperExecSync(info, UMH_NO_WAIT)
    if (retval < 0) {
      throw refused(
        errnoName(retval) as ErrnoName,
        retval === EBUSY
          ? 'helpers are disabled; the listeners have been told'
          : 'the helper was not called; the listeners have been told',
        helper,
      )
    }
  }
}

/** A kernel's events. */
export const uevents: (kernel: Kernel) => Uevents = perKernel(kernel => new Uevents(kernel))

const EBUSY = new SystemError('EBUSY', '').retval

const refused = (code: ErrnoName, what: string, path?: string) =>
  new SystemError(code, `no event: ${what}`, {
    syscall: 'kobject_uevent',
    ...(path !== undefined && { path }),
  })

/** The nearest kset: the object's own, or that of the nearest object above it that is in one. */
function ksetOf(kobj: Kobject): Kset {
  for (let object: Kobject | null = kobj; object !== null; object = object.parent) {
    if (object.kset !== null) return object.kset
  }
  throw refused('EINVAL', `neither ${kobj.name} nor an object above it is in a kset`)
}

/** A kset's `uevent` gives 0 or nothing; any other number ends the event, and is its result. */
function checkAnswer(answer: unknown, devpath: string): void {
  if (answer === undefined || answer === 0) return
  if (typeof answer !== 'number' || !Number.isInteger(answer)) {
    throw wrongType("kset's uevent", 'a function that returns an integer or nothing', answer)
  }
  const name = errnoName(answer)
  const named = answer < 0 && !/^E\d+$/.test(name)
  throw new SystemError(named ? (name as ErrnoName) : 'ECANCELED', `the kset ended an event of ${devpath}`, {
    syscall: 'kobject_uevent',
    retval: answer,
  })
}

function asObject(variables: readonly string[]): Readonly<Record<string, string>> {
  const entries = variables.map(variable => {
    const at = variable.indexOf('=')
    return [variable.slice(0, at), variable.slice(at + 1)] as const
  })
  return Object.freeze(Object.fromEntries(entries))
}
