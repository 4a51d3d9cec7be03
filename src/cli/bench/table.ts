/**
 * Figures as text.
 */
import Table from 'cli-table3'
import { type Figure, type Measured, PERCENTILES, ratio } from './figures.js'

export const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '  ',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const

const SIGNIFICANT = 3

/** A number as one reads it: three digits that count, and thousands apart. */
export function readable(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, SIGNIFICANT - 1 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export const times = (factor: number): string => `${readable(factor)} ×`

export const percentileName = (percentile: number): string =>
  percentile === 100 ? 'worst' : `p${percentile}`

/** Half the distance of the quartiles, in percent of the median. */
export const spread = ({ median, low, high }: Measured): string =>
  median === 0 ? '' : `± ${Math.round((50 * (high - low)) / median)} %`

/** A figure as a table for a terminal, without colours. */
export function table(figure: Figure): string {
  const lines = new Table({ chars: BORDERLESS, style: { head: [], border: [], compact: true } })
  switch (figure.kind) {
    case 'comparison':
      for (const row of figure.rows) {
        const factor = ratio(figure, row)
        lines.push([
          row.name,
          { content: `${readable(row.median)} ${figure.unit}`, hAlign: 'right' },
          { content: spread(row), hAlign: 'right' },
          factor === undefined ? '' : times(factor),
        ])
      }
      break
    case 'distribution':
      lines.push(['', ...PERCENTILES.map(percentileName)])
      for (const { name, values } of figure.lines) {
        lines.push([name, ...values.map(value => `${readable(value)} ${figure.unit}`)])
      }
      break
    case 'series':
      for (const { name, points } of figure.lines) {
        const values = points.map(([, y]) => y)
        lines.push([name, `${points.length} points`, `up to ${readable(Math.max(0, ...values))}`])
      }
  }
  const note = figure.kind === 'comparison' && figure.note !== undefined ? `\n  ${figure.note}` : ''
  return `${figure.title}\n${lines.toString()}${note}\n`
}
