/**
 * A call of `kernel.run` whose end is judged.
 */
import type { Helper, RunOptions, RunResult } from '../../index.js'
import type { StressContext } from './context.js'
import { allowed, errorOutcome, runOutcome } from './outcomes.js'

type Judge = (result: RunResult) => string | undefined

export interface RunCall {
  readonly name: string
  readonly step: number
  readonly file: string
  readonly args: readonly string[]
  readonly options?: RunOptions & { readonly encoding?: BufferEncoding }
  /** Without faults. */
  readonly results: readonly string[]
  /** What is wrong with a result that is one of these. */
  readonly judge?: Judge
  /** While it runs. */
  readonly meanwhile?: (helper: Helper) => void
}

/** One run, entered in the ledger. @returns how it ended */
export async function runCall(context: StressContext, call: RunCall): Promise<string> {
  const moment = context.weather.now
  const entry = context.ledger.begin(call.name, call.step)
  try {
    const helper = context.kernel.run(call.file, call.args, { ...call.options, reject: false })
    call.meanwhile?.(helper)
    const result = await helper
    const outcome = runOutcome(result)
    const wrong = call.results.includes(outcome) ? call.judge?.(result) : undefined
    if (wrong !== undefined) entry.wrong(wrong)
    entry.ended(outcome, allowed(context, moment, ...call.results))
    return outcome
  } catch (error) {
    const outcome = errorOutcome(error)
    entry.ended(outcome, allowed(context, moment))
    return outcome
  }
}
