/**
 * What launching does to the event loop of the service, and to its thread's processor time.
 */
import { eventLoopFigures } from '../../src/cli/bench/event-loop.js'
import { launchContenders } from '../../src/cli/bench/launchers.js'
import { boot } from '../../src/index.js'
import type { Suite } from '../suite.js'

const IN_FLIGHT = 8
const ROUNDS = { full: 5, quick: 1 }
const MS = { full: 1_500, quick: 200 }

export const suite: Suite = {
  title: 'event loop',
  sizes: { full: [50, 1024, 4096], quick: [50] },
  async run({ quick, rss, add }) {
    const kernel = boot()
    await kernel.ready
    const size = quick ? 'quick' : 'full'
    const figures = await eventLoopFigures(launchContenders(kernel, IN_FLIGHT, 'exit'), {
      suite: 'event-loop',
      id: `event-loop/${rss}`,
      work: `launches, ${IN_FLIGHT} in flight, service of ${rss} MB`,
      rounds: ROUNDS[size],
      ms: MS[size],
    })
    for (const figure of figures) add(figure)
    await kernel.shutdown()
  },
}
