/**
 * What died, as it is given and checked at the door.
 */
import { constants } from 'node:os'
import { outOfRange, wrongType, wrongValue } from '../../kernel/errors.js'
import { diagnosticReport } from './report.js'

export const SIGABRT = 6
const LARGEST_SIGNAL = 64
const LARGEST_ID = 2 ** 31 - 1

export interface Death {
  /** The name of what died (%e). */
  readonly comm: string
  /** Default: the service's. */
  readonly pid?: number | undefined
  /** Its thread (%i); with the pid it says what died. Default: the pid. */
  readonly tid?: number | undefined
  /** What it died of. Default: SIGABRT. */
  readonly signal?: NodeJS.Signals | number | undefined
  /** The path of its program (%f, %E). Default: the service's. */
  readonly exe?: string | undefined
  /**
   * Text, bytes, something with a JSON form, or a function that gives one of these. Default: Node's diagnostic report.
   * What has a JSON form loses every `environmentVariables`.
   */
  readonly report?: string | Uint8Array | object | (() => string | Uint8Array | object) | undefined
}

export interface CheckedDeath {
  readonly comm: string
  readonly pid: number
  readonly tid: number
  readonly signal: number
  readonly exe: string
  report(): string | Uint8Array | object
}

export function checkDeath(death: Death): CheckedDeath {
  if (typeof death !== 'object' || death === null) throw wrongType('death', 'of type object', death)
  const { report = () => diagnosticReport(undefined) } = death
  if (
    typeof report !== 'string' &&
    (typeof report !== 'object' || report === null) &&
    typeof report !== 'function'
  ) {
    throw wrongType('death.report', 'a string, bytes, an object or a function', report)
  }
  const pid = checkId(death.pid ?? process.pid, 'death.pid')
  return {
    comm: checkText(death.comm, 'death.comm'),
    pid,
    tid: checkId(death.tid ?? pid, 'death.tid'),
    signal: checkSignal(death.signal ?? SIGABRT),
    exe: checkText(death.exe ?? process.execPath, 'death.exe'),
    report: typeof report === 'function' ? (report as () => object) : () => report,
  }
}

/** @throws unless it is a time that can be waited for, in milliseconds */
export function checkLongest(longest: unknown): void {
  if (typeof longest !== 'number') throw wrongType('longest', 'of type number', longest)
  if (!(longest >= 0)) throw outOfRange('longest', 'a number from 0', longest)
}

function checkText(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrongType(name, 'of type string', value)
  if (value.includes('\0')) throw wrongValue(name, 'must be a string without null bytes')
  return value
}

function checkId(value: unknown, name: string): number {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value)
  if (!Number.isInteger(value) || value < 0 || value > LARGEST_ID) {
    throw outOfRange(name, `an integer from 0 to ${LARGEST_ID}`, value)
  }
  return value
}

function checkSignal(signal: unknown): number {
  const number =
    typeof signal === 'string' ? constants.signals[signal as NodeJS.Signals] : (signal as number | undefined)
  if (number === undefined) throw wrongValue('death.signal', `is an unknown signal: ${String(signal)}`)
  if (typeof number !== 'number') throw wrongType('death.signal', 'a name or number of a signal', signal)
  if (!Number.isInteger(number) || number < 1 || number > LARGEST_SIGNAL) {
    throw outOfRange('death.signal', `an integer from 1 to ${LARGEST_SIGNAL}`, signal)
  }
  return number
}
