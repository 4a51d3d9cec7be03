/**
 * SubprocessInfo: all that one call of a helper needs, from its set-up to its cleanup.
 */
import type { CallSpec, StdioEntry } from './call-spec.js'
import type { Keyring } from './keyring.js'
import type { SlotIndex } from './memory.js'

/**
 * What today's kernel takes as arguments of call_usermodehelper_setup, beyond the article's.
 * @template Data what the caller wants to find again in its callbacks
 */
export interface SetupOptions<Data = unknown> {
  /**
   * Runs on the caller's thread just before the call is queued. A value other than 0 or nothing ends the
   * call with that value; no program is started then.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is as good
  readonly init?: (info: SubprocessInfo<Data>) => number | undefined | void
  /** Runs on the caller's thread exactly once, whatever becomes of the call. */
  readonly cleanup?: (info: SubprocessInfo<Data>) => void
  readonly data?: Data
}

/** Where a SubprocessInfo stands. */
export const InfoState = {
  /** Has a descriptor; can be executed. */
  SETUP: 0,
  /** Its call is on its way. */
  EXECUTING: 1,
  /** Has no descriptor any more. */
  FREED: 2,
} as const
export type InfoState = (typeof InfoState)[keyof typeof InfoState]

/** The parts that only the kernel touches. */
export interface InfoInternals {
  slot: SlotIndex
  state: InfoState
  /** Gives the result to whoever awaits it; undefined once it has, or where nobody does. */
  resolve: ((retval: number) => void) | undefined
  /** Takes the listener from an abort signal. */
  unlisten: (() => void) | undefined
  init: SetupOptions<never>['init'] | undefined
  cleanup: SetupOptions<never>['cleanup'] | undefined
  /** As it was set up, for who has to write it again. */
  readonly spec: CallSpec
  /** The helper's end of the pipe to its standard input. */
  stdin: StdioEntry | undefined
  keys: Keyring | undefined
  /** The folder with the secrets, once it is executed, and whether the helper is waited for. */
  directory: string | undefined
  waited: boolean
}

export const internals: unique symbol = Symbol('internals')

export class SubprocessInfo<Data = unknown> {
  /** The program, `null` as a C caller's NULL. */
  readonly path: string | null
  readonly argv: readonly string[]
  readonly data: Data | undefined
  /** The result, once there is one: 0, `-errno` if user code never ran, else the raw wait status. */
  retval: number | undefined
  /** The process, once it has been started. */
  pid: number | undefined
  /** @internal */
  readonly [internals]: InfoInternals

  /** Made by `callUsermodehelperSetup`. */
  constructor(path: string | null, spec: CallSpec, slot: SlotIndex, options: SetupOptions<Data> | undefined) {
    this.path = path
    this.argv = spec.argv
    this.data = options?.data
    this.retval = undefined
    this.pid = undefined
    this[internals] = {
      slot,
      state: InfoState.SETUP,
      resolve: undefined,
      unlisten: undefined,
      init: options?.init as InfoInternals['init'],
      cleanup: options?.cleanup as InfoInternals['cleanup'],
      spec,
      stdin: undefined,
      keys: undefined,
      directory: undefined,
      waited: false,
    }
  }
}
