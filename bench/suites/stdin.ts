/**
 * 100 MB given to a program's standard input.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { execa } from 'execa'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { CHILD_PROCESS } from '../../src/cli/bench/launchers.js'
import { scaled, takeTurns } from '../../src/cli/bench/measure.js'
import { boot } from '../../src/index.js'
import type { Suite } from '../suite.js'

const MEGABYTES = { full: 100, quick: 10 }
const ROUNDS = { full: 5, quick: 1 }
const MEGABYTE = 2 ** 20

export const suite: Suite = {
  title: 'stdin',
  async run({ quick, add }) {
    const kernel = boot()
    const megabytes = MEGABYTES[quick ? 'quick' : 'full']
    const input = Buffer.alloc(megabytes * MEGABYTE, 'input ')
    const rows = await takeTurns(
      [
        contender(SUBJECT, 1, () => kernel.run('wc', ['-c'], { input })),
        contender(CHILD_PROCESS, 1, async () => {
          const child = spawn('wc', ['-c'], { stdio: ['pipe', 'pipe', 'ignore'] })
          child.stdout.resume()
          child.stdin.end(input)
          await once(child, 'close')
        }),
        contender('execa', 1, () => execa('wc', ['-c'], { input })),
      ],
      { rounds: ROUNDS[quick ? 'quick' : 'full'], batch: 0, warmUp: 1, count: 1 },
    )
    add({
      kind: 'comparison',
      suite: 'stdin',
      id: 'stdin/large',
      title: `${megabytes} MB to the standard input of wc`,
      unit: 'MB/s',
      better: 'more',
      rows: scaled(rows, megabytes),
    })
    await kernel.shutdown()
  },
}
