/**
 * Whether a cost grows with the number of calls that were made, and memory over a long run.
 */
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { launchContenders } from '../../src/cli/bench/launchers.js'
import type { Contender } from '../../src/cli/bench/measure.js'
import { noopContender } from '../../src/cli/bench/noop.js'
import { boot } from '../../src/index.js'
import type { Suite, SuiteContext } from '../suite.js'

const CALLS = { full: [10, 100, 1_000, 10_000, 100_000, 1_000_000], quick: [10, 100, 1_000] }
const LAUNCHES = { full: [10, 100, 1_000, 10_000], quick: [10, 100] }
const LONG_RUN_MS = { full: 20_000, quick: 500 }
const US_PER_MS = 1_000
const MEGABYTE = 2 ** 20
/** Of the long run: how many samples it gives. */
const SAMPLES = 50

type Points = (readonly [number, number])[]

/** µs for each call, by how many are made in a row. */
async function cost(contender: Contender, counts: readonly number[]): Promise<Points> {
  const points: Points = []
  for (const count of counts) {
    const start = performance.now()
    await contender.run(count)
    points.push([count, ((performance.now() - start) * US_PER_MS) / count])
  }
  return points
}

/** RSS over time. */
async function longRun(contender: Contender, ms: number): Promise<Points> {
  const points: Points = []
  const start = performance.now()
  for (let sample = 1; sample <= SAMPLES; sample += 1) {
    while (performance.now() - start < (ms * sample) / SAMPLES) await contender.run(contender.least ?? 1)
    points.push([Math.round(performance.now() - start), process.memoryUsage.rss() / MEGABYTE])
  }
  return points
}

export const suite: Suite = {
  title: 'growth',
  async run({ quick, add }: SuiteContext) {
    const size = quick ? 'quick' : 'full'
    const kernel = boot()
    await kernel.ready
    const calls = noopContender(kernel, 64)
    const [launches] = launchContenders(kernel, 8, 'exit')
    if (launches === undefined) return
    add({
      kind: 'series',
      suite: 'growth',
      id: 'growth/calls',
      title: 'Cost of a call, by how many are made in a row',
      xTitle: 'calls',
      yTitle: 'µs each',
      logarithmic: true,
      lines: [
        { name: `${SUBJECT}, no-op, 64 in flight`, points: await cost(calls, CALLS[size]) },
        { name: `${SUBJECT}, /bin/true, 8 in flight`, points: await cost(launches, LAUNCHES[size]) },
      ],
    })
    add({
      kind: 'series',
      suite: 'growth',
      id: 'growth/rss',
      title: 'Resident memory over a long run',
      xTitle: 'ms since the start',
      yTitle: 'MB',
      logarithmic: false,
      lines: [
        { name: `${SUBJECT}, /bin/true, 8 in flight`, points: await longRun(launches, LONG_RUN_MS[size]) },
        { name: `${SUBJECT}, no-op, 64 in flight`, points: await longRun(calls, LONG_RUN_MS[size] / 2) },
      ],
    })
    await kernel.shutdown()
  },
}
