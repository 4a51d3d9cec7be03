/**
 * Every schedule that could make a difference: dynamic partial-order reduction with source sets and sleep sets (Abdulla,
 * Aronis, Jonsson, Sagonas: "Optimal Dynamic Partial Order Reduction", POPL 2014).
 *
 * Two steps of different threads depend on each other if they are at the same word and one of them is no plain load.
 * Schedules that differ only in the order of independent steps come to the same; of each such class at least one is
 * seen. When a step turns out to depend on an earlier one that nothing orders before it, the other order is put down to be
 * tried at the point before that earlier step.
 */
import type { Operation } from '../operations.js'
import type { Run } from '../run.js'
import type { Strategy } from './strategy.js'

interface Access {
  readonly address: number
  readonly reads: boolean
  /** A time that runs out: it may, or may not, according to who else can go on, and how often one has already. */
  readonly late: boolean
}

interface Node {
  readonly enabled: readonly number[]
  /** What each of them would do. */
  readonly accesses: ReadonlyMap<number, Access>
  readonly backtrack: Set<number>
  readonly done: Set<number>
  /** Whoever would only repeat what was seen from here in another order. */
  readonly sleep: Map<number, Access>
  chosen: number
}

interface Event {
  readonly thread: number
  readonly access: Access
  /** For each thread the last of its events that comes before this one in every order of the same class. */
  readonly clock: readonly number[]
}

const accessOf = (operation: Operation, run: Run): Access => ({
  address: operation.kind === 'wake' ? NOWHERE : run.addressOf(operation),
  reads: operation.reads,
  late: operation.kind === 'timeout',
})
const NOWHERE = -1

const depend = (a: Access, b: Access): boolean =>
  (a.late && b.late) || (a.address === b.address && a.address !== NOWHERE && !(a.reads && b.reads))

/** For each thread the later of two events; -1: none yet. */
function latest(a: readonly number[], b: readonly number[]): number[] {
  const clock: number[] = []
  for (let thread = 0; thread < a.length || thread < b.length; thread += 1) {
    clock.push(Math.max(a[thread] ?? -1, b[thread] ?? -1))
  }
  return clock
}

export class PartialOrderStrategy implements Strategy {
  readonly exhaustive = true
  readonly #path: Node[] = []
  #depth = 0
  #started = false
  #events: Event[] = []
  #clocks: number[][] = []
  #byAddress = new Map<number, number[]>()
  #late: number[] = []

  begin(): boolean {
    this.#depth = 0
    this.#events = []
    this.#clocks = []
    this.#byAddress = new Map()
    this.#late = []
    if (!this.#started) {
      this.#started = true
      return true
    }
    for (;;) {
      const last = this.#path.at(-1)
      if (last === undefined) return false
      const access = last.accesses.get(last.chosen)
      if (access !== undefined) last.sleep.set(last.chosen, access)
      const next = [...last.backtrack].find(thread => !last.done.has(thread) && !last.sleep.has(thread))
      if (next !== undefined) {
        last.chosen = next
        last.done.add(next)
        return true
      }
      this.#path.pop()
    }
  }

  choose(enabled: readonly number[], previous: number, run: Run): number {
    let node = this.#path[this.#depth]
    if (node === undefined) {
      const sleep = this.#inheritedSleep()
      const awake = enabled.filter(thread => !sleep.has(thread))
      if (awake.length === 0) return -1
      // A time that runs out is put off: first what can be done without.
      const ready = awake.filter(thread => !run.isTimeout(thread))
      const chosen = ready.includes(previous) ? previous : (ready[0] ?? awake[0] ?? -1)
      const accesses = new Map(enabled.map(thread => [thread, accessOf(run.next(thread), run)] as const))
      const late = awake.filter(thread => run.isTimeout(thread))
      node = {
        enabled,
        accesses,
        // Nothing that another thread does makes a time run out: that it may is a choice by itself.
        backtrack: new Set([chosen, ...late]),
        done: new Set([chosen]),
        sleep,
        chosen,
      }
      this.#path.push(node)
    }
    this.#depth += 1
    return node.chosen
  }

  #inheritedSleep(): Map<number, Access> {
    const before = this.#path[this.#depth - 1]
    const sleep = new Map<number, Access>()
    const made = before?.accesses.get(before.chosen)
    if (before === undefined || made === undefined) return sleep
    for (const [thread, access] of before.sleep) {
      if (thread !== before.chosen && !depend(access, made)) sleep.set(thread, access)
    }
    return sleep
  }

  stepped(thread: number, run: Run): void {
    const step = run.steps.at(-1)
    if (step === undefined) return
    const access = accessOf(step.operation, run)
    const at = this.#events.length
    let clock: number[] = this.#clocks[thread] ?? []
    const races: number[] = []
    const list = this.#earlier(access)
    for (let index = list.length - 1; index >= 0; index -= 1) {
      const before = list[index] ?? -1
      const event = this.#events[before]
      if (event === undefined || !depend(event.access, access)) continue
      // Ordered already, by way of another event: not a race.
      if ((clock[event.thread] ?? -1) >= before) continue
      if (event.thread !== thread) races.push(before)
      clock = latest(clock, event.clock)
    }
    clock = [...clock]
    clock[thread] = at
    this.#clocks[thread] = clock
    this.#events.push({ thread, access, clock })
    for (const before of races) this.#reverse(before, at)
    for (const woken of run.woken) this.#clocks[woken] = latest(this.#clocks[woken] ?? [], clock)
    if (access.late) this.#late.push(at)
    if (access.address === NOWHERE) return
    const there = this.#byAddress.get(access.address)
    if (there === undefined) this.#byAddress.set(access.address, [at])
    else there.push(at)
  }

  /** The events that an access may depend on, in their order. */
  #earlier(access: Access): readonly number[] {
    const list = this.#byAddress.get(access.address) ?? []
    if (!access.late || this.#late.length === 0) return list
    return [...new Set([...list, ...this.#late])].sort((a, b) => a - b)
  }

  /**
   * Puts the other order of two events down to be tried. What stands between them and does not come after the first has
   * to be done before the second, so any thread that could begin with that will do.
   */
  #reverse(first: number, second: number): void {
    const node = this.#path[first]
    const moved = this.#events[first]
    if (node === undefined || moved === undefined) return
    const prefix: number[] = []
    const initials: number[] = []
    for (let at = first + 1; at <= second; at += 1) {
      const event = this.#events[at]
      if (event === undefined) continue
      if (at !== second && (event.clock[moved.thread] ?? -1) >= first) continue
      const follows = prefix.some(other => {
        const before = this.#events[other]
        return before !== undefined && (event.clock[before.thread] ?? -1) >= other
      })
      if (!follows) initials.push(event.thread)
      prefix.push(at)
    }
    if (initials.some(thread => node.backtrack.has(thread))) return
    const next = initials.find(thread => node.enabled.includes(thread))
    if (next !== undefined) node.backtrack.add(next)
    else for (const thread of node.enabled) node.backtrack.add(thread)
  }
}
