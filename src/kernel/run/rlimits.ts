/**
 * Resource limits of a helper, checked at the door. The exec step sets them; with the launcher child_process prlimit(1)
 * sets its own and becomes the helper, whose pid is the same.
 */
import { accessSync, constants, readFileSync } from 'node:fs'
import { errnoName, errnoOf } from '../../libc/index.js'
import { checkString, type ResourceLimits } from '../call-spec.js'
import { outOfRange, unsupported, wrongType, wrongValue } from '../errors.js'
import { findProgram } from '../path-search.js'
import type { ResourceLimit, Rlimit } from './types.js'

/** Each resource's number for setrlimit(2), and what /proc/self/limits calls it. */
const RESOURCES: Readonly<Record<Rlimit, readonly [number: number, name: string]>> = {
  cpu: [0, 'Max cpu time'],
  fsize: [1, 'Max file size'],
  data: [2, 'Max data size'],
  stack: [3, 'Max stack size'],
  core: [4, 'Max core file size'],
  rss: [5, 'Max resident set'],
  nproc: [6, 'Max processes'],
  nofile: [7, 'Max open files'],
  memlock: [8, 'Max locked memory'],
  as: [9, 'Max address space'],
  locks: [10, 'Max file locks'],
  sigpending: [11, 'Max pending signals'],
  msgqueue: [12, 'Max msgqueue size'],
  nice: [13, 'Max nice priority'],
  rtprio: [14, 'Max realtime priority'],
}

const WRAPPER = 'prlimit'
const WRAPPER_PATH = '/usr/bin:/bin:/usr/local/bin'

/** The program and its arguments, which set the limits and become the helper. */
export interface Wrapped {
  readonly path: string
  readonly argv: readonly string[]
}

interface Limits {
  readonly soft: number
  readonly hard: number
}

/** @throws for limits that cannot be, above the hard limit among them */
export function checkRlimits(rlimits: unknown): ResourceLimits {
  if (typeof rlimits !== 'object' || rlimits === null)
    throw wrongType('options.rlimits', 'of type object', rlimits)
  const current = currentLimits()
  return Object.entries(rlimits).map(([name, limit]) => {
    if (!isResource(name)) {
      throw wrongValue(`options.rlimits.${name}`, `must be one of ${Object.keys(RESOURCES).join(', ')}`)
    }
    const [number, title] = RESOURCES[name]
    const { soft, hard } = checkLimit(name, limit as ResourceLimit, current.get(title))
    return [number, finite(soft), finite(hard)]
  })
}

/**
 * @param search where the program is looked for, if it has no slash
 * @throws where there is no prlimit(1), or no such program
 */
export function withRlimits(
  rlimits: ResourceLimits,
  program: string,
  args: readonly string[],
  search: string | undefined,
  cwd: string | undefined,
): Wrapped {
  const options = rlimits.map(([resource, soft, hard]) => {
    const [name] = Object.entries(RESOURCES).find(([, [number]]) => number === resource) ?? ['']
    return `--${name}=${soft ?? 'unlimited'}:${hard ?? 'unlimited'}`
  })
  const wrapper = findProgram(WRAPPER, WRAPPER_PATH, undefined)
  if (typeof wrapper === 'number') throw unsupported('rlimits need prlimit(1), of util-linux')
  return { path: wrapper, argv: [WRAPPER, ...options, '--', locate(program, search, cwd), ...args] }
}

const finite = (limit: number): number | null => (limit === Number.POSITIVE_INFINITY ? null : limit)
const isResource = (name: string): name is Rlimit => Object.hasOwn(RESOURCES, name)
const shown = (limit: number): string => (limit === Number.POSITIVE_INFINITY ? 'unlimited' : String(limit))

function checkLimit(name: Rlimit, limit: ResourceLimit, current: Limits | undefined): Limits {
  const [softGiven, hardGiven] = Array.isArray(limit) ? limit : [limit, limit]
  const soft = checkValue(softGiven, `options.rlimits.${name}`)
  const hard = checkValue(hardGiven, `options.rlimits.${name}`)
  if (soft > hard)
    throw outOfRange(`options.rlimits.${name}`, `at most the hard limit, ${shown(hard)}`, shown(soft))
  // Who may raise hard limits is the system's to say: without CAP_SYS_RESOURCE nobody.
  if (current !== undefined && hard > current.hard && process.getuid?.() !== 0) {
    throw outOfRange(
      `options.rlimits.${name}`,
      `at most the service's hard limit, ${shown(current.hard)}`,
      shown(hard),
    )
  }
  return { soft, hard }
}

function checkValue(value: unknown, name: string): number {
  if (value === 'unlimited') return Number.POSITIVE_INFINITY
  if (typeof value !== 'number') {
    throw wrongType(name, "a number, 'unlimited', or an array of a soft and a hard limit", value)
  }
  if (!Number.isSafeInteger(value) || value < 0) throw outOfRange(name, 'an integer of at least 0', value)
  return value
}

/** The service's own, by the names of /proc/self/limits; none where there is no /proc, and the system says what it refuses. */
function currentLimits(): Map<string, Limits> {
  const limits = new Map<string, Limits>()
  let text: string
  try {
    text = readFileSync('/proc/self/limits', 'latin1')
  } catch {
    return limits
  }
  const value = (text: string | undefined): number =>
    text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
  for (const line of text.split('\n').slice(1)) {
    const [, name, soft, hard] = /^(.*?) {2,}(\S+) +(\S+)/.exec(line) ?? []
    if (name !== undefined) limits.set(name, { soft: value(soft), hard: value(hard) })
  }
  return limits
}

/** Found here, because prlimit(1) would say in its own words that it is not. */
function locate(program: string, search: string | undefined, cwd: string | undefined): string {
  if (search !== undefined) {
    const found = findProgram(program, search, cwd)
    if (typeof found === 'number') throw notStarted(found, program)
    return found
  }
  checkString(program, 'file')
  try {
    accessSync(program.startsWith('/') || cwd === undefined ? program : `${cwd}/${program}`, constants.X_OK)
  } catch (error) {
    throw notStarted(errnoOf(error, 'ENOENT'), program)
  }
  return program
}

const notStarted = (error: number, path: string): Error =>
  Object.assign(new Error(`${errnoName(error)}: no such program, or not executable: ${path}`), {
    code: errnoName(error),
    errno: -error,
    syscall: 'execve',
    path,
  })
