/**
 * How schedules are chosen: one after another, until there are no more or enough.
 */
import type { Run } from '../run.js'

export interface Strategy {
  /** A schedule is about to begin. @returns `false`: there are no more */
  begin(): boolean
  /**
   * Chooses who makes the next step.
   * @param enabled the threads that could, at least one
   * @param previous who made the last step, -1 at the start
   * @returns a thread, or -1: what is left of this schedule has been seen in another
   */
  choose(enabled: readonly number[], previous: number, run: Run): number
  /** A step was made. */
  stepped?(thread: number, run: Run): void
  /** A schedule has come to its end. */
  end?(run: Run): void
  /** Whether every schedule within its bounds has been seen when `begin` gives `false`. */
  readonly exhaustive: boolean
}
