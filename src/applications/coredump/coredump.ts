/**
 * Reports of what died in a service, to the file or the program that kernel.core_pattern names; do_coredump of Linux
 * 6.17, fs/coredump.c. A dump that cannot be made changes nothing: what died has died, and nothing is thrown.
 */
import { channel } from 'node:diagnostics_channel'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SystemError, wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import type { KhelperDeath, ThrownHelper } from '../../kernel/supervisor.js'
import { perKernel } from '../per-kernel.js'
import { writeCore } from './core-file.js'
import { pipeCore, pipeCoreSync } from './core-pipe.js'
import { type CheckedDeath, checkDeath, checkLongest, type Death, SIGABRT } from './death.js'
import { factsOf } from './facts.js'
import { type CoreTarget, expandPattern } from './pattern.js'
import { diagnosticReport, reportBytes } from './report.js'

/** What became of a dump. */
export interface CoreDump {
  readonly dumped: boolean
  /** What stood in the way: a SystemError, or the error of the file system. */
  readonly error: Error | undefined
  /** The file, or the program with its arguments; `undefined` if the pattern names none. */
  readonly path: string | undefined
  readonly argv: readonly string[] | undefined
  readonly comm: string
  readonly pid: number
  readonly tid: number
  readonly signal: number
}

export interface CoredumpOptions {
  /**
   * Milliseconds that the end of the service, or of the kernel by `shutdown()`, waits for a dump: until its program has
   * been started, has read it and, where kernel.core_pipe_limit is not 0, has ended. Default 10 000.
   */
  readonly longest?: number | undefined
}

/** Signals that end with a core dump unless they are handled: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS. */
const CORE_SIGNALS: ReadonlySet<number | undefined> = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31])
const HANDLER_LIMIT = 1n
const DEFAULT_LONGEST_MS = 10_000
/** setTimeout takes no more. */
const LONGEST_MS = 2 ** 31 - 1
/** The channel of node:diagnostics_channel on which every dump is published, as a `CoreDump`. */
const published = channel('khelper:coredump')

export class Coredump {
  readonly #kernel: Kernel
  /** Those that are being dumped: by pid and tid, or each for itself where the kernel has told of it. */
  readonly #dumping = new Set<unknown>()
  /** Programs that read a dump at this moment: what dies of them is not dumped. */
  readonly #handlers = new Map<string, number>()
  /** Aborted when a shutdown has waited long enough for dumps. */
  readonly #late = new AbortController()
  #longest = DEFAULT_LONGEST_MS
  /** Dumps that are counted against kernel.core_pipe_limit. */
  #piped = 0

  /** @internal See `coredump`. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel
    kernel.onKhelperDeath(death => this.#khelperDied(death))
    kernel.onThrown(thrown => this.#helperThrew(thrown))
    kernel.onShutdown(() => {
      setTimeout(() => this.#late.abort(), Math.min(LONGEST_MS, this.#longest)).unref()
    })
  }

  /** @internal See `coredump`. */
  configure(options: CoredumpOptions): void {
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    const { longest } = options
    if (longest === undefined) return
    checkLongest(longest)
    this.#longest = longest
  }

  /**
   * Dumps a report of something that has died (do_coredump).
   * @returns never rejects for what stands in the way of the dump: EBUSY while the same thing is being dumped, EAGAIN
   *   beyond kernel.core_pipe_limit, EPERM with an RLIMIT_CORE of 1, EINVAL and EOPNOTSUPP for a pattern that names nothing, else what the exec, the
   *   open or the write failed with
   * @throws TypeError, RangeError for arguments that cannot be
   */
  dumpReport(death: Death): Promise<CoreDump> {
    const checked = checkDeath(death)
    return this.#dump(checked, keyOf(checked))
  }

  async #dump(death: CheckedDeath, key: unknown): Promise<CoreDump> {
    // A shutdown waits for it.
    const done = this.#kernel.hold()
    try {
      return await this.#around(death, key, async (target, waits) => {
        const bytes = bytesOf(death)
        if (target.kind === 'pipe') await pipeCore(this.#kernel, target.argv, bytes, waits, this.#late.signal)
        else writeCore(target.path, bytes)
      })
    } finally {
      done()
    }
  }

  /** The same, but blocks this thread, and its event loop. @param longest see `onUncaughtException` */
  dumpReportSync(death: Death, longest: number = this.#longest): CoreDump {
    const checked = checkDeath(death)
    checkLongest(longest)
    let failed: Error | undefined
    const begun = this.#begin(checked, keyOf(checked))
    try {
      const { target } = begun
      if (target?.kind === 'pipe') {
        pipeCoreSync(this.#kernel, target.argv, bytesOf(checked), begun.waits, longest)
      } else if (target !== undefined) writeCore(target.path, bytesOf(checked))
    } catch (error) {
      failed = asError(error)
    }
    return begun.end(failed)
  }

  /**
   * Has the service's own end by an uncaught exception or rejection dumped before it dies. One that the service handles
   * is not its end.
   * @param options `longest`: milliseconds until the program has to be started and, where kernel.core_pipe_limit is not
   *   0, to have ended; the service dies then without a dump. Default: that of the room
   * @returns takes it back
   */
  onUncaughtException({ longest = this.#longest }: CoredumpOptions = {}): () => void {
    checkLongest(longest)
    const listen = (error: unknown) => {
      // The monitor hears of each, before whoever handles it.
      if (process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback())
        return
      const report = () => diagnosticReport(error instanceof Error ? error : new Error(String(error)))
      this.dumpReportSync({ comm: basename(process.argv[1] ?? 'node'), report }, longest)
    }
    process.on('uncaughtExceptionMonitor', listen)
    return () => process.off('uncaughtExceptionMonitor', listen)
  }

  /** What ends by itself, or by a signal that asks it to, is not dumped. */
  #khelperDied({ khelper, threadId, reason, error, signal, helper }: KhelperDeath): void {
    if (reason !== 'error' && !CORE_SIGNALS.has(signal)) return
    if (helper !== undefined && this.#handlers.has(helper)) return
    const exe = helper?.startsWith('file:') ? fileURLToPath(helper) : (helper ?? process.execPath)
    const comm = helper === undefined ? `khelper/${khelper}` : basename(exe)
    this.#tidDied(threadId, { comm, exe, signal: signal ?? SIGABRT, report: () => diagnosticReport(error) })
  }

  /** Its thread goes on; the helper is what has died. */
  #helperThrew({ threadId, error, helper }: ThrownHelper): void {
    const exe = fileURLToPath(helper)
    this.#tidDied(threadId, { comm: basename(exe), exe, report: () => diagnosticReport(error) })
  }

  /** Each is a death of its own, even where a thread has had another. */
  #tidDied(tid: number, death: Death): void {
    void this.#dump(checkDeath({ ...death, tid }), Symbol(death.comm))
  }

  async #around(
    death: CheckedDeath,
    key: unknown,
    dump: (target: Nameable, waits: boolean) => Promise<void>,
  ): Promise<CoreDump> {
    const begun = this.#begin(death, key)
    let failed: Error | undefined
    try {
      if (begun.target !== undefined) await dump(begun.target, begun.waits)
    } catch (error) {
      failed = asError(error)
    }
    return begun.end(failed)
  }

  /** Everything before the first byte: whether there is to be a dump at all, and where to. */
  #begin(death: CheckedDeath, key: unknown) {
    const twice = this.#dumping.has(key)
    this.#dumping.add(key)
    const facts = factsOf(death)
    const target = expandPattern(
      readSysctl(this.#kernel, 'kernel/core_pattern'),
      facts,
      readSysctl(this.#kernel, 'kernel/core_uses_pid') !== '0',
    )
    const limit = Number(readSysctl(this.#kernel, 'kernel/core_pipe_limit'))
    const piped = target.kind === 'pipe' && !twice
    if (piped) this.#piped += 1
    const refused = twice
      ? refusal('EBUSY', 'it is being dumped already')
      : piped && limit !== 0 && this.#piped > limit
        ? refusal('EAGAIN', `${limit} are being dumped, more than kernel.core_pipe_limit allows are not`)
        : refusalOf(target, facts.limit)
    const handler = target.kind === 'pipe' ? target.argv[0] : undefined
    this.#enter(handler, 1)
    const end = (failed: Error | undefined): CoreDump => {
      this.#enter(handler, -1)
      if (piped) this.#piped -= 1
      if (!twice) this.#dumping.delete(key)
      const error = refused ?? failed
      const { comm, pid, tid, signal } = death
      const dump = {
        dumped: error === undefined,
        error,
        path: target.kind === 'file' ? target.path : undefined,
        argv: target.kind === 'pipe' ? target.argv : undefined,
        ...{ comm, pid, tid, signal },
      }
      if (published.hasSubscribers) published.publish(dump)
      return dump
    }
    return { target: refused === undefined ? (target as Nameable) : undefined, waits: limit !== 0, end }
  }

  #enter(handler: string | undefined, by: 1 | -1): void {
    if (handler === undefined) return
    const count = (this.#handlers.get(handler) ?? 0) + by
    if (count === 0) this.#handlers.delete(handler)
    else this.#handlers.set(handler, count)
  }
}

type Nameable = Extract<CoreTarget, { readonly kind: 'file' | 'pipe' }>

const keyOf = ({ pid, tid }: CheckedDeath): string => `${pid}/${tid}`

const rooms = perKernel(kernel => new Coredump(kernel))

/**
 * Reports of what dies in a kernel's service; from the first call on also of its in-thread helpers and khelper threads.
 * @param options stay as they are where none are given
 */
export function coredump(kernel: Kernel, options: CoredumpOptions = {}): Coredump {
  const room = rooms(kernel)
  room.configure(options)
  return room
}

const refusal = (code: 'EBUSY' | 'EAGAIN' | 'EINVAL' | 'EOPNOTSUPP' | 'ENOENT' | 'EPERM', what: string) =>
  new SystemError(code, `no dump: ${what}`, { syscall: 'do_coredump' })

function refusalOf(target: CoreTarget, limit: bigint): SystemError | undefined {
  if (target.kind === 'invalid') return refusal('EINVAL', 'kernel.core_pattern has a | and no program')
  if (target.kind === 'socket') {
    return refusal('EOPNOTSUPP', 'kernel.core_pattern names a socket; name a file or, behind a |, a program')
  }
  if (target.kind === 'pipe' && limit === HANDLER_LIMIT) {
    return refusal('EPERM', 'RLIMIT_CORE is 1, which is the mark of a program that reads dumps itself')
  }
  if (target.kind === 'pipe' && target.argv[0] === '') {
    return refusal('ENOENT', 'the program of kernel.core_pattern has no name')
  }
  if (target.kind === 'pipe' && !target.argv[0]?.startsWith('/')) {
    return refusal(
      'EINVAL',
      `kernel.core_pattern must give its program by an absolute path: ${target.argv[0]}`,
    )
  }
  return undefined
}

function bytesOf({ report }: CheckedDeath): Uint8Array {
  return reportBytes(report())
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
