/**
 * Programs started and waited for, by the size of the service that starts them.
 */
import { execa } from 'execa'
import { x } from 'tinyexec'
import { contender } from '../../src/cli/bench/in-flight.js'
import { launchContenders, TRUE, type WaitFor } from '../../src/cli/bench/launchers.js'
import { type Contender, latencies, takeTurns } from '../../src/cli/bench/measure.js'
import { boot, type Kernel } from '../../src/index.js'
import { limitContender } from '../limits/limits.js'
import type { Suite, SuiteContext } from '../suite.js'

/** From this size on a fork takes so long that fewer rounds have to do. */
const LARGE = 1024
const VERY_LARGE = 4096
const LARGE_ROUNDS = 5
const VERY_LARGE_ROUNDS = 3
const IN_FLIGHT = [1, 8, 64]
/** Where the libraries over child_process are compared too: they cannot be faster than it. */
const PEERS_AT = { size: 50, inFlight: 8 }
/** It takes some thousand launches until the threads run at their speed. */
const WARM_UP_MS = 1_000
const LATENCY_SAMPLES = 100

function peers(limit: number): Contender[] {
  return [
    contender('execa', limit, serial => execa(TRUE, [serial], { stdio: 'ignore' })),
    contender('tinyexec', limit, async serial => {
      await x(TRUE, [serial], { nodeOptions: { stdio: 'ignore' } })
    }),
  ]
}

async function compare(
  context: SuiteContext,
  kernel: Kernel,
  limit: number,
  waitFor: WaitFor,
): Promise<void> {
  const { quick, rss } = context
  const contenders = launchContenders(kernel, limit, waitFor)
  if (waitFor === 'exit') {
    if (rss <= PEERS_AT.size && limit === PEERS_AT.inFlight) contenders.push(...peers(limit))
    const loop = limitContender('posix-spawn-loop', 'C posix_spawn loop', [String(limit)], context)
    if (loop !== undefined) contenders.push({ ...loop, least: limit })
  }
  context.add({
    kind: 'comparison',
    suite: 'launch',
    id: `launch/${rss}/${limit}/${waitFor}`,
    title: `/bin/true, ${limit} in flight, waiting for ${waitFor}, service of ${rss} MB`,
    unit: '/s',
    better: 'more',
    rows: await takeTurns(contenders, {
      ...context.turns,
      ...(!quick && { warmUp: WARM_UP_MS }),
      ...(rss >= LARGE && !quick && { rounds: rss >= VERY_LARGE ? VERY_LARGE_ROUNDS : LARGE_ROUNDS }),
    }),
  })
}

export const suite: Suite = {
  title: 'launch',
  sizes: { full: [50, 1024, 4096], quick: [50, 256] },
  async run(context) {
    const { quick, rss } = context
    const kernel = boot()
    await kernel.ready
    for (const waitFor of ['exit', 'exec'] as const) {
      for (const limit of quick ? [8] : IN_FLIGHT) await compare(context, kernel, limit, waitFor)
    }
    context.add({
      kind: 'distribution',
      suite: 'launch',
      id: `launch/${rss}/latency`,
      title: `From the call to the exit of /bin/true, one at a time, service of ${rss} MB`,
      unit: 'ms',
      lines: await latencies(launchContenders(kernel, 1, 'exit'), quick ? 5 : LATENCY_SAMPLES),
    })
    await kernel.shutdown()
  },
}
