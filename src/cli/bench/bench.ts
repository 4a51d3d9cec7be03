/**
 * `khelper bench`: what khelper does on this machine, beside `node:child_process`.
 */
import { freemem } from 'node:os'
import { boot, type Kernel } from '../../index.js'
import { UsageError } from '../usage-error.js'
import { growTo } from './ballast.js'
import { eventLoopFigures } from './event-loop.js'
import type { Figure } from './figures.js'
import { captureContenders, launchContenders } from './launchers.js'
import { machine, machineLine } from './machine.js'
import { type Contender, type Turns, takeTurns } from './measure.js'
import { noopContender } from './noop.js'
import { table } from './table.js'

export interface BenchCommandOptions {
  readonly rss?: number
  readonly quick?: true
  readonly json?: true
}

const LAUNCHES_IN_FLIGHT = 8
const CALLS_IN_FLIGHT = [1, 64, 4096]
const MEGABYTE = 2 ** 20

interface Extent {
  readonly turns: Turns
  readonly eventLoop: { readonly rounds: number; readonly ms: number }
}

const FULL: Extent = {
  turns: { rounds: 7, batch: 100, warmUp: 300 },
  eventLoop: { rounds: 3, ms: 1_000 },
}
const QUICK: Extent = {
  turns: { rounds: 1, batch: 10, warmUp: 0 },
  eventLoop: { rounds: 1, ms: 100 },
}

export async function benchCommand({ rss, quick, json }: BenchCommandOptions): Promise<void> {
  if (rss !== undefined && rss * MEGABYTE > freemem()) {
    throw new UsageError(
      `--rss ${rss}: only ${Math.floor(freemem() / MEGABYTE)} MB of memory are free on this machine`,
    )
  }
  const figures: Figure[] = []
  const tell = (figure: Figure): void => {
    figures.push(figure)
    if (!json) console.log(table(figure))
  }
  if (!json) console.log(`${machineLine(machine())}\n`)
  growTo(rss ?? 0)
  const kernel = boot()
  await kernel.ready
  if (!json) console.log(`launcher: ${kernel.launcher.name} (${kernel.launcher.reason})\n`)
  for await (const figure of measured(kernel, quick ? QUICK : FULL)) tell(figure)
  await kernel.shutdown()
  if (json) {
    const megabytes = Math.round(process.memoryUsage.rss() / MEGABYTE)
    console.log(JSON.stringify({ machine: machine(), megabytes, figures }, null, 2))
  }
}

async function* measured(kernel: Kernel, { turns, eventLoop }: Extent): AsyncGenerator<Figure> {
  const compare = async (id: string, title: string, contenders: readonly Contender[]): Promise<Figure> => ({
    kind: 'comparison',
    suite: id.slice(0, id.indexOf('/')),
    id,
    title,
    unit: '/s',
    better: 'more',
    rows: await takeTurns(contenders, turns),
  })
  const limit = LAUNCHES_IN_FLIGHT
  yield await compare('launch/exit', `/bin/true, ${limit} in flight`, launchContenders(kernel, limit, 'exit'))
  yield await compare(
    'launch/capture',
    `/bin/echo with its output, ${limit} in flight`,
    captureContenders(kernel, limit),
  )
  yield* await eventLoopFigures(launchContenders(kernel, limit, 'exit'), {
    suite: 'event-loop',
    id: 'event-loop',
    work: `launches, ${limit} in flight`,
    ...eventLoop,
  })
  for (const calls of CALLS_IN_FLIGHT) {
    yield await compare(`dispatch/${calls}`, `In-thread no-op, ${calls} in flight`, [
      noopContender(kernel, calls),
    ])
  }
}
