/**
 * Resource limits of a helper. Linux keeps them for the whole process and not for each thread, so that a khelper cannot
 * take them on for a launch: prlimit(1) sets its own and becomes the helper, whose pid is the same.
 */
import { accessSync, constants, readFileSync } from 'node:fs'
import { errnoName, errnoOf } from '../../libc/index.js'
import { checkString } from '../call-spec.js'
import { outOfRange, unsupported, wrongType, wrongValue } from '../errors.js'
import { findProgram } from '../path-search.js'
import type { ResourceLimit, Rlimit } from './types.js'

/** prlimit(1)'s option for each resource, and what /proc/self/limits calls it. */
const RESOURCES: Readonly<Record<Rlimit, string>> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
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

/**
 * @param search where the program is looked for, if it has no slash
 * @throws for limits that cannot be, above the hard limit among them, and where there is no prlimit(1)
 */
export function withRlimits(
  rlimits: unknown,
  program: string,
  args: readonly string[],
  search: string | undefined,
  cwd: string | undefined,
): Wrapped {
  if (typeof rlimits !== 'object' || rlimits === null)
    throw wrongType('options.rlimits', 'of type object', rlimits)
  const current = currentLimits()
  const options = Object.entries(rlimits).map(([name, limit]) => {
    if (!isResource(name)) {
      throw wrongValue(`options.rlimits.${name}`, `must be one of ${Object.keys(RESOURCES).join(', ')}`)
    }
    const { soft, hard } = checkLimit(name, limit as ResourceLimit, current.get(RESOURCES[name]))
    return `--${name}=${shown(soft)}:${shown(hard)}`
  })
  const wrapper = findProgram(WRAPPER, WRAPPER_PATH, undefined)
  if (typeof wrapper === 'number') throw unsupported('rlimits need prlimit(1), of util-linux')
  return { path: wrapper, argv: [WRAPPER, ...options, '--', locate(program, search, cwd), ...args] }
}

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

/** The service's own, by the names of /proc/self/limits. */
function currentLimits(): Map<string, Limits> {
  const limits = new Map<string, Limits>()
  const value = (text: string | undefined): number =>
    text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
  for (const line of readFileSync('/proc/self/limits', 'latin1').split('\n').slice(1)) {
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
