/**
 * The schedules with at most so many preemptions, depth first: most bugs need no more than two (Musuvathi, Qadeer:
 * "Iterative Context Bounding", PLDI 2007). A switch is a preemption if the thread could have gone on. How often a time
 * runs out although others could go on has a bound of its own (`RunLimits.timeouts`).
 *
 * Of schedules that differ only in the order of independent steps one is enough, but it has to be within the bound: when
 * two steps turn out to race, the second's thread is put down to be tried before the first, and also where the first's
 * thread was switched to, since to let it go first there may cost no preemption (Coons, Musuvathi, McKinley: "Bounded
 * Partial-Order Reduction", OOPSLA 2013). Sleep sets are left out, because what sleeps may have been seen at a higher
 * price only.
 */
import type { Run } from '../run.js'
import type { Strategy } from './strategy.js'
import { type Access, accessOf, Trace, tryThere } from './trace.js'

interface Node {
  readonly enabled: readonly number[]
  /** For each thread that is enabled: 1 if choosing it is a preemption. */
  readonly costs: ReadonlyMap<number, number>
  /** Preemptions before this one. */
  readonly spent: number
  readonly backtrack: Set<number>
  readonly done: Set<number>
  chosen: number
  /** What that thread does. */
  access: Access | undefined
}

export class BoundedStrategy implements Strategy {
  readonly exhaustive = true
  readonly #bound: number
  #path: Node[] = []
  #depth = 0
  #trace = new Trace()
  #started = false
  /** Every thread is tried everywhere. */
  #all: boolean
  /** These schedules were begun with a reduction that cannot be made here. */
  #stale = false

  /** @param reduce `false`: every schedule within the bound */
  constructor(bound: number, reduce = true) {
    this.#bound = bound
    this.#all = !reduce
  }

  begin(): boolean {
    this.#depth = 0
    this.#trace = new Trace()
    if (!this.#started || this.#stale) {
      this.#started = true
      this.#stale = false
      this.#path = []
      return true
    }
    for (;;) {
      const last = this.#path.at(-1)
      if (last === undefined) return false
      const next = this.#cheapest(last)
      if (next !== undefined) {
        last.chosen = next
        last.done.add(next)
        return true
      }
      this.#path.pop()
    }
  }

  /** Of what is left to be tried at a point, within the bound. */
  #cheapest({ backtrack, costs, spent, done }: Node): number | undefined {
    const costOf = (thread: number) => costs.get(thread) ?? 0
    return [...backtrack]
      .filter(thread => !done.has(thread) && spent + costOf(thread) <= this.#bound)
      .sort((a, b) => costOf(a) - costOf(b) || a - b)[0]
  }

  choose(enabled: readonly number[], previous: number, run: Run): number {
    const node = this.#path[this.#depth] ?? this.#newNode(enabled, previous, run)
    this.#depth += 1
    if (!this.#all) node.access = accessOf(node.chosen, run)
    return node.chosen
  }

  #newNode(enabled: readonly number[], previous: number, run: Run): Node {
    const before = this.#path[this.#depth - 1]
    const goesOn = enabled.includes(previous) && !run.isTimeout(previous)
    const late = enabled.filter(thread => run.isTimeout(thread))
    const node: Node = {
      enabled,
      costs: new Map(enabled.map(thread => [thread, Number(goesOn && thread !== previous)])),
      spent: before === undefined ? 0 : before.spent + (before.costs.get(before.chosen) ?? 0),
      // Nothing that another thread does makes a time run out: that it may is a choice by itself.
      backtrack: new Set(this.#all ? enabled : late),
      done: new Set(),
      chosen: -1,
      access: undefined,
    }
    // A time that runs out is put off: first what can be done without.
    const first = enabled.find(thread => !late.includes(thread)) ?? enabled[0] ?? -1
    node.chosen = goesOn ? previous : first
    node.done.add(node.chosen)
    this.#path.push(node)
    return node
  }

  stepped(thread: number, run: Run): void {
    if (this.#all) return
    if (run.glued !== undefined) {
      // Words were touched without a step of their own: a step may be at more of them than its operation says.
      this.#all = true
      this.#stale = true
      return
    }
    const access = this.#path[this.#depth - 1]?.access
    if (access === undefined) return
    for (const before of this.#trace.add(access, run)) this.#tryBefore(before, thread)
  }

  /** Puts a thread down to be tried before an event, and at every start of the steps in a row that the event is among. */
  #tryBefore(event: number, thread: number): void {
    const { events } = this.#trace
    const mover = events[event]?.access.thread
    tryThere(this.#path[event], thread)
    for (let at = event; at >= 0 && events[at]?.access.thread === mover; at -= 1) {
      const starts = events[at - 1]?.access.thread !== mover || events[at]?.access.late
      if (starts) tryThere(this.#path[at], thread)
    }
  }
}
