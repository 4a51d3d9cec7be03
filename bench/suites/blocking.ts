/**
 * Calls that block their thread until the result is there.
 */
import { createSyncFn } from 'synckit'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { type Contender, takeTurns } from '../../src/cli/bench/measure.js'
import { NOOP, NOOP_ENVP } from '../../src/cli/bench/noop.js'
import { boot, UMH_WAIT_PROC } from '../../src/index.js'
import { limitContender } from '../limits/limits.js'
import type { noop } from '../peers/workers/work.js'
import type { Suite } from '../suite.js'

const SYNCKIT_WORKER = new URL('../peers/workers/synckit.js', import.meta.url)

function blocking(name: string, call: (serial: string) => unknown): Contender {
  let serial = 0
  return {
    name,
    async run(count) {
      for (const end = serial + count; serial < end; ) {
        serial += 1
        call(String(serial))
      }
      return undefined
    },
  }
}

export const suite: Suite = {
  title: 'blocking',
  async run(context) {
    const kernel = boot({ khelpers: 1 })
    await kernel.ready
    const synckit = createSyncFn<typeof noop>(SYNCKIT_WORKER)
    const contenders = [
      blocking(SUBJECT, serial =>
        kernel.callUsermodehelperSync(NOOP, ['noop', serial], NOOP_ENVP, UMH_WAIT_PROC),
      ),
      blocking('synckit', serial => synckit({ argv: ['noop', serial], envp: NOOP_ENVP })),
    ]
    const futex = limitContender('futex-ping-pong', 'C futex ping-pong', [], context)
    if (futex !== undefined) contenders.push(futex)
    context.add({
      kind: 'comparison',
      suite: 'blocking',
      id: 'blocking',
      title: 'No-op calls that block their thread',
      unit: '/s',
      better: 'more',
      rows: await takeTurns(contenders, context.turns),
      note: 'khelper looks for a moment before it sleeps; the C program always sleeps.',
    })
    await kernel.shutdown()
  },
}
