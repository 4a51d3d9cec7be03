/**
 * What programs print: a little of it many times, and 100 MB at once.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { execa } from 'execa'
import { x } from 'tinyexec'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { CHILD_PROCESS, captureContenders, ECHO } from '../../src/cli/bench/launchers.js'
import { type Contender, scaled, takeTurns } from '../../src/cli/bench/measure.js'
import { boot, type Kernel } from '../../src/index.js'
import type { Suite, SuiteContext } from '../suite.js'

const IN_FLIGHT = 8
/** It takes some thousand launches until the threads run at their speed. */
const WARM_UP_MS = 1_000
const PEERS_AT = 50
const LARGE_MEGABYTES = { full: 100, quick: 10 }
const LARGE_ROUNDS = { full: 5, quick: 1 }
const ROOM = 2 ** 28
const MEGABYTE = 2 ** 20

const execFileOutput = promisify(execFile)

function peers(): Contender[] {
  return [
    contender('execa', IN_FLIGHT, serial => execa(ECHO, [serial])),
    contender('tinyexec', IN_FLIGHT, async serial => {
      await x(ECHO, [serial])
    }),
  ]
}

async function large(kernel: Kernel, { quick, add }: SuiteContext): Promise<void> {
  const size = quick ? 'quick' : 'full'
  const megabytes = LARGE_MEGABYTES[size]
  const turns = { rounds: LARGE_ROUNDS[size], batch: 0, warmUp: 1, count: 1 }
  const args = ['-c', String(megabytes * MEGABYTE), '/dev/zero']
  const captured = await takeTurns(
    [
      contender(SUBJECT, 1, () => kernel.run('head', args, { encoding: 'buffer', maxOutput: ROOM })),
      contender(CHILD_PROCESS, 1, () =>
        execFileOutput('head', args, { encoding: 'buffer', maxBuffer: ROOM }),
      ),
      contender('execa', 1, () => execa('head', args, { encoding: 'buffer', maxBuffer: ROOM })),
    ],
    turns,
  )
  const streamed = await takeTurns(
    [
      contender(SUBJECT, 1, async () => {
        const helper = kernel.run('head', args, { stdout: 'pipe' })
        helper.stdout?.resume()
        await helper
      }),
      contender(CHILD_PROCESS, 1, async () => {
        const child = spawn('head', args, { stdio: ['ignore', 'pipe', 'ignore'] })
        child.stdout.resume()
        await once(child, 'close')
      }),
      contender('execa', 1, async () => {
        const child = execa('head', args, { buffer: false, stdin: 'ignore' })
        child.stdout.resume()
        await child
      }),
    ],
    turns,
  )
  for (const [id, title, rows] of [
    ['captured', 'captured whole', captured],
    ['streamed', 'read from a stream', streamed],
  ] as const) {
    add({
      kind: 'comparison',
      suite: 'capture',
      id: `capture/large/${id}`,
      title: `${megabytes} MB of output, ${title}`,
      unit: 'MB/s',
      better: 'more',
      rows: scaled(rows, megabytes),
    })
  }
}

export const suite: Suite = {
  title: 'capture',
  sizes: { full: [50, 1024], quick: [50] },
  async run(context) {
    const { rss } = context
    const kernel = boot()
    context.add({
      kind: 'comparison',
      suite: 'capture',
      id: `capture/${rss}/small`,
      title: `/bin/echo with its output, ${IN_FLIGHT} in flight, service of ${rss} MB`,
      unit: '/s',
      better: 'more',
      rows: await takeTurns([...captureContenders(kernel, IN_FLIGHT), ...(rss <= PEERS_AT ? peers() : [])], {
        ...context.turns,
        ...(!context.quick && { warmUp: WARM_UP_MS }),
      }),
    })
    if (rss <= PEERS_AT) await large(kernel, context)
    await kernel.shutdown()
  },
}
