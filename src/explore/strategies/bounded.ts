/**
 * Every schedule with at most so many preemptions, depth first: most bugs need no more than two (Musuvathi, Qadeer:
 * "Iterative Context Bounding", PLDI 2007). A switch is a preemption if the thread could have gone on; so is a time that
 * runs out although others could go on.
 */
import type { Run } from '../run.js'
import type { Strategy } from './strategy.js'

interface Node {
  /** What may be chosen within the bound, the cheapest first. */
  readonly choices: readonly number[]
  at: number
  readonly spent: number
}

export class BoundedStrategy implements Strategy {
  readonly exhaustive = true
  readonly #bound: number
  readonly #path: Node[] = []
  #depth = 0
  #started = false

  constructor(bound: number) {
    this.#bound = bound
  }

  begin(): boolean {
    this.#depth = 0
    if (!this.#started) {
      this.#started = true
      return true
    }
    for (;;) {
      const last = this.#path.at(-1)
      if (last === undefined) return false
      if (last.at + 1 < last.choices.length) {
        last.at += 1
        return true
      }
      this.#path.pop()
    }
  }

  choose(enabled: readonly number[], previous: number, run: Run): number {
    let node = this.#path[this.#depth]
    if (node === undefined) {
      const before = this.#path[this.#depth - 1]
      const spent = before === undefined ? 0 : before.spent + this.#costAt(before)
      const goesOn = enabled.includes(previous) && !run.isTimeout(previous)
      const costs = (thread: number) =>
        Number((goesOn && thread !== previous) || (run.isTimeout(thread) && enabled.length > 1))
      const choices = enabled
        .filter(thread => spent + costs(thread) <= this.#bound)
        .sort((a, b) => costs(a) - costs(b) || Number(b === previous) - Number(a === previous) || a - b)
      node = { choices: choices.length > 0 ? choices : [...enabled].slice(0, 1), at: 0, spent }
      this.#costs.set(node, node.choices.map(costs))
      this.#path.push(node)
    }
    this.#depth += 1
    return node.choices[node.at] ?? -1
  }

  readonly #costs = new WeakMap<Node, readonly number[]>()

  #costAt(node: Node): number {
    return this.#costs.get(node)?.[node.at] ?? 0
  }
}
