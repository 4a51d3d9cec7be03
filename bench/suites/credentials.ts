/**
 * What it costs that a helper has something of its own: programs started with an exec step before them, and without.
 */
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { TRUE } from '../../src/cli/bench/launchers.js'
import { takeTurns } from '../../src/cli/bench/measure.js'
import { boot, type RunOptions } from '../../src/index.js'
import type { Suite } from '../suite.js'

const NOBODY = 65_534
const IN_FLIGHT = [1, 8]
const WARM_UP_MS = 1_000
const ROOT = process.getuid?.() === 0

/** Who is not root may set these, and they take the same step. */
const OWN: RunOptions = ROOT ? { uid: NOBODY, gid: NOBODY } : { umask: 0o077 }

export const suite: Suite = {
  title: 'credentials',
  async run({ quick, add, turns }) {
    const kernel = boot()
    await kernel.ready
    for (const limit of IN_FLIGHT) {
      const launch = (name: string, options: RunOptions) =>
        contender(name, limit, serial =>
          kernel.run(TRUE, [serial], { stdout: 'ignore', stderr: 'ignore', ...options }),
        )
      add({
        kind: 'comparison',
        suite: 'credentials',
        id: `credentials/${limit}`,
        title: `/bin/true ${ROOT ? 'as another user' : 'with a umask of its own'}, ${limit} in flight, beside without`,
        unit: '/s',
        better: 'more',
        rows: await takeTurns([launch(SUBJECT, OWN), launch('without credentials', {})], {
          ...turns,
          ...(!quick && { warmUp: WARM_UP_MS }),
        }),
      })
    }
    await kernel.shutdown()
  },
}
