/**
 * What a suite is: a piece of the benchmarks that runs in a process of its own and tells what it finds.
 */
import type { Figure } from '../src/cli/bench/figures.js'
import type { Turns } from '../src/cli/bench/measure.js'

export interface SuiteContext {
  /** Only to see that everything runs: few samples, small sizes. */
  readonly quick: boolean
  /** Megabytes that the process holds. */
  readonly rss: number
  /** How often contenders take turns, and how long one batch should take. */
  readonly turns: Turns
  add(figure: Figure): void
  /** Something that cannot be measured here, and why. */
  leaveOut(what: string, why: string): void
}

export interface Suite {
  readonly title: string
  /** The sizes of process in which it is run, in megabytes; without them in a small one. */
  readonly sizes?: { readonly full: readonly number[]; readonly quick: readonly number[] }
  run(context: SuiteContext): Promise<void>
}

/** What a suite's process sends to the process that collects the figures. */
export type SuiteMessage =
  | { readonly type: 'figure'; readonly figure: Figure }
  | { readonly type: 'left-out'; readonly what: string; readonly why: string }
