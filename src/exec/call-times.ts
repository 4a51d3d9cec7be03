/**
 * How long the calls of one in-thread helper take: the clock is read for the first ones and then for one in a few,
 * because reading it costs a good part of what a short helper does.
 */

/** Calls of which each is measured, and then one in so many. */
const MEASURED_FIRST = 32
const MEASURED_AGAIN = 16
/** What an earlier, slower call still counts after a quicker one. */
const DECAY = 0.8

export class CallTimes {
  #calls = 0
  #expected = Number.POSITIVE_INFINITY

  /** What the next call is likely to take, in milliseconds; a slow call counts at once, quick ones little by little. */
  get expected(): number {
    return this.#expected
  }

  /** Counts a call. @returns whether it is to be measured */
  due(): boolean {
    this.#calls += 1
    return this.#calls <= MEASURED_FIRST || this.#calls % MEASURED_AGAIN === 0
  }

  took(milliseconds: number): void {
    const before = Number.isFinite(this.#expected) ? this.#expected * DECAY : 0
    this.#expected = Math.max(milliseconds, before)
  }
}
