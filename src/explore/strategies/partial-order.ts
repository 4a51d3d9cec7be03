/**
 * Every schedule that could make a difference: dynamic partial-order reduction with source sets and sleep sets (Abdulla,
 * Aronis, Jonsson, Sagonas: "Optimal Dynamic Partial Order Reduction", POPL 2014).
 *
 * Schedules that differ only in the order of independent steps come to the same; of each such class at least one is
 * seen. When a step turns out to depend on an earlier one that nothing orders before it, the other order is put down to be
 * tried at the point before that earlier step.
 */
import type { Run } from '../run.js'
import type { Strategy } from './strategy.js'
import { type Access, accessOf, depend, Trace, tryThere } from './trace.js'

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

export class PartialOrderStrategy implements Strategy {
  readonly exhaustive = true
  readonly #path: Node[] = []
  #depth = 0
  #started = false
  #trace = new Trace()

  begin(): boolean {
    this.#depth = 0
    this.#trace = new Trace()
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
      const accesses = new Map(enabled.map(thread => [thread, accessOf(thread, run)] as const))
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
    const access = this.#path[this.#depth - 1]?.accesses.get(thread)
    if (access === undefined) return
    const at = this.#trace.events.length
    for (const before of this.#trace.add(access, run)) this.#reverse(before, at)
  }

  /**
   * Puts the other order of two events down to be tried. What stands between them and does not come after the first has
   * to be done before the second, so any thread that could begin with that will do.
   */
  #reverse(first: number, second: number): void {
    const { events } = this.#trace
    const node = this.#path[first]
    const moved = events[first]
    if (node === undefined || moved === undefined) return
    const prefix: number[] = []
    const initials: number[] = []
    for (let at = first + 1; at <= second; at += 1) {
      const event = events[at]
      if (event === undefined) continue
      if (at !== second && (event.clock[moved.access.thread] ?? -1) >= first) continue
      const follows = prefix.some(other => {
        const before = events[other]
        return before !== undefined && (event.clock[before.access.thread] ?? -1) >= other
      })
      if (!follows) initials.push(event.access.thread)
      prefix.push(at)
    }
    if (initials.some(thread => node.backtrack.has(thread))) return
    tryThere(
      node,
      initials.find(thread => node.enabled.includes(thread)),
    )
  }
}
