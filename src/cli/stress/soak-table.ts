/**
 * Samples and trends of a soak as text.
 */
import Table from 'cli-table3'
import { BORDERLESS } from '../bench/table.js'
import type { Sample, SoakReport } from './soak.js'

/** One sample in a line, while the soak runs. */
export const sampleLine = (sample: Sample): string =>
  Object.entries(sample)
    .map(([figure, value]) => `${figure} ${value}`)
    .join('  ')

/** Each figure's median in the first quarter behind the warm-up and in the last. */
export function soakTable({ samples, trends }: SoakReport): string {
  const table = new Table({
    head: ['', 'first quarter', 'last quarter', ''],
    chars: BORDERLESS,
    style: { head: [], border: [], compact: true },
  })
  for (const { figure, first, last, flat } of trends)
    table.push([figure, first, last, flat ? 'flat' : 'NOT FLAT'])
  return `medians of ${samples.length} samples\n${table.toString()}`
}
