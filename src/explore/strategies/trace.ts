/**
 * The steps of one run and what orders them: two steps of different threads depend on each other if they are at the same
 * bytes and one of them is no plain load, or if one gives the other's event loop something to do. Runs whose dependent
 * steps have the same order come to the same.
 */
import { cellOf, overlap } from '../operations.js'
import type { Run } from '../run.js'

/** A step, as far as other steps may depend on it. */
export interface Access {
  readonly thread: number
  readonly address: number
  readonly bytes: number
  readonly reads: boolean
  /** A time that runs out: it may, or may not, according to who else can go on, and how often one has already. */
  readonly late: boolean
  /** Threads whose event loops learn of it: when they do decides what they do next. */
  readonly tells: readonly number[]
}

export interface Event {
  readonly access: Access
  /** For each thread the last of its events that comes before this one in every order of the same class. */
  readonly clock: readonly number[]
}

const NOWHERE = -1

/** What a thread's next step is. */
export function accessOf(thread: number, run: Run): Access {
  const operation = run.next(thread)
  // What woke a sleeper has ordered it; that it goes on is seen by nobody.
  const view = operation.kind === 'wake' ? undefined : operation.view
  return {
    thread,
    address: view === undefined ? NOWHERE : run.addressOf(operation),
    bytes: view?.BYTES_PER_ELEMENT ?? 0,
    reads: operation.reads,
    late: operation.kind === 'timeout',
    tells: run.listenersOf(operation),
  }
}

export const depend = (a: Access, b: Access): boolean =>
  (a.late && b.late) ||
  (overlap(a, b) && !(a.reads && b.reads)) ||
  a.tells.includes(b.thread) ||
  b.tells.includes(a.thread) ||
  a.tells.some(thread => b.tells.includes(thread))

/** For each thread the later of two events; -1: none yet. */
function latest(a: readonly number[], b: readonly number[]): number[] {
  const clock: number[] = []
  for (let thread = 0; thread < a.length || thread < b.length; thread += 1) {
    clock.push(Math.max(a[thread] ?? -1, b[thread] ?? -1))
  }
  return clock
}

export class Trace {
  readonly events: Event[] = []
  readonly #clocks: (readonly number[])[] = []
  /** By the eight bytes that they are in. */
  readonly #byCell = new Map<number, number[]>()
  readonly #late: number[] = []
  /** Steps that some event loop has learnt of. */
  readonly #telling: number[] = []

  /**
   * Takes in the step that a run has just made.
   * @returns earlier steps that it depends on, and that nothing else orders before it: the order could be the other
   */
  add(access: Access, run: Run): readonly number[] {
    const { thread } = access
    const at = this.events.length
    let clock = this.#clocks[thread] ?? []
    const races: number[] = []
    const list = this.#earlier(access)
    for (let index = list.length - 1; index >= 0; index -= 1) {
      const before = list[index] ?? -1
      const event = this.events[before]
      if (event === undefined || !depend(event.access, access)) continue
      // Ordered already, by way of another event: not a race.
      if ((clock[event.access.thread] ?? -1) >= before) continue
      if (event.access.thread !== thread) races.push(before)
      clock = latest(clock, event.clock)
    }
    const own = [...clock]
    own[thread] = at
    this.#clocks[thread] = own
    this.events.push({ access, clock: own })
    for (const { thread: woken, by } of run.woken) {
      this.#clocks[woken] = latest(this.#clocks[woken] ?? [], this.events[by]?.clock ?? [])
    }
    if (access.late) this.#late.push(at)
    if (access.tells.length > 0) this.#telling.push(at)
    if (access.address === NOWHERE) return races
    const cell = cellOf(access.address)
    const there = this.#byCell.get(cell)
    if (there === undefined) this.#byCell.set(cell, [at])
    else there.push(at)
    return races
  }

  /** The events that an access may depend on, in their order. */
  #earlier({ address, late, tells }: Access): readonly number[] {
    const list = this.#byCell.get(cellOf(address)) ?? []
    // Of a thread that is told something the last step is enough: the others come before that.
    const told = tells.map(thread => this.#clocks[thread]?.[thread] ?? -1).filter(at => at >= 0)
    const more = [...(late ? this.#late : []), ...this.#telling, ...told]
    return more.length === 0 ? list : [...new Set([...list, ...more])].sort((a, b) => a - b)
  }
}

/** A point of a schedule, and whoever is to be tried there. */
interface Choice {
  readonly enabled: readonly number[]
  readonly backtrack: Set<number>
}

/** Puts a thread down to be tried at a point, or all of them if it could not make a step there. */
export function tryThere(choice: Choice | undefined, thread: number | undefined): void {
  if (choice === undefined) return
  const { enabled, backtrack } = choice
  if (thread !== undefined && enabled.includes(thread)) backtrack.add(thread)
  else for (const other of enabled) backtrack.add(other)
}
