/**
 * Helpers are disabled while calls are in flight, and enabled again.
 */
import { UMH_DISABLED, UMH_FREEZING } from '../../../index.js'
import type { Fault, StressContext } from '../context.js'
import { allowed, errorOutcome, retvalOutcome, runOutcome } from '../outcomes.js'

const LONGEST_MS = 50
/** What a helper that has been started ends with. */
const RAN = /^(exit|SIG)/

export const disable: Fault = {
  name: 'disable',
  weight: 1,
  async run(context, random, step) {
    const { kernel, ledger } = context
    const entry = ledger.begin('fault/disable', step)
    const caller = callerInsideExec(context, step, random.below(LONGEST_MS))
    try {
      const result = await kernel.usermodehelperDisable(random.pick([UMH_FREEZING, UMH_DISABLED]))
      const { inside } = caller
      if (result === 0) await refused(context, step)
      // Not told by how many there are: callers that are turned away are counted while they are.
      const outcome = await caller.ended
      if (result === 0 && inside && RAN.test(outcome)) {
        entry.wrong(`disabled while a caller was inside exec, whose helper then ended: ${outcome}`)
      }
      entry.ended(retvalOutcome(result), ['exit 0', '-EAGAIN'])
      await new Promise(resolve => setTimeout(resolve, random.below(LONGEST_MS)))
    } finally {
      await kernel.usermodehelperEnable()
    }
  },
}

interface Caller {
  /** Whether its call has not ended yet. */
  readonly inside: boolean
  /** How it ended. */
  readonly ended: Promise<string>
}

/** @param ms how long its helper takes */
function callerInsideExec(context: StressContext, step: number, ms: number): Caller {
  const moment = context.weather.now
  const entry = context.ledger.begin('disable/inside', step)
  let inside = true
  const call = async () => {
    try {
      const helper = context.kernel.run('/bin/cat', [], { stdin: 'pipe', reject: false })
      helper.stdin?.on('error', () => {})
      setTimeout(() => helper.stdin?.end(), ms)
      return runOutcome(await helper)
    } catch (error) {
      return errorOutcome(error)
    }
  }
  const ended = call().then(outcome => {
    inside = false
    entry.ended(outcome, allowed(context, moment, 'exit 0'))
    return outcome
  })
  return {
    ended,
    get inside() {
      return inside
    },
  }
}

/** A call while they are disabled starts nothing. */
async function refused(context: StressContext, step: number): Promise<void> {
  const moment = context.weather.now
  const entry = context.ledger.begin('disable/refused', step)
  try {
    const { retval } = await context.kernel.run('/bin/true', [], { reject: false })
    entry.ended(retvalOutcome(retval), allowed(context, moment))
  } catch (error) {
    entry.ended(errorOutcome(error), allowed(context, moment))
  }
}
