/**
 * Contenders take turns at the same work; tinybench takes the samples.
 *
 * A sample is a batch of operations, large enough that the clock does not matter. Contenders are sampled in
 * rounds, each time in another order, so that what else the machine does in a round meets all of them.
 */
import { quantile } from 'simple-statistics'
import { Bench } from 'tinybench'
import { type Measured, PERCENTILES } from './figures.js'

export interface Contender {
  readonly name: string
  /**
   * Does the work `count` times.
   * @returns nothing, or how many milliseconds it took where it knows better
   */
  run(count: number): Promise<number | undefined>
  /** The smallest batch that makes sense, such as the number in flight. */
  readonly least?: number
}

export interface Turns {
  readonly rounds: number
  /** How long one batch should take, in milliseconds. */
  readonly batch: number
  /** How long a contender works before it is sampled, in milliseconds, if a batch is not longer. */
  readonly warmUp: number
  /** The size of every batch; without it each contender's is found by trying. */
  readonly count?: number
}

const GROWTH = 10
const PERCENT = 100
const MS_PER_SECOND = 1000
/** Stops a batch that has been grown for ever. */
const LARGEST_COUNT = 10_000_000

/** @returns operations per second of each contender, in their order */
export async function takeTurns(contenders: readonly Contender[], turns: Turns): Promise<Measured[]> {
  const entries: { contender: Contender; count: number; rates: number[] }[] = []
  for (const contender of contenders) {
    const count = turns.count ?? (await batchSize(contender, turns))
    entries.push({ contender, count, rates: [] })
  }
  for (let round = 0; round < turns.rounds; round += 1) {
    for (let turn = 0; turn < entries.length; turn += 1) {
      const entry = entries[(round + turn) % entries.length]
      if (entry !== undefined) entry.rates.push((entry.count * MS_PER_SECOND) / (await sample(entry)))
    }
  }
  return entries.map(({ contender: { name }, rates }) => summary(name, rates))
}

/** One sample, in milliseconds. */
async function sample({ contender, count }: { contender: Contender; count: number }): Promise<number> {
  const bench = new Bench({ time: 0, iterations: 1, warmup: false, throws: true })
  bench.add(
    contender.name,
    async () => {
      const took = await contender.run(count)
      return took === undefined ? undefined : { overriddenDuration: took }
    },
    { async: true },
  )
  const [task] = await bench.run()
  if (task === undefined || !('latency' in task.result)) throw new Error(`${contender.name} was not sampled`)
  return task.result.latency.mean
}

/**
 * Warms a contender up, and finds how much it does in `batch` milliseconds: once it is warm, or batches were
 * too small, and what they measured the time in which threads wake up.
 */
async function batchSize(contender: Contender, { batch, warmUp }: Turns): Promise<number> {
  const least = contender.least ?? 1
  const fitting = (count: number): number => Math.max(1, Math.ceil(count / least)) * least
  let worked = 0
  for (let count = least; ; ) {
    const took = await sample({ contender, count })
    worked += took
    const fits = took >= batch / 2 && (took <= 2 * batch || count === least)
    if ((fits && worked >= warmUp) || count >= LARGEST_COUNT) return count
    if (!fits) count = fitting(count * Math.min(GROWTH, batch / Math.max(took, batch / GROWTH)))
  }
}

/** The same in another unit, of which one operation has `factor`. */
export const scaled = (rows: readonly Measured[], factor: number): Measured[] =>
  rows.map(({ name, median, low, high, samples }) => ({
    name,
    median: median * factor,
    low: low * factor,
    high: high * factor,
    samples,
  }))

/** The median of some samples, and their quartiles. */
export function summary(name: string, samples: readonly number[]): Measured {
  const [low = 0, median = 0, high = 0] = quantile([...samples], [0.25, 0.5, 0.75])
  return { name, median, low, high, samples: samples.length }
}

/**
 * How long single operations of each contender take, in turns.
 * @returns milliseconds for each of `PERCENTILES`
 */
export async function latencies(
  contenders: readonly Contender[],
  samples: number,
): Promise<{ name: string; values: number[] }[]> {
  const entries = contenders.map(contender => ({ contender, taken: [] as number[] }))
  for (const { contender } of entries) await contender.run(1)
  for (let round = 0; round < samples; round += 1) {
    for (const { contender, taken } of entries) {
      const start = performance.now()
      await contender.run(1)
      taken.push(performance.now() - start)
    }
  }
  return entries.map(({ contender: { name }, taken }) => ({
    name,
    values: PERCENTILES.map(percentile => quantile(taken, percentile / PERCENT)),
  }))
}
