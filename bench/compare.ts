/**
 * Whether several runs say the same: the ratios of their medians, side by side.
 */
import { ratio } from '../src/cli/bench/figures.js'
import { times } from '../src/cli/bench/table.js'
import type { Report } from './report/report.js'

const TOLERANCE = 0.2
const PERCENT = 100

/** @returns a line for each ratio that differs by more than 20 % between the least and the largest run */
export function compareReports(reports: readonly Report[]): { text: string; agree: boolean } {
  const ratios = new Map<string, number[]>()
  for (const { figures } of reports) {
    for (const figure of figures) {
      if (figure.kind !== 'comparison') continue
      for (const row of figure.rows) {
        const value = ratio(figure, row)
        if (value === undefined) continue
        const key = `${figure.title}: khelper over ${row.name}`
        ratios.set(key, [...(ratios.get(key) ?? []), value])
      }
    }
  }
  const differing = [...ratios].flatMap(([key, values]) => {
    const difference = Math.max(...values) / Math.min(...values) - 1
    return difference > TOLERANCE
      ? `${key}: ${values.map(times).join(', ')} (${Math.round(difference * PERCENT)} % apart)`
      : []
  })
  const agreeing = ratios.size - differing.length
  return {
    text: [`${agreeing} of ${ratios.size} ratios agree within ${TOLERANCE * PERCENT} %.`, ...differing].join(
      '\n',
    ),
    agree: differing.length === 0,
  }
}
