/**
 * `run`'s arguments, checked and brought into one form at the door; nothing behind it looks at them again.
 */
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'
import { checkArgv, checkString, type LaunchSettings, type ResourceLimits } from '../call-spec.js'
import { UMH_WAIT_PROC, type WaitMode } from '../constants.js'
import { outOfRange, unsupported, wrongType, wrongValue } from '../errors.js'
import { Keyring } from '../keyring.js'
import { SlotFlag } from '../memory.js'
import { checkRedact, redacted, secretsOf } from '../redaction.js'
import { checkWait, envpStrings } from '../umh.js'
import { checkCredentials } from './credentials.js'
import { checkRlimits, type Wrapped, withRlimits } from './rlimits.js'
import type { HelperInput, KillOptions, OutputTarget, RunOptions, StdinSource } from './types.js'

const DEFAULT_MAX_OUTPUT = 100 * 1024 * 1024
const DEFAULT_GRACE_MS = 5_000
/** setTimeout takes no more. */
const LONGEST_MS = 2 ** 31 - 1
const LARGEST_SIGNAL = 64
/** As glibc has it where there is no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin'

export interface RunArguments {
  readonly path: string
  readonly argv: readonly string[]
  readonly envp: readonly string[]
  readonly flags: number
  readonly cwd: string | undefined
  readonly search: string | undefined
  readonly stdin: StdinSource
  readonly stdout: OutputTarget
  readonly stderr: OutputTarget
  readonly input: HelperInput | undefined
  readonly encoding: BufferEncoding | 'buffer'
  readonly maxOutput: number
  readonly timeout: number | undefined
  readonly killSignal: number
  /** Milliseconds, -1: no SIGKILL. */
  readonly grace: number
  readonly signal: AbortSignal | undefined
  readonly reject: boolean
  readonly wait: WaitMode
  readonly settings: LaunchSettings | undefined
  readonly keys: Keyring | undefined
  /** What an error must not show. */
  readonly secrets: readonly string[]
}

/**
 * @param posix whether the launcher is posix_spawn
 * @throws TypeError, RangeError with a Node-style code for anything that cannot be
 */
export function checkArguments(
  file: string | URL,
  args: readonly string[],
  options: RunOptions,
  posix: boolean,
): RunArguments {
  if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
  const path = file instanceof URL ? file.href : file
  checkString(path, 'file')
  if (path === '') throw wrongValue('file', 'must not be empty')
  checkArgv(args)
  const inThread = path.startsWith('file:')
  const argv0 = options.argv0 ?? path
  checkString(argv0, 'options.argv0')
  const wait = options.wait ?? UMH_WAIT_PROC
  checkWait(wait)
  const envp = envpStrings(options.env ?? process.env)
  const stdin = checkStdin(options, inThread)
  const { stdout, stderr } = checkOutputs(options, inThread, (wait & UMH_WAIT_PROC) !== 0)
  const foreground = stdin === 'inherit' && isatty(0)
  const cwd = checkCwd(options.cwd)
  const keys = checkKeys(options.keys, inThread)
  const files = [stdin, stdout, stderr].map(target => (typeof target === 'object' ? target.file : ''))
  const secrets = secretsOf(checkRedact(options.redact), keys, [path, argv0, ...args, cwd ?? '', ...files])
  const search = inThread || path.includes('/') ? undefined : searchPath(envp)
  const settings = checkSettings(options, inThread)
  if (settings?.credentials !== undefined && !posix) {
    throw unsupported('uid, gid, groups, umask, nice, noNewPrivs and affinity need the launcher posix_spawn')
  }
  const rlimits = settings?.rlimits
  const limited =
    rlimits === undefined || posix
      ? undefined
      : redacting(secrets, () => wrap(options, rlimits, path, args, search, cwd))
  const terminal = checkBoolean(options.terminal, 'options.terminal', false)
  return {
    path: limited?.path ?? path,
    argv: limited?.argv ?? [argv0, ...args],
    envp,
    flags:
      (inThread ? SlotFlag.IN_THREAD : 0) |
      (checkBoolean(options.detached, 'options.detached', false) ? SlotFlag.DETACHED : 0) |
      (foreground ? SlotFlag.FOREGROUND : 0) |
      (settings?.credentials?.another && !terminal ? SlotFlag.SESSION : 0),
    cwd,
    search: limited === undefined ? search : undefined,
    stdin,
    stdout,
    stderr,
    input: checkInput(options.input, inThread),
    encoding: checkEncoding(options.encoding),
    maxOutput: checkNumber(
      options.maxOutput,
      'options.maxOutput',
      DEFAULT_MAX_OUTPUT,
      Number.MAX_SAFE_INTEGER,
    ),
    timeout:
      options.timeout === undefined
        ? undefined
        : checkNumber(options.timeout, 'options.timeout', 0, LONGEST_MS),
    killSignal: signalNumber(options.killSignal ?? 'SIGTERM', 'options.killSignal'),
    grace:
      options.forceKillAfter === false
        ? -1
        : checkNumber(options.forceKillAfter, 'options.forceKillAfter', DEFAULT_GRACE_MS, LONGEST_MS),
    signal: checkSignal(options.signal),
    reject: checkBoolean(options.reject, 'options.reject', true),
    wait,
    settings: posix ? settings : undefined,
    keys,
    secrets,
  }
}

/** What cannot be started is told at the door, too. */
function redacting<Result>(secrets: readonly string[], act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (secrets.length === 0 || !(error instanceof Error)) throw error
    const { path } = error as NodeJS.ErrnoException
    const stack = error.stack ?? ''
    error.message = redacted(error.message, secrets)
    error.stack = redacted(stack, secrets)
    if (path !== undefined) Object.assign(error, { path: redacted(path, secrets) })
    throw error
  }
}

function checkSettings(options: RunOptions, inThread: boolean): LaunchSettings | undefined {
  const credentials = checkCredentials(options)
  const rlimits = options.rlimits === undefined ? undefined : checkRlimits(options.rlimits)
  if (credentials === undefined && rlimits === undefined) return undefined
  if (inThread) {
    const [name] = Object.keys(credentials ?? { rlimits })
    throw wrongValue(
      `options.${name}`,
      'cannot be given to an in-thread helper, which is part of the service',
    )
  }
  return { ...(credentials !== undefined && { credentials }), ...(rlimits !== undefined && { rlimits }) }
}

/** With the launcher child_process. */
function wrap(
  { argv0 }: RunOptions,
  rlimits: ResourceLimits,
  path: string,
  args: readonly string[],
  search: string | undefined,
  cwd: string | undefined,
): Wrapped {
  if (argv0 !== undefined) {
    throw wrongValue(
      'options.argv0',
      'cannot be given together with options.rlimits with the launcher child_process',
    )
  }
  return withRlimits(rlimits, path, args, search, cwd)
}

function checkKeys(keys: unknown, inThread: boolean): Keyring | undefined {
  if (keys === undefined) return undefined
  if (!(keys instanceof Keyring)) throw wrongType('options.keys', 'a Keyring', keys)
  if (inThread) throw wrongValue('options.keys', 'cannot be given to an in-thread helper')
  return keys
}

/** @throws TypeError for options that cannot be */
export function checkKillOptions(options: KillOptions | null): {
  signal: KillOptions['signal']
  tree: boolean
} {
  if (options === null) throw wrongType('options', 'a signal or of type object', options)
  return { signal: options.signal, tree: checkBoolean(options.tree, 'options.tree', false) }
}

/** @throws for a name or number that is no signal */
export function signalNumber(signal: NodeJS.Signals | number, name: string): number {
  if (typeof signal === 'string') {
    const number = constants.signals[signal]
    if (number === undefined) throw wrongValue(name, `must be the name of a signal. Received '${signal}'`)
    return number
  }
  if (typeof signal !== 'number') throw wrongType(name, 'the name or number of a signal', signal)
  if (!Number.isInteger(signal) || signal < 0 || signal > LARGEST_SIGNAL) {
    throw outOfRange(name, `an integer from 0 to ${LARGEST_SIGNAL}`, signal)
  }
  return signal
}

function searchPath(envp: readonly string[]): string {
  return envp.find(entry => entry.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH
}

function checkCwd(cwd: string | URL | undefined): string | undefined {
  if (cwd === undefined) return undefined
  const path = cwd instanceof URL ? fileURLToPath(cwd) : cwd
  checkString(path, 'options.cwd')
  if (path === '') throw wrongValue('options.cwd', 'must not be empty')
  return path
}

function checkStdin(options: RunOptions, inThread: boolean): StdinSource {
  const stdin = options.stdin ?? 'ignore'
  if (options.input !== undefined && options.stdin !== undefined) {
    throw wrongValue('options.stdin', 'cannot be given together with options.input')
  }
  if (stdin === 'pipe' && inThread)
    throw wrongValue('options.stdin', 'cannot be a pipe for an in-thread helper')
  if (stdin === 'ignore' || stdin === 'inherit' || stdin === 'pipe') return stdin
  checkFdOrFile(stdin, 'options.stdin', "'ignore', 'inherit', 'pipe', a file descriptor or { file }")
  return stdin
}

function checkOutputs(
  options: RunOptions,
  inThread: boolean,
  waits: boolean,
): { readonly stdout: OutputTarget; readonly stderr: OutputTarget } {
  const target = (value: OutputTarget | undefined, name: string): OutputTarget => {
    if (value === undefined) return waits ? 'capture' : 'ignore'
    if (value === 'capture' && !waits) {
      throw wrongValue(name, "cannot be 'capture' unless the process is waited for (UMH_WAIT_PROC)")
    }
    if (value === 'pipe' && inThread) throw wrongValue(name, 'cannot be a pipe for an in-thread helper')
    if (value === 'ignore' || value === 'inherit' || value === 'pipe' || value === 'capture') return value
    checkFdOrFile(value, name, "'ignore', 'inherit', 'pipe', 'capture', a file descriptor or { file }")
    return value
  }
  return {
    stdout: target(options.stdout, 'options.stdout'),
    stderr: target(options.stderr, 'options.stderr'),
  }
}

function checkFdOrFile(value: unknown, name: string, expected: string): void {
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || value < 0 || value > LONGEST_MS) {
      throw outOfRange(name, 'a file descriptor, an integer of at least 0', value)
    }
    return
  }
  if (typeof value !== 'object' || value === null || !('file' in value))
    throw wrongType(name, expected, value)
  checkString(value.file, `${name}.file`)
}

function checkInput(input: HelperInput | undefined, inThread: boolean): HelperInput | undefined {
  if (input === undefined) return undefined
  if (inThread) throw wrongValue('options.input', 'cannot be given to an in-thread helper')
  if (typeof input === 'string' || input instanceof Uint8Array) return input
  if (typeof input === 'object' && input !== null && Symbol.asyncIterator in input) return input
  throw wrongType('options.input', 'a string, an Uint8Array, a Readable or an async iterable', input)
}

function checkEncoding(encoding: unknown): BufferEncoding | 'buffer' {
  if (encoding === undefined) return 'utf8'
  if (encoding === 'buffer') return encoding
  if (typeof encoding === 'string' && Buffer.isEncoding(encoding)) return encoding
  throw wrongType('options.encoding', "an encoding of Buffer, or 'buffer'", encoding)
}

function checkNumber(value: unknown, name: string, otherwise: number, largest: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value)
  if (!(value >= 0 && value <= largest)) throw outOfRange(name, `from 0 to ${largest}`, value)
  return value
}

function checkBoolean(value: unknown, name: string, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw wrongType(name, 'of type boolean', value)
  return value
}

function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw wrongType('options.signal', 'an AbortSignal', signal)
}
