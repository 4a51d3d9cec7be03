/**
 * Calls that do nothing, to threads: what the dispatch itself costs.
 */
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { type Contender, latencies, takeTurns } from '../../src/cli/bench/measure.js'
import { NOOP_ENVP, noopContender } from '../../src/cli/bench/noop.js'
import { boot } from '../../src/index.js'
import { limitContender } from '../limits/limits.js'
import { AttachedThread } from '../peers/attached-thread.js'
import { pools } from '../peers/pools.js'
import type { Suite, SuiteContext } from '../suite.js'

const IN_FLIGHT = [1, 64, 4096]
const LATENCY_SAMPLES = { full: 2_000, quick: 20 }
const CALLING_THREADS = 2

async function againstPeers(context: SuiteContext, khelpers: number): Promise<void> {
  const kernel = boot({ khelpers })
  const peers = pools(khelpers)
  const contenders = (limit: number): Contender[] => [
    noopContender(kernel, limit),
    ...peers.map(({ name, call }) =>
      contender(name, limit, serial => call({ argv: ['noop', serial], envp: NOOP_ENVP })),
    ),
  ]
  for (const limit of context.quick ? [64] : IN_FLIGHT) {
    const entered = contenders(limit)
    const ring = limitContender('shared-memory-ring', 'C shared-memory ring', [String(limit)], context)
    if (ring !== undefined && khelpers === 1) entered.push({ ...ring, least: limit })
    context.add({
      kind: 'comparison',
      suite: 'dispatch',
      id: `dispatch/${khelpers}/${limit}`,
      title: `No-op calls, ${limit} in flight, ${khelpers === 1 ? 'one thread' : `${khelpers} threads`}`,
      unit: '/s',
      better: 'more',
      rows: await takeTurns(entered, context.turns),
    })
  }
  if (khelpers === 1) {
    context.add({
      kind: 'distribution',
      suite: 'dispatch',
      id: 'dispatch/latency',
      title: 'From a no-op call to its result, one in flight',
      unit: 'ms',
      lines: await latencies(contenders(1), LATENCY_SAMPLES[context.quick ? 'quick' : 'full']),
    })
  }
  await Promise.all(peers.map(peer => peer.close()))
  await kernel.shutdown()
}

/** Threads that attach, and call at the same time. */
async function fromSeveralThreads(context: SuiteContext): Promise<void> {
  const kernel = boot({ khelpers: 1 })
  const threads = Array.from({ length: CALLING_THREADS }, () => new AttachedThread(kernel.handle))
  const limit = 64
  context.add({
    kind: 'comparison',
    suite: 'dispatch',
    id: 'dispatch/callers',
    title: `No-op calls by one thread and by ${CALLING_THREADS}, ${limit} in flight each, one khelper`,
    unit: '/s',
    better: 'more',
    rows: await takeTurns([noopContender(kernel, limit), together(threads, limit)], context.turns),
    ...(context.quick ? {} : { note: 'More threads than processors have to share them.' }),
  })
  await Promise.all(threads.map(thread => thread.close()))
  await kernel.shutdown()
}

function together(threads: readonly AttachedThread[], limit: number): Contender {
  return {
    name: `${SUBJECT}, ${threads.length} calling threads`,
    least: limit * threads.length,
    async run(count) {
      await Promise.all(threads.map(thread => thread.run(Math.ceil(count / threads.length), limit)))
      return undefined
    },
  }
}

export const suite: Suite = {
  title: 'dispatch',
  async run(context) {
    for (const khelpers of context.quick ? [1] : [1, 2]) await againstPeers(context, khelpers)
    await fromSeveralThreads(context)
  },
}
