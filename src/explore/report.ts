/**
 * What an exploration has found, for people: a table of the failing schedule with a column for each thread.
 */
import Table from 'cli-table3'
import type { Failure, Step } from './run.js'
import { formatSchedule } from './strategies/replay.js'

const LONGEST_CELL = 60
/** Of a schedule that nobody reads to its end. */
const FIRST_ROWS = 40
const LAST_ROWS = 40

export interface FoundFailure extends Failure {
  /** For `replay`. */
  readonly schedule: string
  readonly steps: readonly Step[]
  readonly preemptions: number
}

/** The failing schedule as a table. */
export function scheduleTable(steps: readonly Step[], threads: number): string {
  const table = new Table({
    head: ['', ...Array.from({ length: threads }, (_, thread) => `thread ${thread}`)],
    style: { head: [], border: [], compact: true },
  })
  const left = Math.max(0, steps.length - FIRST_ROWS - LAST_ROWS)
  for (const [number, step] of steps.entries()) {
    if (left > 0 && number === FIRST_ROWS) table.push(['…', `${left} more steps`])
    if (number >= FIRST_ROWS && number < FIRST_ROWS + left) continue
    const cells = new Array<string>(threads).fill('')
    cells[step.thread] = shown(step)
    table.push([String(number + 1), ...cells])
  }
  return table.toString()
}

function shown({ operation, result }: Step): string {
  const { kind, index, args, place, view } = operation
  const values = args.filter(argument => argument !== undefined).map(String)
  const word = view === undefined ? '' : `[${index}]`
  const gave = kind === 'store' || result === undefined ? '' : ` → ${brief(result)}`
  const text = `${kind} ${[word, ...values].filter(part => part !== '').join(', ')}${gave}`
  return `${text.slice(0, LONGEST_CELL)}  ${place}`
}

function brief(result: unknown): string {
  if (typeof result !== 'object' || result === null) return String(result)
  if (result instanceof Error) return `throws ${result.name}`
  if ('async' in result && result.async) return 'sleeps'
  return String((result as { value?: unknown }).value)
}

/** How often a schedule leaves a thread that could have gone on; `enabled` as it was before each step. */
export function countPreemptions(steps: readonly Step[], enabled: readonly (readonly number[])[]): number {
  let count = 0
  for (let at = 1; at < steps.length; at += 1) {
    const before = steps[at - 1]?.thread ?? -1
    if (steps[at]?.thread !== before && enabled[at]?.includes(before)) count += 1
  }
  return count
}

export const scheduleOf = (steps: readonly Step[]): string =>
  formatSchedule(steps.map(({ thread }) => thread))
