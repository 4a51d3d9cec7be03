/**
 * Helpers are disabled while calls are in flight, and enabled again.
 */
import { UMH_DISABLED, UMH_FREEZING } from '../../../index.js'
import type { Fault } from '../context.js'
import { retvalOutcome } from '../outcomes.js'

const LONGEST_MS = 50

export const disable: Fault = {
  name: 'disable',
  weight: 1,
  async run({ kernel, ledger }, random, step) {
    const entry = ledger.begin('fault/disable', step)
    const depth = random.pick([UMH_FREEZING, UMH_DISABLED])
    try {
      const result = await kernel.usermodehelperDisable(depth)
      const { running } = kernel.stats()
      // Callers that are turned away are counted while they are; those that are let in would be more.
      if (result === 0 && running > 0) entry.wrong(`disabled, and ${running} callers are inside exec`)
      entry.ended(retvalOutcome(result), ['exit 0', '-EAGAIN'])
      await new Promise(resolve => setTimeout(resolve, random.below(LONGEST_MS)))
    } finally {
      await kernel.usermodehelperEnable()
    }
  },
}
