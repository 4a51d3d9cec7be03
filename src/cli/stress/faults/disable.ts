/**
 * Helpers are disabled while calls are in flight, and enabled again.
 */
import { UMH_DISABLED, UMH_FREEZING } from '../../../index.js'
import type { Fault, StressContext } from '../context.js'
import { retvalOutcome } from '../outcomes.js'
import { runCall } from '../run-call.js'

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
  let inside = true
  const call = runCall(context, {
    name: 'disable/inside',
    step,
    file: '/bin/cat',
    args: [],
    options: { stdin: 'pipe' },
    results: ['exit 0'],
    meanwhile: ({ stdin }) => {
      stdin?.on('error', () => {})
      setTimeout(() => stdin?.end(), ms)
    },
  })
  return {
    ended: call.finally(() => {
      inside = false
    }),
    get inside() {
      return inside
    },
  }
}

/** A call while they are disabled starts nothing. */
const refused = (context: StressContext, step: number): Promise<string> =>
  runCall(context, { name: 'disable/refused', step, file: '/bin/true', args: [], results: [] })
