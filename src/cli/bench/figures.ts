/**
 * What a benchmark finds: plain data, as it goes into tables, JSON and charts.
 */

/** One contender's result: the median of its samples, and the quartiles around it. */
export interface Measured {
  readonly name: string
  readonly median: number
  readonly low: number
  readonly high: number
  readonly samples: number
}

/** The same work done by several contenders. */
export interface Comparison {
  readonly kind: 'comparison'
  readonly suite: string
  /** Unique within a report; a target names it. */
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly better: 'more' | 'less'
  readonly rows: readonly Measured[]
  readonly note?: string
}

/** Something over time, or over the size of the work. */
interface Series {
  readonly kind: 'series'
  readonly suite: string
  readonly id: string
  readonly title: string
  readonly xTitle: string
  readonly yTitle: string
  readonly logarithmic: boolean
  readonly lines: readonly {
    readonly name: string
    readonly points: readonly (readonly [number, number])[]
  }[]
}

export const PERCENTILES = [50, 90, 99, 99.9, 100] as const

/** How a latency is distributed. */
interface Distribution {
  readonly kind: 'distribution'
  readonly suite: string
  readonly id: string
  readonly title: string
  readonly unit: string
  /** For each contender a value for each of `PERCENTILES`. */
  readonly lines: readonly { readonly name: string; readonly values: readonly number[] }[]
}

export type Figure = Comparison | Series | Distribution

/** Whose ratio to every other contender is told. */
export const SUBJECT = 'khelper'

/** How many times better the subject is than `row`; undefined where there is nothing to compare. */
export function ratio({ rows, better }: Comparison, row: Measured): number | undefined {
  const subject = rows.find(({ name }) => name === SUBJECT)
  if (subject === undefined || row === subject || row.median === 0 || subject.median === 0) return undefined
  return better === 'more' ? subject.median / row.median : row.median / subject.median
}
