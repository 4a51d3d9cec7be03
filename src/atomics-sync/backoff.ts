/**
 * Bounded spinning: look again a few times, further apart each time, before sleeping.
 *
 * JavaScript has no pause instruction; a load of a word of one's own is what comes nearest to doing
 * nothing. The bound keeps the whole of it to some ten microseconds, about what a sleep and a
 * wake-up cost: who spins longer than that would have been better asleep.
 */

/** Rounds, and pauses in the longest of them. */
const ROUNDS = 200
const LONGEST = 64

export class Backoff {
  readonly #idle = new Int32Array(1)
  #round = 0

  /**
   * Lets a moment pass.
   * @returns false once the bound is used up: it is time to sleep
   */
  spin(): boolean {
    if (this.#round >= ROUNDS) return false
    const pauses = Math.min(1 << Math.min(this.#round, 6), LONGEST)
    for (let pause = 0; pause < pauses; pause += 1) Atomics.load(this.#idle, 0)
    this.#round += 1
    return true
  }

  /** Something happened: the next wait starts anew. */
  reset(): void {
    this.#round = 0
  }
}
