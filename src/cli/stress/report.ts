/**
 * What a run has shown: for people as tables, for programs as JSON.
 */
import Table from 'cli-table3'
import { BORDERLESS } from '../bench/table.js'
import type { InterruptingSignal } from './interruption.js'
import type { Problem } from './ledger.js'
import type { FaultCount } from './runner.js'
import type { SoakReport } from './soak.js'
import { soakTable } from './soak-table.js'

const MEGABYTE = 2 ** 20
/** Of problems, on a terminal. */
const SHOWN = 20

export interface StressReport {
  readonly seed: number
  /** How to have the same plan again. */
  readonly replay: string
  /** Where the plan was not to be over yet. */
  readonly interruptedBy?: InterruptingSignal
  readonly launcher: string
  readonly seconds: number
  readonly steps: number
  readonly calls: number
  readonly callsPerSecond: number
  readonly operations: Readonly<Record<string, number>>
  /** How often each kind of call has ended with what. */
  readonly results: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly faults: Readonly<Record<string, FaultCount>>
  readonly problems: readonly Problem[]
  readonly problemCount: number
  readonly leaks: readonly string[]
  /** Descriptors that Node itself has left of threads that were ended or could not start; see `resources.ts`. */
  readonly leftByNode: readonly string[]
  /** Where calls stood that hung. */
  readonly hang: readonly string[]
  /** Megabytes. */
  readonly rss: { readonly before: number; readonly after: number }
  readonly soak?: SoakReport
}

export const megabytes = (bytes: number): number => Math.round(bytes / MEGABYTE)

export const failed = ({ problemCount, leaks, hang }: StressReport): boolean =>
  problemCount > 0 || leaks.length > 0 || hang.length > 0

const newTable = () => new Table({ chars: BORDERLESS, style: { head: [], border: [], compact: true } })
const right = (content: string | number) => ({ content: String(content), hAlign: 'right' as const })

function resultsInWords(results: Readonly<Record<string, number>>): string {
  const shown = Object.entries(results).sort(([, one], [, other]) => other - one)
  const words = shown.slice(0, 4).map(([result, count]) => `${result} ${count}`)
  return shown.length > 4 ? `${words.join(', ')}, …` : words.join(', ')
}

export function reportText(report: StressReport): string {
  const operations = newTable()
  for (const [name, count] of Object.entries(report.operations)) {
    operations.push([name, right(count), resultsInWords(report.results[name] ?? {})])
  }
  const faults = newTable()
  for (const [name, { injected, survived }] of Object.entries(report.faults)) {
    faults.push([name, right(injected), `${survived} survived`])
  }
  const { calls, callsPerSecond, seconds, rss, leftByNode, interruptedBy } = report
  return [
    `operations\n${operations.toString()}`,
    `faults\n${faults.toString()}`,
    ...(report.soak === undefined ? [] : [soakTable(report.soak)]),
    ...wrongs(report),
    ...(interruptedBy === undefined ? [] : [`interrupted by ${interruptedBy}`]),
    `${calls} calls in ${seconds} s (${callsPerSecond}/s), launcher ${report.launcher}; RSS ${rss.before} MB before, ${rss.after} MB after`,
    `leaked: ${report.leaks.length === 0 ? 'nothing' : report.leaks.join('; ')}`,
    ...(leftByNode.length === 0
      ? []
      : [`left by Node itself: ${leftByNode.length} file descriptors: ${leftByNode.join(', ')}`]),
    `seed ${report.seed}; again: ${report.replay}`,
  ].join('\n\n')
}

function wrongs({ problems, problemCount, hang }: StressReport): string[] {
  const lines = problems.slice(0, SHOWN).map(({ step, kind, what }) => `  step ${step}, ${kind}: ${what}`)
  return [
    ...(problemCount === 0 ? [] : [`${problemCount} problems\n${lines.join('\n')}`]),
    ...(hang.length === 0 ? [] : [`what hangs\n${hang.map(line => `  ${line}`).join('\n')}`]),
  ]
}
