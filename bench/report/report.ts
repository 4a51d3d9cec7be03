/**
 * A run of the benchmarks, as it is written to a JSON file.
 */
import type { Figure } from '../../src/cli/bench/figures.js'
import type { Machine } from '../../src/cli/bench/machine.js'
import type { CheckedTarget } from '../targets.js'

export interface LeftOut {
  readonly what: string
  readonly why: string
}

export interface Report {
  readonly machine: Machine
  readonly date: string
  /** It was only to be seen that everything runs. */
  readonly quick?: true
  readonly figures: readonly Figure[]
  readonly leftOut: readonly LeftOut[]
  readonly targets: readonly CheckedTarget[]
}
