/**
 * What a group may use, checked at the door, by the names of the files that hold it in cgroup v2.
 */
import { outOfRange, wrongType, wrongValue } from '../../kernel/errors.js'
import type { Controller } from './types.js'

export interface LimitOptions {
  /** Bytes, as a number or with K, M, G or T behind it; beyond it the system kills. Default: no limit of its own. */
  readonly 'memory.max'?: number | string
  /** Processes and threads. */
  readonly 'pids.max'?: number | 'max'
  /** Processors (0.5: half of one's time), or Linux's `'<quota> <period>'` in microseconds. */
  readonly 'cpu.max'?: number | string
}

/** The limits that a group has itself. */
export interface Limits {
  readonly memory?: number
  readonly pids?: number
  readonly cpu?: { readonly quota: number; readonly period: number }
}

const UNITS = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const
/** Linux's bounds and default, in microseconds. */
const PERIOD = 100_000
const SHORTEST = 1_000
const LONGEST_PERIOD = 1_000_000
/** As PID_MAX_LIMIT has it on 64 bits. */
const MOST_PIDS = 4_194_304

/** @throws TypeError, RangeError for what cannot be a limit */
export function checkLimits(options: LimitOptions): Limits {
  const memory = checkMemory(options['memory.max'])
  const pids = checkPids(options['pids.max'])
  const cpu = checkCpu(options['cpu.max'])
  return {
    ...(memory !== undefined && { memory }),
    ...(pids !== undefined && { pids }),
    ...(cpu !== undefined && { cpu }),
  }
}

/** Which controllers a group's own limits need. */
export const controllersOf = (limits: Limits): Controller[] =>
  (['memory', 'pids', 'cpu'] as const).filter(controller => limits[controller] !== undefined)

/** A number of bytes as it is said in messages. */
export function shownBytes(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', UNITS.G],
    ['MiB', UNITS.M],
    ['KiB', UNITS.K],
  ] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size} ${unit}`
  }
  return `${bytes} bytes`
}

function checkMemory(value: unknown): number | undefined {
  if (value === undefined || value === 'max') return undefined
  const name = `options['memory.max']`
  if (typeof value !== 'number' && typeof value !== 'string') {
    throw wrongType(name, "a number of bytes, a string such as '64M', or 'max'", value)
  }
  const [, digits, unit] = /^(\d+)([KMGT]?)$/i.exec(String(value)) ?? []
  const bytes = Number(digits) * (UNITS[unit?.toUpperCase() as keyof typeof UNITS] ?? 1)
  if (!Number.isSafeInteger(bytes)) {
    throw outOfRange(name, "a whole number of bytes, with K, M, G or T behind it, or 'max'", value)
  }
  return bytes
}

function checkPids(value: unknown): number | undefined {
  if (value === undefined || value === 'max') return undefined
  const name = `options['pids.max']`
  if (typeof value !== 'number') throw wrongType(name, "a number, or 'max'", value)
  if (!Number.isInteger(value) || value < 0 || value >= MOST_PIDS) {
    throw outOfRange(name, `an integer from 0 to ${MOST_PIDS - 1}`, value)
  }
  return value
}

function checkCpu(value: unknown): Limits['cpu'] {
  if (value === undefined) return undefined
  const name = `options['cpu.max']`
  if (typeof value === 'number') return checkCpuTimes(Math.round(value * PERIOD), PERIOD, name, value)
  if (typeof value !== 'string') {
    throw wrongType(name, "a number of processors, '<quota> <period>' in microseconds, or 'max'", value)
  }
  const match = /^(max|\d+)(?: (\d+))?$/.exec(value)
  if (match === null) {
    throw wrongValue(name, `must be '<quota> <period>' in microseconds, or 'max'. Received '${value}'`)
  }
  const [, quota, period = String(PERIOD)] = match
  return quota === 'max' ? undefined : checkCpuTimes(Number(quota), Number(period), name, value)
}

function checkCpuTimes(quota: number, period: number, name: string, value: unknown): Limits['cpu'] {
  if (!(quota >= SHORTEST && quota <= Number.MAX_SAFE_INTEGER / 1_000)) {
    throw outOfRange(name, `at least ${SHORTEST} microseconds of each ${period}`, value)
  }
  if (period < SHORTEST || period > LONGEST_PERIOD) {
    throw outOfRange(name, `a period from ${SHORTEST} to ${LONGEST_PERIOD} microseconds`, value)
  }
  return { quota, period }
}
