/**
 * A kernel with few descriptors, all of them taken: GFP_ATOMIC gives null, GFP_KERNEL waits, first come, first served.
 */
import {
  boot,
  GFP_ATOMIC,
  GFP_KERNEL,
  type SubprocessInfo,
  UMH_NO_WAIT,
  UMH_WAIT_PROC,
} from '../../../index.js'
import type { Fault } from '../context.js'
import { allowed, errorOutcome, retvalOutcome } from '../outcomes.js'

const TRUE = '/bin/true'
const MOST_WAITING = 20

export const descriptors: Fault = {
  name: 'descriptors',
  weight: 1,
  async run(context, random, step) {
    const { ledger, weather, kernel: main } = context
    const moment = weather.now
    const entry = ledger.begin('fault/descriptors', step)
    const capacity = random.between(1, 8)
    try {
      const launcher = main.launcher.name
      const kernel = boot({ khelpers: 1, descriptors: capacity, launcher })
      const setup = () => kernel.callUsermodehelperSetup(TRUE, ['true'], [], GFP_ATOMIC)
      const held: SubprocessInfo[] = []
      for (let info = setup(); info !== null; info = setup()) held.push(info)
      if (held.length !== capacity) entry.wrong(`${held.length} descriptors of ${capacity} could be had`)
      const refused = await kernel.callUsermodehelper(TRUE, ['true'], [], UMH_NO_WAIT)
      if (refused >= 0) entry.wrong(`a call without a descriptor gave ${refused}`)
      const order: number[] = []
      const waiting = Array.from({ length: random.between(1, MOST_WAITING) }, async (_, place) => {
        const call = ledger.begin('descriptors/waiting', step, 1)
        const info = await kernel.callUsermodehelperSetup(TRUE, ['true'], [], GFP_KERNEL, {
          cleanup: () => call.cleaned(),
        })
        order.push(place)
        const retval = await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC)
        call.ended(retvalOutcome(retval), allowed(context, moment, 'exit 0'))
      })
      for (const info of held) {
        if (random.once(2)) kernel.callUsermodehelperFreeinfo(info)
        else await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC)
      }
      await Promise.all(waiting)
      if (order.some((place, index) => place !== index)) entry.wrong(`served in the order ${order}`)
      const { available } = kernel.stats().descriptors
      if (available !== capacity) entry.wrong(`${available} of ${capacity} descriptors came back`)
      await kernel.shutdown()
      entry.ended('done')
    } catch (error) {
      // Without a descriptor for its epoll set a kernel has no posix_spawn.
      const results = weather.since(moment, 'fds') ? ['-ERR_KHELPER_UNSUPPORTED'] : []
      entry.ended(errorOutcome(error), allowed(context, moment, ...results))
    }
  },
}
