/**
 * In-thread helpers that return, throw, exit, loop for ever, run out of memory.
 */
import type { RunOptions } from '../../../index.js'
import { workerFile } from '../../worker-file.js'
import type { Operation } from '../context.js'
import { allowed, errorOutcome, runOutcome } from '../outcomes.js'
import type { Random } from '../random.js'

const HELPER = workerFile('stress-helper')

interface Ending {
  readonly name: string
  readonly weight: number
  readonly ending: string
  readonly result: string
  readonly options?: (random: Random) => RunOptions
}

const helper = ({ name, weight, ending, result, options }: Ending): Operation => ({
  name,
  weight,
  async run(context, random, step) {
    const moment = context.weather.now
    const entry = context.ledger.begin(name, step)
    const status = random.below(256)
    try {
      const ended = await context.kernel.run(HELPER, [ending, String(status)], {
        ...options?.(random),
        reject: false,
      })
      entry.ended(runOutcome(ended), allowed(context, moment, result.replace('$', String(status))))
    } catch (error) {
      entry.ended(errorOutcome(error), allowed(context, moment))
    }
  },
})

export const returns = helper({ name: 'in-thread/return', weight: 10, ending: 'return', result: 'exit $' })
export const returnsLater = helper({ name: 'in-thread/later', weight: 4, ending: 'later', result: 'exit $' })
export const throws = helper({ name: 'in-thread/throw', weight: 3, ending: 'throw', result: 'exit 1' })
export const rejects = helper({ name: 'in-thread/reject', weight: 2, ending: 'reject', result: 'exit 1' })
export const exits = helper({ name: 'in-thread/exit', weight: 2, ending: 'exit', result: 'exit 7' })
export const loops = helper({
  name: 'in-thread/loop',
  weight: 2,
  ending: 'loop',
  result: 'timed out',
  options: random => ({ timeout: random.below(10) }),
})
export const outOfMemory = helper({
  name: 'in-thread/memory',
  weight: 1,
  ending: 'memory',
  result: 'SIGABRT',
})
