/**
 * What can be chosen about the end of a service.
 */
import { outOfRange, wrongType } from '../../kernel/errors.js'

export interface RebootOptions {
  /**
   * Milliseconds that each step of an end has: calls in flight (at most 5 s), the start of the command, all listeners
   * together, and `exit` listeners at an emergency. Default 10 000.
   */
  readonly deadline?: number | undefined
  /** What a reboot exits with, for a supervisor that starts the service again. Default 133. */
  readonly rebootExitCode?: number | undefined
  /** What an end by force exits with. Default 1. */
  readonly emergencyExitCode?: number | undefined
}

type Chosen = { readonly [Name in keyof RebootOptions]-?: number }

const DEFAULTS: Chosen = { deadline: 10_000, rebootExitCode: 133, emergencyExitCode: 1 }
const LARGEST: Chosen = { deadline: 2 ** 30, rebootExitCode: 255, emergencyExitCode: 255 }
const NAMES = ['deadline', 'rebootExitCode', 'emergencyExitCode'] as const

/** @param before what stays where nothing is given */
export function checkOptions(options: RebootOptions, before: Chosen = DEFAULTS): Chosen {
  if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
  const chosen = { ...before }
  for (const name of NAMES) {
    const value = options[name]
    if (value === undefined) continue
    if (typeof value !== 'number') throw wrongType(`options.${name}`, 'of type number', value)
    if (!Number.isInteger(value) || value < 0 || value > LARGEST[name]) {
      throw outOfRange(`options.${name}`, `an integer from 0 to ${LARGEST[name]}`, value)
    }
    chosen[name] = value
  }
  return chosen
}
