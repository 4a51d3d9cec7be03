/**
 * What `kernel.run` takes and gives: the words a service uses day to day.
 */
import type { Readable, Writable } from 'node:stream'
import type { WaitMode } from '../constants.js'
import type { Keyring } from '../keyring.js'

/** Where a helper's standard input comes from. */
export type StdinSource = 'ignore' | 'inherit' | 'pipe' | number | { readonly file: string }

/** Where a helper's standard output or standard error goes. */
export type OutputTarget =
  | 'ignore'
  | 'inherit'
  | 'pipe'
  | 'capture'
  | number
  | { readonly file: string; readonly append?: boolean }

/** Bytes, text or a stream of either, written to the helper's standard input. */
export type HelperInput = string | Uint8Array | Readable | AsyncIterable<string | Uint8Array>

/** What a helper can be limited in, by the names of setrlimit(2). */
export type Rlimit =
  | 'as'
  | 'core'
  | 'cpu'
  | 'data'
  | 'fsize'
  | 'locks'
  | 'memlock'
  | 'msgqueue'
  | 'nice'
  | 'nofile'
  | 'nproc'
  | 'rss'
  | 'rtprio'
  | 'sigpending'
  | 'stack'

/** The soft and the hard limit, or one for both; in the units of setrlimit(2). */
export type ResourceLimit =
  | number
  | 'unlimited'
  | readonly [soft: number | 'unlimited', hard: number | 'unlimited']

export interface RunOptions {
  /** `argv[0]` as the helper sees it. Default: the program as it was named. */
  readonly argv0?: string
  /** Working directory. Default: the service's own. */
  readonly cwd?: string | URL
  /** The whole environment; `undefined` values are left out. Default: the service's own. */
  readonly env?: Readonly<Record<string, string | undefined>> | readonly string[]
  /** Written to standard input, which is then closed. Excludes `stdin`. */
  readonly input?: HelperInput
  /** Default `'ignore'`. */
  readonly stdin?: StdinSource
  /** Default `'capture'`. */
  readonly stdout?: OutputTarget
  /** Default `'capture'`. */
  readonly stderr?: OutputTarget
  /** How captured output is given: a text encoding, or `'buffer'` for bytes. Default `'utf8'`. */
  readonly encoding?: BufferEncoding | 'buffer'
  /** Bytes that may be captured from each stream; beyond it the helper is killed and the output so far kept. Default 100 MiB. */
  readonly maxOutput?: number
  /** Milliseconds until the helper is sent `killSignal`. Default: none. */
  readonly timeout?: number
  /** Sent on timeout, abort and `kill()`. Default `'SIGTERM'`. */
  readonly killSignal?: NodeJS.Signals | number
  /** Milliseconds from `killSignal` to SIGKILL; `false`: never. Default 5000. */
  readonly forceKillAfter?: number | false
  /** Aborting it kills the helper, or withdraws it if it has not started. */
  readonly signal?: AbortSignal
  /**
   * The user that it runs as, by number or by its name in /etc/passwd. Another user's helper has no capabilities, a
   * session and a session keyring of its own, and opens its files itself.
   */
  readonly uid?: number | string
  /**
   * Its group, by number or by its name in /etc/group. With a user by name, default: that user's; with another user by
   * number it must be given, `'keep'` for the service's own.
   */
  readonly gid?: number | string
  /** Its supplementary groups. Default: a named user's own; none for one by number, or with `gid`; else the service's. */
  readonly groups?: readonly (number | string)[]
  /** Another user's helper stays in the service's session, with its terminal. Default `false`. */
  readonly terminal?: boolean
  /** Its file creation mask, from 0 to 0o777. Default: the service's. */
  readonly umask?: number
  /** Its niceness, from -20 to 19. Default: the service's. */
  readonly nice?: number
  /** Its programs gain no rights from setuid bits and file capabilities. */
  readonly noNewPrivs?: boolean
  /** Its resource limits. Default: the service's. */
  readonly rlimits?: Readonly<Partial<Record<Rlimit, ResourceLimit>>>
  /** The processors that it may run on. Default: the service's. */
  readonly affinity?: readonly number[]
  /**
   * Secrets for the helper: files in the folder that `$CREDENTIALS_DIRECTORY` names, as systemd has it, and where Linux
   * has keyrings a session keyring of its own that holds them, too.
   */
  readonly keys?: Keyring
  /**
   * Texts that an error does not show: each occurrence in its `argv`, `path`, `cwd` and message is `[redacted]`. Secrets
   * of `keys` need not be given: those of 4 bytes or more are taken out anyway. What the helper has written is left as
   * it is.
   */
  readonly redact?: readonly string[]
  /** A session of its own, and not killed with the service. Default `false`: a process group of its own. */
  readonly detached?: boolean
  /** `false`: resolve whatever became of the helper. Default `true`: reject unless it exits with 0. */
  readonly reject?: boolean
  /** `UMH_WAIT_PROC` (default), `UMH_WAIT_EXEC` or `UMH_NO_WAIT`. */
  readonly wait?: WaitMode
}

/** What the helper used, as `wait4(2)` tells. Times in microseconds, sizes in KiB. `null` where the platform does not say. */
export interface Rusage {
  readonly userCPUTime: number
  readonly systemCPUTime: number
  /** Never below the service's own peak at the time of the launch: the helper shared its memory until exec. */
  readonly maxRSS: number
  readonly minorPageFault: number
  readonly majorPageFault: number
  readonly fsRead: number
  readonly fsWrite: number
  readonly voluntaryContextSwitches: number
  readonly involuntaryContextSwitches: number
}

export interface RunResult<Output = string> {
  /** In the kernel's language: 0, `-errno` if user code never ran, else the raw wait status. */
  readonly retval: number
  /** `null` if the helper was killed by a signal, never ran, or was not waited for. */
  readonly exitCode: number | null
  readonly signalCode: NodeJS.Signals | null
  /** The captured output; empty where it was not captured. */
  readonly stdout: Output
  readonly stderr: Output
  /** `undefined` if no process was started, and for in-thread helpers. */
  readonly pid: number | undefined
  readonly rusage: Rusage | null
  /** The helper was killed because `timeout` ran out. */
  readonly timedOut: boolean
  /** The helper was killed or withdrawn because `signal` was aborted. */
  readonly aborted: boolean
  /** The helper was killed because it wrote more than `maxOutput`. */
  readonly outputTruncated: boolean
  /** Milliseconds from the call to its end. */
  readonly duration: number
}

/** Whom `kill` is for, and with what. */
export interface KillOptions {
  /** Default: the `killSignal` of the call. */
  readonly signal?: NodeJS.Signals | number
  /** All descendants, whatever they have left. Default `false`: the process group. */
  readonly tree?: boolean
}

/** A helper on its way: await it for the result. */
export interface Helper<Output = string> extends Promise<RunResult<Output>> {
  /** The process id. Reading it before the exec waits for the exec; `undefined` if that failed. */
  readonly pid: number | undefined
  /** With `stdin: 'pipe'`. */
  readonly stdin: Writable | null
  /** With `stdout: 'pipe'`. */
  readonly stdout: Readable | null
  /** With `stderr: 'pipe'`. */
  readonly stderr: Readable | null
  /**
   * Signals the helper's whole process group, or with `{ tree: true }` all its descendants, those included that have
   * left the group, the session or their parents.
   * @param signal default: the `killSignal` of the call
   * @returns whether there was something left to signal
   */
  kill(signal?: NodeJS.Signals | number | KillOptions): boolean
}
