/**
 * Numbers that follow from a seed alone.
 *
 * SplitMix with 32 bits (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014): a counter and a
 * mixer, so that any seed is a good one.
 */
const GAMMA = 0x9e3779b9
const RANGE = 2 ** 32

function mix(value: number): number {
  let z = value | 0
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = mix(seed)
  }

  /** A number from 0 to 2^32 - 1. */
  next(): number {
    this.#state = (this.#state + GAMMA) | 0
    return mix(this.#state)
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.next() / RANGE) * limit)
  }

  /** A whole number from `low` to `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0
  }

  pick<const Items extends readonly [unknown, ...unknown[]]>(items: Items): Items[number] {
    return items[this.below(items.length)] ?? items[0]
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const rest = [...items]
    const shuffled: Item[] = []
    while (rest.length > 0) shuffled.push(...rest.splice(this.below(rest.length), 1))
    return shuffled
  }
}
