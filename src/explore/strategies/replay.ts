/**
 * One schedule, as it was: a letter for each thread and how many steps it made, `a3b2a1`.
 */
import type { Strategy } from './strategy.js'

const FIRST = 'a'.charCodeAt(0)

/** A schedule as a string, to be kept and replayed. */
export function formatSchedule(threads: readonly number[]): string {
  let text = ''
  for (let at = 0; at < threads.length; ) {
    let end = at
    while (end < threads.length && threads[end] === threads[at]) end += 1
    text += `${String.fromCharCode(FIRST + (threads[at] ?? 0))}${end - at}`
    at = end
  }
  return text
}

/** @throws TypeError for what is no schedule */
function parseSchedule(text: string): number[] {
  if (!/^([a-z]\d{1,6})*$/.test(text)) {
    throw Object.assign(new TypeError(`not a schedule, such as 'a3b2a1': ${text.slice(0, 64)}`), {
      code: 'ERR_INVALID_ARG_VALUE',
    })
  }
  return [...text.matchAll(/([a-z])(\d+)/g)].flatMap(([, thread = 'a', count]) =>
    new Array<number>(Number(count)).fill(thread.charCodeAt(0) - FIRST),
  )
}

export class ReplayStrategy implements Strategy {
  readonly exhaustive = false
  readonly #threads: readonly number[]
  #at = 0
  #begun = false

  constructor(schedule: string) {
    this.#threads = parseSchedule(schedule)
  }

  begin(): boolean {
    const first = !this.#begun
    this.#begun = true
    return first
  }

  choose(enabled: readonly number[], previous: number): number {
    const wanted = this.#threads[this.#at]
    this.#at += 1
    if (wanted !== undefined && enabled.includes(wanted)) return wanted
    if (wanted !== undefined) {
      throw new RangeError(
        `the schedule is another program's: at step ${this.#at} thread ${wanted} cannot go on`,
      )
    }
    // Behind its end: to the end of the run, with as few switches as there can be.
    return enabled.includes(previous) ? previous : (enabled[0] ?? -1)
  }
}
