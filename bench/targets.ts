/**
 * What khelper wants to reach, looked up in the figures of a run.
 */
import Table from 'cli-table3'
import { type Figure, PERCENTILES, SUBJECT } from '../src/cli/bench/figures.js'
import { BORDERLESS, readable } from '../src/cli/bench/table.js'

interface Target {
  readonly text: string
  /** At least, or at most, `goal`. */
  readonly bound: 'least' | 'most'
  readonly goal: number
  readonly unit: string
  /** What was reached; undefined where the run did not measure it. */
  value(figures: readonly Figure[]): number | undefined
}

export interface CheckedTarget {
  readonly text: string
  readonly goal: string
  readonly reached: string
  readonly met: boolean
  /** By how many percent it is missed; 0 if it is met. */
  readonly missedBy: number
}

const LIMIT = 'C '
const SMALL_WORKERS = 1
const SIZES = [
  [50, 2.5],
  [1024, 60],
  [4096, 200],
] as const

/** khelper's median over that of another, or over the best of several; as rates: more is better. */
function over(id: string, accepts: (name: string) => boolean): Target['value'] {
  return figures => {
    const figure = figures.find(candidate => candidate.id === id)
    if (figure?.kind !== 'comparison') return undefined
    const subject = figure.rows.find(({ name }) => name === SUBJECT)
    const others = figure.rows.filter(({ name }) => name !== SUBJECT && accepts(name))
    if (subject === undefined || others.length === 0) return undefined
    const medians = others.map(({ median }) => median)
    return figure.better === 'more'
      ? subject.median / Math.max(...medians)
      : Math.min(...medians) / subject.median
  }
}

const isLimit = (name: string): boolean => name.startsWith(LIMIT)
const isPeer = (name: string): boolean => !isLimit(name)

/** khelper's own median. */
function own(id: string): Target['value'] {
  return figures => {
    const figure = figures.find(candidate => candidate.id === id)
    return figure?.kind === 'comparison'
      ? figure.rows.find(({ name }) => name === SUBJECT)?.median
      : undefined
  }
}

function percentile(id: string, wanted: (typeof PERCENTILES)[number]): Target['value'] {
  return figures => {
    const figure = figures.find(candidate => candidate.id === id)
    return figure?.kind === 'distribution'
      ? figure.lines.find(({ name }) => name === SUBJECT)?.values[PERCENTILES.indexOf(wanted)]
      : undefined
  }
}

const TARGETS: readonly Target[] = [
  ...SIZES.flatMap(([size, goal]): Target[] => [
    {
      text: `launch, 8 in flight, ${size} MB, over the C posix_spawn loop`,
      bound: 'least',
      goal: 0.9,
      unit: '×',
      value: over(`launch/${size}/8/exit`, isLimit),
    },
    {
      text: `launch, 8 in flight, ${size} MB, over child_process`,
      bound: 'least',
      goal,
      unit: '×',
      value: over(`launch/${size}/8/exit`, name => name === 'child_process'),
    },
  ]),
  {
    text: 'launch as another user, 8 in flight, over without credentials',
    bound: 'least',
    goal: 0.9,
    unit: '×',
    value: over('credentials/8', isPeer),
  },
  {
    text: 'delay of the event loop meanwhile, 4096 MB, p99',
    bound: 'most',
    goal: 5,
    unit: 'ms',
    value: percentile('event-loop/4096/delay', 99),
  },
  {
    text: 'processor time of the calling thread for each helper, 50 MB, under child_process',
    bound: 'least',
    goal: 10,
    unit: '×',
    value: over('event-loop/50/cpu', isPeer),
  },
  {
    text: 'echo captured, 50 MB, over execFile',
    bound: 'least',
    goal: 2.5,
    unit: '×',
    value: over('capture/50/small', name => name === 'child_process'),
  },
  {
    text: 'echo captured, 1024 MB, over execFile',
    bound: 'least',
    goal: 50,
    unit: '×',
    value: over('capture/1024/small', name => name === 'child_process'),
  },
  ...[64, 4096].map(
    (limit): Target => ({
      text: `in-thread no-op, ${limit} in flight, over the best peer`,
      bound: 'least',
      goal: 10,
      unit: '×',
      value: over(`dispatch/${SMALL_WORKERS}/${limit}`, isPeer),
    }),
  ),
  {
    text: 'in-thread no-op, one in flight, over the best peer',
    bound: 'least',
    goal: 8,
    unit: '×',
    value: over(`dispatch/${SMALL_WORKERS}/1`, isPeer),
  },
  {
    text: 'in-thread no-op, blocking, over synckit',
    bound: 'least',
    goal: 20,
    unit: '×',
    value: over('blocking', isPeer),
  },
  {
    text: 'processor time of the calling thread for each spawn by the drop-in, 50 MB, under child_process',
    bound: 'least',
    goal: 2,
    unit: '×',
    value: over('drop-in/50/cpu', isPeer),
  },
  {
    text: 'execa, unmodified, under khelper/register, 1024 MB, over without',
    bound: 'least',
    goal: 20,
    unit: '×',
    value: over('drop-in/1024/execa', isPeer),
  },
  ...[2, 8].map(
    (processes): Target => ({
      text: `khelper xargs -P${processes}, 5 000 × /bin/true, its speed over xargs`,
      bound: 'least',
      goal: 1 / 1.1,
      unit: '×',
      value: over(`batch/${processes}`, name => name === 'xargs'),
    }),
  ),
  { text: 'memory of a queued call', bound: 'most', goal: 1, unit: 'KiB', value: own('memory/queued') },
  { text: 'idle kernel over bare Node', bound: 'most', goal: 30, unit: 'MB', value: own('memory/idle') },
  {
    text: 'from boot() to the first helper’s exit',
    bound: 'most',
    goal: 60,
    unit: 'ms',
    value: own('startup/first'),
  },
]

const PERCENT = 100

/** Those targets that the figures tell of. */
export function checkTargets(figures: readonly Figure[]): CheckedTarget[] {
  return TARGETS.flatMap(({ text, bound, goal, unit, value }) => {
    const reached = value(figures)
    if (reached === undefined) return []
    const met = bound === 'least' ? reached >= goal : reached <= goal
    const missedBy = met ? 0 : Math.abs(reached / goal - 1) * PERCENT
    return {
      text,
      goal: `${bound === 'least' ? '≥' : '≤'} ${readable(goal)} ${unit}`,
      reached: `${readable(reached)} ${unit}`,
      met,
      missedBy,
    }
  })
}

export function targetsTable(targets: readonly CheckedTarget[]): string {
  const lines = new Table({ chars: BORDERLESS, style: { head: [], border: [], compact: true } })
  for (const { text, goal, reached, met, missedBy } of targets) {
    lines.push([text, goal, reached, met ? 'reached' : `missed by ${Math.ceil(missedBy)} %`])
  }
  return `Targets\n${lines.toString()}`
}
