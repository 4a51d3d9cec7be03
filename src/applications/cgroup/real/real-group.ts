/**
 * One group of the system's: its folders, who is in it, and its end.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SystemError } from '../../../kernel/errors.js'
import type { Limits } from '../limits.js'
import type { Controller, RealKind } from '../types.js'
import { folders } from './left-overs.js'
import { read } from './roots.js'

/** A group's folder in one hierarchy, and the one that its helpers are in. */
export interface Place {
  readonly kind: RealKind
  readonly folder: string
  readonly join: string
}

interface RealGroupParts {
  readonly limits: Limits
  readonly parent: RealGroup | undefined
  /** One at least. */
  readonly places: readonly Place[]
  /** The controllers of v1 that it and all groups below it are in. */
  readonly v1: ReadonlySet<Controller>
  /** Where its memory is counted. */
  readonly memoryPlace: Place | undefined
  /** Its folder in every hierarchy: it may be the passage to that of a group below it. */
  readonly everywhere: readonly string[]
}

/** Looks in a row, and milliseconds between rows: what is killed ends at once, unless the system holds it. */
const LOOKS = 64
const LOOK_MS = 2
const PATIENCE_MS = 5_000

export class RealGroup {
  readonly #parts: RealGroupParts

  constructor(parts: RealGroupParts) {
    this.#parts = parts
  }

  get kind(): RealKind {
    return this.#parts.places.some(({ kind }) => kind === 'v1') ? 'v1' : 'v2'
  }

  get limits(): Limits {
    return this.#parts.limits
  }

  get parent(): RealGroup | undefined {
    return this.#parts.parent
  }

  get v1(): ReadonlySet<Controller> {
    return this.#parts.v1
  }

  /** What a process writes itself into to be in the group. */
  get entrances(): string[] {
    return this.#parts.places.map(({ join: folder }) => join(folder, 'cgroup.procs'))
  }

  /** Where it and the groups above it are limited in memory, the nearest first. */
  get memoryLimits(): RealGroup[] {
    const above = this.parent?.memoryLimits ?? []
    return this.limits.memory === undefined ? above : [this, ...above]
  }

  /**
   * Processes that were killed for memory: in v1 of this group, in v2 of all below the nearest limit, and there for
   * that limit or another.
   */
  get oomKills(): number {
    const place = this.#parts.memoryPlace
    if (place?.kind === 'v1') return counter(join(place.folder, 'memory.oom_control'), 'oom_kill')
    const [limited] = this.memoryLimits
    const events = limited?.memoryEvents
    return events === undefined ? 0 : counter(events, 'oom_kill')
  }

  /** The group whose `oomKills` are told: in v1 it alone, in v2 the nearest with a limit, with all below it. */
  get countsOomKills(): RealGroup {
    return this.#parts.memoryPlace?.kind === 'v1' ? this : (this.memoryLimits[0] ?? this)
  }

  /** Where v2 counts what came of its limit. */
  get memoryEvents(): string | undefined {
    const place = this.#parts.memoryPlace
    return place === undefined ? undefined : join(place.folder, 'memory.events')
  }

  /** How often its own memory limit stood in the way. */
  get memoryHits(): number {
    const place = this.#parts.memoryPlace
    if (place === undefined) return 0
    if (place.kind === 'v2') return counter(`${this.memoryEvents}.local`, 'oom')
    // Where swap is counted, it is the limit of both together that is met.
    const failures = (name: string) => Number(read(join(place.folder, name)))
    return failures('memory.failcnt') + failures('memory.memsw.failcnt')
  }

  /**
   * Kills all that is in it and below it.
   * @throws SystemError EBUSY if something cannot be killed
   */
  async kill(): Promise<void> {
    const [place] = this.#parts.places
    if (place === undefined) return
    const switchFile = join(place.folder, 'cgroup.kill')
    const atOnce = place.kind === 'v2' && existsSync(switchFile)
    const before = new Set(processesBelow(place.folder))
    if (atOnce) writeFileSync(switchFile, '1')
    const deadline = Date.now() + PATIENCE_MS
    for (let look = 1; ; look += 1) {
      const left = processesBelow(place.folder)
      if (atOnce ? !left.some(pid => before.has(pid)) : left.length === 0) return
      if (!atOnce) for (const pid of left) killProcess(pid)
      if (Date.now() > deadline) {
        throw new SystemError('EBUSY', `killed and still there: ${left.join(', ')} in ${place.folder}`, {
          syscall: 'kill',
          path: place.folder,
        })
      }
      if (atOnce || look % LOOKS === 0) await sleep(LOOK_MS)
    }
  }

  /**
   * Removes its folders, all or none of them.
   * @throws what the system says: EBUSY, if something runs in it
   */
  remove(): void {
    const { places, everywhere } = this.#parts
    const removed: string[] = []
    try {
      const inner = places.map(({ join: folder }) => folder)
      for (const folder of new Set([...inner, ...everywhere])) {
        if (!existsSync(folder)) continue
        rmdirSync(folder)
        removed.push(folder)
      }
    } catch (error) {
      for (const folder of removed.reverse()) mkdirSync(folder)
      throw error
    }
  }
}

function counter(file: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(read(file))?.[1] ?? 0)
}

/** Processes of another pid namespace are shown as 0. */
function processesBelow(folder: string): number[] {
  const own = read(join(folder, 'cgroup.procs')).split('\n').map(Number).filter(Boolean)
  return [...own, ...folders(folder).flatMap(name => processesBelow(join(folder, name)))]
}

/** The pid was read a moment ago; v1 has nothing better, and Node no pidfd. */
function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
