/**
 * The steps of one run and what orders them: two steps of different threads depend on each other if they are at the same
 * word and one of them is no plain load. Runs whose dependent steps have the same order come to the same.
 */
import type { Operation } from '../operations.js'
import type { Run } from '../run.js'

/** What of a step other steps may depend on. */
export interface Access {
  readonly address: number
  readonly reads: boolean
  /** A time that runs out: it may, or may not, according to who else can go on, and how often one has already. */
  readonly late: boolean
}

export interface Event {
  readonly thread: number
  readonly access: Access
  /** For each thread the last of its events that comes before this one in every order of the same class. */
  readonly clock: readonly number[]
}

const NOWHERE = -1

export const accessOf = (operation: Operation, run: Run): Access => ({
  // What woke a sleeper has ordered it; that it goes on is seen by nobody.
  address: operation.kind === 'wake' ? NOWHERE : run.addressOf(operation),
  reads: operation.reads,
  late: operation.kind === 'timeout',
})

export const depend = (a: Access, b: Access): boolean =>
  (a.late && b.late) || (a.address === b.address && a.address !== NOWHERE && !(a.reads && b.reads))

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
  readonly #byAddress = new Map<number, number[]>()
  readonly #late: number[] = []

  /**
   * Takes in the step that a run has just made.
   * @returns earlier steps that it depends on, and that nothing else orders before it: the order could be the other
   */
  add(thread: number, operation: Operation, run: Run): readonly number[] {
    const access = accessOf(operation, run)
    const at = this.events.length
    let clock = this.#clocks[thread] ?? []
    const races: number[] = []
    const list = this.#earlier(access)
    for (let index = list.length - 1; index >= 0; index -= 1) {
      const before = list[index] ?? -1
      const event = this.events[before]
      if (event === undefined || !depend(event.access, access)) continue
      // Ordered already, by way of another event: not a race.
      if ((clock[event.thread] ?? -1) >= before) continue
      if (event.thread !== thread) races.push(before)
      clock = latest(clock, event.clock)
    }
    const own = [...clock]
    own[thread] = at
    this.#clocks[thread] = own
    this.events.push({ thread, access, clock: own })
    for (const { thread: woken, by } of run.woken) {
      this.#clocks[woken] = latest(this.#clocks[woken] ?? [], this.events[by]?.clock ?? [])
    }
    if (access.late) this.#late.push(at)
    if (access.address === NOWHERE) return races
    const there = this.#byAddress.get(access.address)
    if (there === undefined) this.#byAddress.set(access.address, [at])
    else there.push(at)
    return races
  }

  /** The events that an access may depend on, in their order. */
  #earlier(access: Access): readonly number[] {
    const list = this.#byAddress.get(access.address) ?? []
    if (!access.late || this.#late.length === 0) return list
    return [...new Set([...list, ...this.#late])].sort((a, b) => a - b)
  }
}
