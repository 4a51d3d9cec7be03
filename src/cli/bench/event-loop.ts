/**
 * What launching does to the event loop of the thread that asks for it, and to that thread's processor.
 */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { median } from 'simple-statistics'
import { type Figure, type Measured, PERCENTILES } from './figures.js'
import { type Contender, summary } from './measure.js'

const NANOSECONDS_PER_MS = 1e6
const US_PER_MS = 1e3
const SAMPLE_MS = 10

interface EventLoopReport {
  /** Delay of the event loop in milliseconds, for each of `PERCENTILES`. */
  readonly percentiles: readonly number[]
  /** How late a timer was: milliseconds since the start, milliseconds late. */
  readonly delays: readonly (readonly [number, number])[]
  /** Processor time of the main thread for one operation, in µs; undefined where the system does not tell. */
  readonly cpu: number | undefined
}

export interface EventLoopPlan {
  /** The suite the figures belong to, and what their ids start with. */
  readonly suite: string
  readonly id: string
  /** What is done meanwhile, for the titles. */
  readonly work: string
  readonly rounds: number
  /** How long each contender works in a round. */
  readonly ms: number
}

/** Lets contenders work in turns, and gives delays, their course, and processor time. */
export async function eventLoopFigures(
  contenders: readonly Contender[],
  { suite, id, work, rounds, ms }: EventLoopPlan,
): Promise<Figure[]> {
  const entries = contenders.map(contender => ({ contender, reports: [] as EventLoopReport[] }))
  for (let round = 0; round < rounds; round += 1) {
    for (const { contender, reports } of entries) reports.push(await watchEventLoop(contender, ms))
  }
  const cpu: Measured[] = []
  for (const { contender, reports } of entries) {
    const times = reports.flatMap(report => report.cpu ?? [])
    if (times.length > 0) cpu.push(summary(contender.name, times))
  }
  return [
    {
      kind: 'distribution',
      suite,
      id: `${id}/delay`,
      title: `Delay of the event loop during ${work}`,
      unit: 'ms',
      lines: entries.map(({ contender: { name }, reports }) => ({
        name,
        values: PERCENTILES.map((_, index) =>
          median(reports.map(({ percentiles }) => percentiles[index] ?? 0)),
        ),
      })),
    },
    {
      kind: 'series',
      suite,
      id: `${id}/course`,
      title: `How late a timer was, during ${work}`,
      xTitle: 'ms since the start',
      yTitle: 'ms late',
      logarithmic: false,
      lines: entries.map(({ contender: { name }, reports }) => ({ name, points: reports[0]?.delays ?? [] })),
    },
    {
      kind: 'comparison',
      suite,
      id: `${id}/cpu`,
      title: `Processor time of the calling thread for each helper, during ${work}`,
      unit: 'µs',
      better: 'less',
      rows: cpu,
    },
  ]
}

/** Lets a contender work for some time, and watches the event loop. */
async function watchEventLoop(contender: Contender, ms: number): Promise<EventLoopReport> {
  const batch = contender.least ?? 1
  await contender.run(batch)
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  const delays: [number, number][] = []
  const start = performance.now()
  let due = start + SAMPLE_MS
  const timer = setInterval(() => {
    const now = performance.now()
    delays.push([Math.round(now - start), Math.max(0, now - due)])
    due = now + SAMPLE_MS
  }, SAMPLE_MS)
  const cpu = threadCpu()
  let operations = 0
  histogram.enable()
  try {
    for (; performance.now() - start < ms; operations += batch) await contender.run(batch)
  } finally {
    clearInterval(timer)
    histogram.disable()
  }
  const cpuAfter = threadCpu()
  return {
    percentiles: PERCENTILES.map(percentile => histogram.percentile(percentile) / NANOSECONDS_PER_MS),
    delays,
    cpu:
      cpu === undefined || cpuAfter === undefined ? undefined : ((cpuAfter - cpu) * US_PER_MS) / operations,
  }
}

/** Processor time that this process's main thread has used, in milliseconds. */
function threadCpu(): number | undefined {
  try {
    const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')
    return Number(nanoseconds) / NANOSECONDS_PER_MS
  } catch {
    return undefined
  }
}
