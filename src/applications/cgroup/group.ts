/**
 * One control group: its helpers, the groups below it, and what is counted of them.
 */
import { UMH_WAIT_PROC } from '../../kernel/constants.js'
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { checkRedact, redactedCall, secretsOf } from '../../kernel/redaction.js'
import type { Helper, RunOptions } from '../../kernel/run/types.js'
import { type Membership, RunningGroupHelper } from './group-helper.js'
import type { OverLimit } from './group-helper-error.js'
import { type Launch, launchInto } from './launch.js'
import { controllersOf, type Limits, shownBytes } from './limits.js'
import { pathOf } from './paths.js'
import type { RealGroup } from './real/real-group.js'
import type { GroupCounts, GroupHelper, RealKind } from './types.js'

/** What a group is made of, at its creation. */
export interface GroupParts {
  readonly names: readonly string[]
  readonly parent: Group | undefined
  readonly limits: Limits
  readonly notifyOnRelease: boolean
  /** The system's group, or why there is none. */
  readonly real: RealGroup | string
  /** Called when it may have to be told that it is empty. */
  released(group: Group): void
}

export class Group {
  readonly #kernel: Kernel
  readonly #parts: GroupParts
  readonly #helpers = new Set<RunningGroupHelper>()
  /** @internal By their names. */
  readonly children = new Map<string, Group>()
  #notifyOnRelease: boolean
  #dead = false
  #started = 0
  /** In it and in all groups below it, those that have been removed included. */
  #startedBelow = 0
  #failed = 0

  /** @internal `cgroups(kernel).create` makes groups. */
  constructor(kernel: Kernel, parts: GroupParts) {
    this.#kernel = kernel
    this.#parts = parts
    this.#notifyOnRelease = parts.notifyOnRelease
  }

  /** From the root: `/build/worker`. */
  get path(): string {
    return pathOf(this.#parts.names)
  }

  /** The kind of the system's group that the helpers are in; `undefined` where there is none, see `reason`. */
  get real(): RealKind | undefined {
    const { real } = this.#parts
    return typeof real === 'string' ? undefined : real.kind
  }

  /** Why there is no group of the system's; `undefined` where there is one. */
  get reason(): string | undefined {
    const { real } = this.#parts
    return typeof real === 'string' ? real : undefined
  }

  /** Its own limits: bytes, processes, microseconds. Those of the groups above it hold as well. */
  get limits(): Limits {
    return this.#parts.limits
  }

  /** Whether the release agent is told when the last helper or the last group in it has gone. */
  get notifyOnRelease(): boolean {
    return this.#notifyOnRelease
  }

  set notifyOnRelease(value: boolean) {
    if (typeof value !== 'boolean') throw wrongType('notifyOnRelease', 'of type boolean', value)
    this.#notifyOnRelease = value
  }

  /** The pids of its helpers, not of their descendants; waits for those that are still to be executed. */
  get helpers(): number[] {
    return [...this.#helpers].map(({ pid }) => pid).filter(pid => pid !== undefined)
  }

  get counts(): GroupCounts {
    return {
      running: this.#helpers.size,
      subtree: this.#below().reduce((sum, group) => sum + group.#helpers.size, 0),
      started: this.#started,
      failed: this.#failed,
    }
  }

  /**
   * Runs a program in the group, as `kernel.run` does. It is in the group until it has ended; where the group is a real
   * one, so are its descendants for as long as they live.
   *
   * @returns kernel.run's handle; it rejects with a `GroupHelperError`, whose code is `'ERR_HELPER_OUT_OF_MEMORY'` for a
   *   helper that was killed while its group was over a memory limit. Of several that were killed at that time Linux
   *   does not tell which of them were for memory; a group for each tells them apart
   * @throws SystemError ENODEV if the group has been removed, EOPNOTSUPP for what no real or limited group can do;
   *   TypeError, RangeError for options that cannot be
   */
  run(
    file: string | URL,
    args: readonly string[],
    options: RunOptions & { readonly encoding: 'buffer' },
  ): GroupHelper<Buffer>
  run(
    file: string | URL,
    args?: readonly string[],
    options?: RunOptions & { readonly encoding?: BufferEncoding },
  ): GroupHelper
  run(file: string | URL, args?: readonly string[], options?: RunOptions): GroupHelper<string | Buffer>
  run(
    file: string | URL,
    args: readonly string[] = [],
    options: RunOptions = {},
  ): GroupHelper<string | Buffer> {
    if (this.#dead) {
      throw new SystemError('ENODEV', `the group has been removed: ${this.path}`, {
        syscall: 'write',
        path: this.path,
      })
    }
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    if (typeof options.wait === 'number' && (options.wait & UMH_WAIT_PROC) === 0) {
      throw wrongValue('options.wait', 'must be UMH_WAIT_PROC: a group knows its helpers until they end')
    }
    const { inner, launch } = this.#start(file, args, options)
    const path = file instanceof URL ? file.href : file
    const argv = [options.argv0 ?? path, ...args]
    const secrets = secretsOf(checkRedact(options.redact), options.keys, [path, ...argv])
    const membership: Membership = {
      asked: redactedCall({ path, argv, cwd: undefined }, secrets),
      groupPath: this.path,
      rejects: options.reject ?? true,
      launch,
      outOfMemory: this.#watchMemory(),
      left: failed => this.#left(helper, failed),
    }
    const helper = new RunningGroupHelper(inner, membership)
    this.#helpers.add(helper)
    this.#started += 1
    for (const group of this.#ancestors()) group.#startedBelow += 1
    return helper
  }

  #start(
    file: string | URL,
    args: readonly string[],
    options: RunOptions,
  ): { readonly inner: Helper<string | Buffer>; readonly launch: Launch | undefined } {
    const { real } = this.#parts
    const inThread = file instanceof URL || (typeof file === 'string' && file.startsWith('file:'))
    if (inThread && this.#limited) {
      throw new SystemError(
        'EOPNOTSUPP',
        `an in-thread helper is part of the service, and the limits of ${this.path} cannot hold it`,
        { syscall: 'write', path: this.path },
      )
    }
    if (typeof real === 'string' || inThread) {
      return { inner: this.#kernel.run(file, args, options), launch: undefined }
    }
    if (this.#kernel.libc !== undefined) {
      return { inner: this.#kernel.runIn(real.entrances, file, args, options), launch: undefined }
    }
    const launch = launchInto(real.entrances, file, args, options)
    return { inner: this.#kernel.run(launch.file, launch.args, launch.options), launch }
  }

  get #limited(): boolean {
    return this.#ancestors().some(({ limits }) => controllersOf(limits).length > 0)
  }

  /** Called before a helper is started. @returns tells which limit stood in its way, if a process was killed over one */
  #watchMemory(): () => OverLimit | undefined {
    const { real } = this.#parts
    if (typeof real === 'string') return () => undefined
    const limited = real.memoryLimits
    if (limited.length === 0) return () => undefined
    const kills = real.oomKills
    const counting = this.#ancestors().find(({ limits }) => limits === real.countsOomKills.limits) ?? this
    const before = counting.counts.subtree
    const started = counting.#startedBelow + 1
    const hits = limited.map(group => group.memoryHits)
    return () => {
      if (real.oomKills <= kills) return undefined
      const hit = limited.findIndex((group, index) => group.memoryHits > (hits[index] ?? 0))
      // Newer kernels count no failures for v1: then the narrowest limit is the likeliest.
      const culprit =
        limited[hit] ??
        limited.reduce((narrowest, group) =>
          (group.limits.memory ?? 0) < (narrowest.limits.memory ?? 0) ? group : narrowest,
        )
      const group = this.#ancestors().find(({ limits }) => limits === culprit.limits) ?? this
      const limit = shownBytes(group.limits.memory ?? 0)
      return {
        limit: `over the memory limit of group ${group.path} (memory.max ${limit})`,
        shared: before > 0 || counting.#startedBelow > started,
      }
    }
  }

  /** It and all groups above it. */
  #ancestors(): Group[] {
    const groups: Group[] = []
    for (let group: Group | undefined = this; group !== undefined; group = group.#parts.parent)
      groups.push(group)
    return groups
  }

  /** It and all groups below it. */
  #below(): Group[] {
    return [this, ...[...this.children.values()].flatMap(child => child.#below())]
  }

  #left(helper: RunningGroupHelper, failed: boolean): void {
    this.#helpers.delete(helper)
    if (failed) this.#failed += 1
    if (this.#helpers.size === 0) this.checkRelease()
  }

  /** @internal As cgroup1_check_for_release has it. */
  checkRelease(): void {
    if (this.#dead || !this.#notifyOnRelease) return
    if (this.#helpers.size > 0 || this.children.size > 0) return
    this.#parts.released(this)
  }

  /**
   * Kills all helpers in it and in the groups below it with all their descendants, by SIGKILL (cgroup.kill). Descendants
   * of helpers that have ended are reached where the group is a real one.
   * @returns when all have ended. Descendants are then the system's to reap, by process 1, and until it has done so each
   *   takes one of `pids.max`
   * @throws SystemError EBUSY if something in a real group cannot be killed
   */
  async kill(): Promise<void> {
    const groups = this.#below()
    const helpers = groups.flatMap(group =>
      [...group.#helpers].map(helper => ({ helper, tree: group.real === undefined })),
    )
    // In a real group the helper alone, which may not have entered it yet.
    for (const { helper, tree } of helpers) helper.kill({ signal: 'SIGKILL', tree })
    // The outermost real ones: what is killed there is killed below.
    const outermost = groups.filter(group => group === this || group.#parts.parent?.real === undefined)
    await Promise.all(outermost.map(group => group.#killReal()))
    await Promise.allSettled(helpers.map(({ helper }) => helper))
  }

  async #killReal(): Promise<void> {
    const { real } = this.#parts
    if (typeof real !== 'string') await real.kill()
  }

  /** @internal What has to be awaited before its kernel is shut down. */
  get running(): readonly Promise<unknown>[] {
    return [...this.#helpers]
  }

  /**
   * @internal
   * @throws SystemError EBUSY
   */
  remove(): void {
    const busy = (what: string, cause?: unknown) =>
      new SystemError('EBUSY', `${what}: ${this.path}`, { syscall: 'rmdir', path: this.path, cause })
    if (this.#helpers.size > 0) throw busy('helpers run in the group')
    if (this.children.size > 0) throw busy('there are groups in the group')
    const { real, names, parent } = this.#parts
    if (typeof real !== 'string') {
      try {
        real.remove()
      } catch (cause) {
        throw busy('descendants of its helpers run in the group; kill() ends them', cause)
      }
    }
    this.#dead = true
    parent?.children.delete(names.at(-1) ?? '')
    parent?.checkRelease()
  }
}
