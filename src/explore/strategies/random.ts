/**
 * Schedules by chance, from a seed: uniform at each step, or by priorities that change a few times (PCT: Burckhardt,
 * Kothari, Musuvathi, Nagarakatte, ASPLOS 2010), which finds a bug of depth d with a probability of at least
 * 1 / (threads * steps^(d - 1)).
 */
import type { Strategy } from './strategy.js'

/** Mulberry32: small, and good enough to choose threads by. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** @returns an integer from 0 to `below` - 1 */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export class RandomStrategy implements Strategy {
  readonly exhaustive = false
  readonly #random: Random
  #left: number

  constructor(seed: number, schedules: number) {
    this.#random = new Random(seed)
    this.#left = schedules
  }

  begin(): boolean {
    this.#left -= 1
    return this.#left >= 0
  }

  choose(enabled: readonly number[]): number {
    return enabled[this.#random.below(enabled.length)] ?? -1
  }
}

/** What a run is taken to be long before one has come to its end. */
const FIRST_GUESS = 50

export class PctStrategy implements Strategy {
  readonly exhaustive = false
  readonly #random: Random
  readonly #depth: number
  #left: number
  #longest = FIRST_GUESS
  #priorities = new Map<number, number>()
  /** Steps at which the thread that is to go on is put behind all others. */
  #changes = new Set<number>()
  #step = 0
  #lowest = 0

  /** @param depth how many orders of two steps a bug is taken to need */
  constructor(seed: number, schedules: number, depth: number) {
    this.#random = new Random(seed)
    this.#left = schedules
    this.#depth = depth
  }

  begin(): boolean {
    this.#longest = Math.max(this.#longest, this.#step)
    this.#priorities = new Map()
    this.#changes = new Set(
      Array.from({ length: Math.max(0, this.#depth - 1) }, () => this.#random.below(this.#longest)),
    )
    this.#step = 0
    this.#lowest = 0
    this.#left -= 1
    return this.#left >= 0
  }

  choose(enabled: readonly number[]): number {
    let best = this.#best(enabled)
    if (this.#changes.has(this.#step)) {
      this.#lowest -= 1
      this.#priorities.set(best, this.#lowest)
      best = this.#best(enabled)
    }
    this.#step += 1
    return best
  }

  #best(enabled: readonly number[]): number {
    let best = -1
    for (const thread of enabled) {
      if (!this.#priorities.has(thread)) this.#priorities.set(thread, 1 + this.#random.below(2 ** 30))
      if (best < 0 || (this.#priorities.get(thread) ?? 0) > (this.#priorities.get(best) ?? 0)) best = thread
    }
    return best
  }
}
