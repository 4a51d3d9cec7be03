/**
 * What a kernel, a thread and a call in the queue hold.
 */
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { summary } from '../../src/cli/bench/measure.js'
import { probe } from '../probes/index.js'
import type { Suite } from '../suite.js'

const ROUNDS = { full: 5, quick: 1 }
/** By how many khelpers two of the probes differ. */
const THREADS = 8

const differences = (more: readonly number[], less: readonly number[], divisor = 1): number[] =>
  more.map((value, index) => (value - (less[index] ?? 0)) / divisor)

export const suite: Suite = {
  title: 'memory',
  async run({ quick, add }) {
    const found = await probe(
      ['bare-rss', 'idle-rss', 'rss-1-khelper', 'rss-9-khelpers', 'queued-call'],
      ROUNDS[quick ? 'quick' : 'full'],
    )
    const memory = (id: string, title: string, unit: string, values: readonly number[]) =>
      add({
        kind: 'comparison',
        suite: 'memory',
        id: `memory/${id}`,
        title,
        unit,
        better: 'less',
        rows: [summary(SUBJECT, values)],
      })
    memory(
      'idle',
      'An idle kernel after its first helper, over bare Node',
      'MB',
      differences(found['idle-rss'], found['bare-rss']),
    )
    memory(
      'thread',
      'Each khelper thread',
      'MB',
      differences(found['rss-9-khelpers'], found['rss-1-khelper'], THREADS),
    )
    memory(
      'queued',
      'Each of 100 000 more calls in the queue, its arguments and promise included',
      'KiB',
      found['queued-call'],
    )
  },
}
