/**
 * The one place that makes errors.
 */
import { type ErrnoName, errno, errnoName } from '../libc/errno.js'
import { Step } from './memory.js'
import type { Rusage } from './run/types.js'

type Codes =
  | 'ERR_INVALID_ARG_TYPE'
  | 'ERR_INVALID_ARG_VALUE'
  | 'ERR_OUT_OF_RANGE'
  | 'ERR_UNKNOWN_CREDENTIAL'
  | 'ERR_KHELPER_SHUT_DOWN'
  | 'ERR_KHELPER_ATTACHED'
  | 'ERR_KHELPER_INFO_USED'
  | 'ERR_KHELPER_UNSUPPORTED'

function withCode<E extends Error>(error: E, code: Codes): E & { readonly code: Codes } {
  return Object.assign(error, { code })
}

const shown = (value: unknown): string => {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return `'${value.length > 64 ? `${value.slice(0, 64)}…` : value}'`
  if (typeof value === 'function') return `function ${value.name}`
  if (typeof value === 'object') return `an instance of ${value.constructor?.name ?? 'Object'}`
  return `${typeof value} (${String(value)})`
}

/** A value of the wrong type, as Node says it. */
export const wrongType = (name: string, expected: string, value: unknown) =>
  withCode(
    new TypeError(`The "${name}" argument must be ${expected}. Received ${shown(value)}`),
    'ERR_INVALID_ARG_TYPE',
  )

/** A value of the right type that cannot be. `value` is never shown where it could be a secret. */
export const wrongValue = (name: string, reason: string) =>
  withCode(new TypeError(`The "${name}" argument ${reason}`), 'ERR_INVALID_ARG_VALUE')

export const outOfRange = (name: string, range: string, value: unknown) =>
  withCode(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`),
    'ERR_OUT_OF_RANGE',
  )

/** As Node says it of process.setuid. */
export const unknownCredential = (kind: 'User' | 'Group', name: string) =>
  withCode(new Error(`${kind} identifier does not exist: ${name}`), 'ERR_UNKNOWN_CREDENTIAL')

export const shutDown = () =>
  withCode(new Error('The kernel has been shut down; boot() gives a new one'), 'ERR_KHELPER_SHUT_DOWN')

export const isAttached = () =>
  withCode(
    new Error(
      'This thread is attached to a kernel that another thread has booted: ask there, or over its socket (boot({ socket }), khelper/system-calls)',
    ),
    'ERR_KHELPER_ATTACHED',
  )

export const infoUsed = (path: string | null) =>
  withCode(
    new Error(
      `This SubprocessInfo (${path}) has been executed or freed already; set up a new one for each call`,
    ),
    'ERR_KHELPER_INFO_USED',
  )

export const unsupported = (what: string) => withCode(new Error(what), 'ERR_KHELPER_UNSUPPORTED')

/** What a `SystemError` is about. */
export interface SystemErrorDetails {
  /** The operation that failed, under Linux's name. */
  readonly syscall?: string
  readonly path?: string
  readonly cause?: unknown
  /** What the C function gives, where that is not `errno`. */
  readonly retval?: number
}

/**
 * What an application of the kernel (modules, keys, events, …) refuses or could not do, as Linux would: `code` is the
 * error's name, `errno` its negative number, `retval` what the function of that name in `khelper/linux` gives.
 */
export class SystemError extends Error {
  override readonly name = 'SystemError'
  readonly code: string
  readonly errno: number
  readonly retval: number
  declare readonly syscall?: string
  declare readonly path?: string

  /** @param message what was tried, what stood in the way, and what to do if that is known; `code` is put before it */
  constructor(code: ErrnoName, message: string, details: SystemErrorDetails = {}) {
    super(`${code}: ${message}`, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.errno = -errno(code)
    this.retval = details.retval ?? this.errno
    for (const key of ['syscall', 'path'] as const) {
      const value = details[key]
      if (value !== undefined) Object.defineProperty(this, key, { value, enumerable: true })
    }
  }
}

/** By its name: there may be more than one copy of this package in a process. */
export const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error && error.name === 'SystemError' && 'retval' in error

/** All that is known of a helper that did not do what was asked. */
export interface HelperErrorDetails {
  readonly errno?: number | undefined
  readonly syscall?: string | undefined
  readonly path: string
  readonly cwd?: string | undefined
  readonly argv: readonly string[]
  readonly retval: number
  readonly exitCode: number | null
  readonly signalCode: NodeJS.Signals | null
  readonly stdout: string | Buffer
  readonly stderr: string | Buffer
  readonly pid: number | undefined
  readonly rusage: Rusage | null
  readonly timedOut: boolean
  readonly aborted: boolean
  readonly outputTruncated: boolean
  readonly duration: number
}

/**
 * A helper that could not be started, or did not end with exit code 0.
 *
 * `code` is the error's name where nothing was started (`'ENOENT'`, `'EACCES'`, …), and otherwise
 * `'ERR_HELPER_EXIT'`, `'ERR_HELPER_SIGNAL'`, `'ERR_HELPER_MAX_OUTPUT'`, `'ETIMEDOUT'` or `'ABORT_ERR'`.
 * It carries everything that the result would have; never the environment.
 */
export class HelperError extends Error implements HelperErrorDetails {
  override readonly name: string
  readonly code: string
  declare readonly errno?: number
  declare readonly syscall?: string
  declare readonly path: string
  declare readonly cwd?: string
  declare readonly argv: readonly string[]
  declare readonly retval: number
  declare readonly exitCode: number | null
  declare readonly signalCode: NodeJS.Signals | null
  declare readonly stdout: string | Buffer
  declare readonly stderr: string | Buffer
  declare readonly pid: number | undefined
  declare readonly rusage: Rusage | null
  declare readonly timedOut: boolean
  declare readonly aborted: boolean
  declare readonly outputTruncated: boolean
  declare readonly duration: number

  constructor(code: string, message: string, details: HelperErrorDetails, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = code === 'ABORT_ERR' ? 'AbortError' : 'HelperError'
    for (const [key, value] of Object.entries(details)) {
      if (value !== undefined)
        Object.defineProperty(this, key, { value, enumerable: true, configurable: true })
    }
  }
}

/** What each step of a launch is called in an error's `syscall`. */
const SYSCALLS: Readonly<Record<number, string>> = {
  [Step.EXECVE]: 'execve',
  [Step.CHDIR]: 'chdir',
  [Step.STDIN]: 'open',
  [Step.STDOUT]: 'open',
  [Step.STDERR]: 'open',
  [Step.FORK]: 'posix_spawn',
  [Step.PIPE]: 'pipe',
  [Step.IMPORT]: 'import',
  [Step.KHELPER]: 'khelper',
  [Step.SETUID]: 'setresuid',
  [Step.SETGID]: 'setresgid',
  [Step.SETGROUPS]: 'setgroups',
  [Step.UMASK]: 'umask',
  [Step.NICE]: 'setpriority',
  [Step.NO_NEW_PRIVS]: 'prctl',
  [Step.AFFINITY]: 'sched_setaffinity',
  [Step.CAPABILITIES]: 'capset',
  [Step.PROCESS_TABLE]: 'khelper',
  [Step.KEYS]: 'open',
  [Step.KEYRING]: 'keyctl',
  [Step.CGROUP]: 'write',
  [Step.RLIMITS]: 'prlimit',
  [Step.EXEC_STEP]: 'execve',
}

/** What of a helper's credentials a step sets. */
const CREDENTIALS: Readonly<Record<number, string>> = {
  [Step.SETUID]: 'user',
  [Step.SETGID]: 'group',
  [Step.SETGROUPS]: 'groups',
  [Step.UMASK]: 'umask',
  [Step.NICE]: 'niceness',
  [Step.NO_NEW_PRIVS]: 'privileges',
  [Step.AFFINITY]: 'processors',
  [Step.CAPABILITIES]: 'capabilities',
  [Step.RLIMITS]: 'limits',
}

export const syscallOf = (step: number): string => SYSCALLS[step] ?? 'execve'

/**
 * What stood in the way of a launch, and what to do about it where that is known.
 * @param file what was to be opened, if that is what failed
 */
export function launchMessage(
  error: number,
  step: number,
  path: string,
  cwd: string | undefined,
  file?: string,
): string {
  const name = errnoName(error)
  if (step === Step.CHDIR) return `${name}: the working directory cannot be entered: ${cwd}`
  if (step >= Step.STDIN && step <= Step.STDERR) {
    const stream = ['stdin', 'stdout', 'stderr'][step - Step.STDIN]
    return `${name}: ${path} cannot open ${file ?? 'the file'} for its ${stream}`
  }
  if (step === Step.PROCESS_TABLE) {
    return `${name}: as many helpers run as the kernel has descriptors for, and none is left for ${path}; boot({ descriptors }) with more, or run fewer at once`
  }
  if (step === Step.KEYS) {
    const unsafe =
      Math.abs(error) === errno('EACCES')
        ? '; there must be /dev/shm, or a TMPDIR that only root and this user can exchange files in'
        : ''
    return `${name}: the files with the secrets of ${path} cannot be made, or read again${unsafe}`
  }
  if (step === Step.KEYRING) {
    return `${name}: ${path} cannot have a session keyring of its own; look at /proc/key-users for a quota that is used up`
  }
  if (step === Step.CGROUP) return `${name}: ${path} cannot enter its control group`
  if (step === Step.EXEC_STEP) {
    return `${name}: what sets the options of ${path} cannot be run from memory: it needs /proc, and the sysctl vm.memfd_noexec not to be 2`
  }
  const credential = CREDENTIALS[step]
  if (credential !== undefined) return `${name}: the service may not set the ${credential} of ${path}`
  switch (-Math.abs(error)) {
    case -errno('ENOENT'):
      return `${name}: no such program: ${path}`
    case -errno('EACCES'):
      return `${name}: not executable, or in a folder that may not be entered: ${path}`
    case -errno('ENOEXEC'):
      return `${name}: not a program, nor a script with a #! line: ${path}`
    case -errno('E2BIG'):
      return `${name}: arguments and environment are longer than the system takes: ${path}`
    case -errno('EMFILE'):
      return `${name}: no file descriptor left to start ${path}; raise the limit (ulimit -n) or run fewer helpers at once`
    case -errno('EAGAIN'):
      return `${name}: no process left to start ${path}; raise the limit (ulimit -u) or run fewer helpers at once`
    case -errno('ENOMEM'):
      return `${name}: no memory left to start ${path}`
    case -errno('EBUSY'):
      return `${name}: helpers are disabled; usermodehelperEnable() lets them run again`
    case -errno('EOWNERDEAD'):
      return `${name}: the khelper thread died before it could start ${path}`
    default:
      return `${name}: cannot start ${path}`
  }
}
