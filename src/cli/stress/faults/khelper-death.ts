/**
 * A khelper thread dies at whatever it is doing: an exception in a timer that an in-thread helper has left behind.
 */
import { existsSync } from 'node:fs'
import { workerFile } from '../../worker-file.js'
import type { Fault } from '../context.js'
import { errorOutcome, runOutcome } from '../outcomes.js'

const HELPER = workerFile('stress-helper')
/** Without its file (there may be no descriptor to write it) it is taken for dead after this time. */
const LONGEST_DYING_MS = 1_000
const LOOK_MS = 5
/** From the thread's last words until its supervisor has dealt with what it held. */
const BURIAL_MS = 100

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

export const khelperDeath: Fault = {
  name: 'khelper-death',
  weight: 2,
  async run({ kernel, ledger, files }, random, step) {
    const bombs = Array.from({ length: random.between(1, 3) }, async () => {
      const marker = files.path()
      const entry = ledger.begin('fault/khelper-death', step)
      try {
        const ended = await kernel.run(HELPER, ['bomb', marker], { reject: false })
        entry.ended(runOutcome(ended))
      } catch (error) {
        entry.ended(errorOutcome(error))
      }
      for (let waited = 0; waited < LONGEST_DYING_MS && !existsSync(marker); waited += LOOK_MS)
        await sleep(LOOK_MS)
    })
    await Promise.all(bombs)
    await sleep(BURIAL_MS)
  },
}
