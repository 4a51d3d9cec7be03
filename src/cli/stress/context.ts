/**
 * What operations and faults are given, and what they are.
 */
import type { Kernel } from '../../index.js'
import type { Fixtures } from './fixtures.js'
import type { FullDisk } from './full-disk.js'
import type { Ledger } from './ledger.js'
import type { Kind } from './plan.js'
import type { Random } from './random.js'
import type { StressThreads } from './threads.js'
import type { Weather } from './weather.js'

export interface StressContext {
  readonly kernel: Kernel
  readonly ledger: Ledger
  readonly weather: Weather
  readonly threads: StressThreads
  readonly files: Fixtures
  /** Undefined where one may not mount. */
  readonly fullDisk: FullDisk | undefined
}

/** One thing done, with the calls that it makes entered in the ledger. */
export interface Operation extends Kind {
  run(context: StressContext, random: Random, step: number): Promise<unknown>
}

/** Something that goes wrong. It is at work until its promise is settled, and leaves nothing behind. */
export interface Fault extends Kind {
  run(context: StressContext, random: Random, step: number): Promise<unknown>
}

/** How long anything may take before it is said to hang, in milliseconds. */
export const LONGEST_MS = 30_000
