/**
 * The soak: samples of what the process holds and of how long calls take, and whether they stay what they were.
 */
import { readdirSync } from 'node:fs'
import { type Kernel, UMH_WAIT_PROC } from '../../index.js'
import { NOOP } from '../../kernel/helper-programs.js'

const SAMPLE_MS = 10_000
const PROBE_MS = 50
const TRUE = '/bin/true'
/** Of the samples, before anything is compared. */
const WARM_UP = 0.1
const QUARTER = 0.25

export interface Sample {
  /** Since the start. */
  readonly seconds: number
  readonly rssMegabytes: number
  readonly heapMegabytes: number
  readonly externalMegabytes: number
  readonly fds: number
  readonly threads: number
  readonly callsPerSecond: number
  /** Milliseconds, of calls in the last interval. */
  readonly inThreadP50: number
  readonly inThreadP99: number
  readonly programP50: number
  readonly programP99: number
}

type Figure = Exclude<keyof Sample, 'seconds'>

/** By how much the last quarter's median may be above the first's: a factor, and an amount. */
const BOUNDS: Readonly<Record<Figure, { readonly factor: number; readonly amount: number }>> = {
  rssMegabytes: { factor: 1.1, amount: 16 },
  heapMegabytes: { factor: 1.2, amount: 8 },
  externalMegabytes: { factor: 1.2, amount: 4 },
  fds: { factor: 1.1, amount: 16 },
  threads: { factor: 1.1, amount: 3 },
  // Fewer would be wrong: see `trend`.
  callsPerSecond: { factor: 1.25, amount: 10 },
  inThreadP50: { factor: 1.5, amount: 1 },
  inThreadP99: { factor: 1.5, amount: 20 },
  programP50: { factor: 1.5, amount: 2 },
  programP99: { factor: 1.5, amount: 20 },
}

export interface Trend {
  readonly figure: Figure
  readonly first: number
  readonly last: number
  readonly flat: boolean
}

export interface SoakReport {
  readonly samples: readonly Sample[]
  readonly trends: readonly Trend[]
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

const median = (values: readonly number[]): number => percentile(values, 0.5)

/** Compares the first quarter behind the warm-up with the last. */
export function trends(samples: readonly Sample[]): Trend[] {
  const warm = samples.slice(Math.floor(samples.length * WARM_UP))
  const quarter = Math.max(1, Math.floor(warm.length * QUARTER))
  return Object.entries(BOUNDS).map(([name, { factor, amount }]) => {
    const figure = name as Figure
    const first = median(warm.slice(0, quarter).map(sample => sample[figure]))
    const last = median(warm.slice(-quarter).map(sample => sample[figure]))
    const [low, high] = figure === 'callsPerSecond' ? [last, first] : [first, last]
    return { figure, first, last, flat: high <= Math.max(low * factor, low + amount) }
  })
}

const count = (folder: string): number => readdirSync(folder).length

const MEGABYTE = 2 ** 20
const rounded = (value: number): number => Math.round(value * 100) / 100
const inMegabytes = (bytes: number): number => rounded(bytes / MEGABYTE)

export class Soak {
  readonly samples: Sample[] = []
  readonly #kernel: Kernel
  readonly #calls: () => number
  readonly #sampled: (sample: Sample) => void
  readonly #began = performance.now()
  readonly #sampler: NodeJS.Timeout
  readonly #prober: NodeJS.Timeout
  #lastCalls = 0
  #lastSample = performance.now()
  #inThread: number[] = []
  #program: number[] = []

  /**
   * @param calls how many have ended by now
   * @param sampled told of every sample
   */
  constructor(kernel: Kernel, calls: () => number, sampled: (sample: Sample) => void) {
    this.#kernel = kernel
    this.#calls = calls
    this.#sampled = sampled
    this.#sampler = setInterval(() => this.#sample(), SAMPLE_MS)
    this.#prober = setInterval(() => this.#probe(), PROBE_MS)
  }

  #probe(): void {
    const measure = async (path: string, into: () => number[]) => {
      const start = performance.now()
      const retval = await this.#kernel.callUsermodehelper(path, ['probe'], [], UMH_WAIT_PROC)
      // Refused calls end at once and say nothing.
      if (retval === 0) into().push(performance.now() - start)
    }
    void measure(NOOP, () => this.#inThread)
    void measure(TRUE, () => this.#program)
  }

  #sample(): void {
    const now = performance.now()
    let held: Pick<Sample, 'rssMegabytes' | 'heapMegabytes' | 'externalMegabytes' | 'fds' | 'threads'>
    try {
      const { rss, heapUsed, external } = process.memoryUsage()
      held = {
        rssMegabytes: inMegabytes(rss),
        heapMegabytes: inMegabytes(heapUsed),
        externalMegabytes: inMegabytes(external),
        fds: count('/proc/self/fd'),
        threads: count('/proc/self/task'),
      }
    } catch {
      // There is no descriptor left to look with: this interval becomes part of the next.
      return
    }
    const calls = this.#calls()
    const sample: Sample = {
      seconds: Math.round((now - this.#began) / 1000),
      ...held,
      callsPerSecond: Math.round((1000 * (calls - this.#lastCalls)) / (now - this.#lastSample)),
      inThreadP50: rounded(percentile(this.#inThread, 0.5)),
      inThreadP99: rounded(percentile(this.#inThread, 0.99)),
      programP50: rounded(percentile(this.#program, 0.5)),
      programP99: rounded(percentile(this.#program, 0.99)),
    }
    this.#lastCalls = calls
    this.#lastSample = now
    this.#inThread = []
    this.#program = []
    this.samples.push(sample)
    this.#sampled(sample)
  }

  stop(): void {
    clearInterval(this.#sampler)
    clearInterval(this.#prober)
  }

  report(): SoakReport {
    return { samples: this.samples, trends: trends(this.samples) }
  }
}
