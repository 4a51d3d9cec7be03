/**
 * `khelper/child_process` and `khelper/register` beside Node's own module.
 */
import { execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as dropIn from '../../src/child-process.js'
import { eventLoopFigures } from '../../src/cli/bench/event-loop.js'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { CHILD_PROCESS, TRUE } from '../../src/cli/bench/launchers.js'
import { type Contender, summary, takeTurns } from '../../src/cli/bench/measure.js'
import type { Suite } from '../suite.js'

const IN_FLIGHT = 8
const EVENT_LOOP = { full: { rounds: 5, ms: 1_500 }, quick: { rounds: 1, ms: 100 } }
const EXECA_SERVICE = fileURLToPath(new URL('../probes/execa-service.js', import.meta.url))
const REGISTER = new URL('../../src/register.js', import.meta.url).href
const EXECA = {
  full: { rounds: 3, counts: { [SUBJECT]: 2_000, [CHILD_PROCESS]: 100 } },
  quick: { rounds: 1, counts: { [SUBJECT]: 20, [CHILD_PROCESS]: 20 } },
}
/** It takes some thousand launches until the threads run at their speed. */
const WARM_UP_MS = 1_000

const output = promisify(execFile)

const spawning = (name: string, start: typeof spawn): Contender =>
  contender(
    name,
    IN_FLIGHT,
    serial =>
      new Promise((resolve, reject) => {
        start(TRUE, [serial], { stdio: 'ignore' }).on('error', reject).on('exit', resolve)
      }),
  )

export const suite: Suite = {
  title: 'drop-in',
  sizes: { full: [50, 1024], quick: [50] },
  async run({ quick, rss, turns, add }) {
    const size = quick ? 'quick' : 'full'
    const contenders = [spawning(SUBJECT, dropIn.spawn), spawning(CHILD_PROCESS, spawn)]
    const work = `spawn by khelper/child_process, ${IN_FLIGHT} in flight, service of ${rss} MB`
    add({
      kind: 'comparison',
      suite: 'drop-in',
      id: `drop-in/${rss}/spawn`,
      title: `/bin/true: ${work}`,
      unit: '/s',
      better: 'more',
      rows: await takeTurns(contenders, { ...turns, ...(!quick && { warmUp: WARM_UP_MS }) }),
    })
    const figures = await eventLoopFigures(contenders, {
      suite: 'drop-in',
      id: `drop-in/${rss}`,
      work,
      ...EVENT_LOOP[size],
    })
    for (const figure of figures) add(figure)
    const rates = { [SUBJECT]: [] as number[], [CHILD_PROCESS]: [] as number[] }
    const { rounds, counts } = EXECA[size]
    for (let round = 0; round < rounds; round += 1) {
      for (const name of [SUBJECT, CHILD_PROCESS] as const) {
        const flags = name === SUBJECT ? ['--import', REGISTER] : []
        const { stdout } = await output(process.execPath, [
          ...flags,
          EXECA_SERVICE,
          String(rss),
          String(counts[name]),
        ])
        rates[name].push(Number(stdout))
      }
    }
    add({
      kind: 'comparison',
      suite: 'drop-in',
      id: `drop-in/${rss}/execa`,
      title: `execa, unmodified, with and without khelper/register, ${IN_FLIGHT} in flight, service of ${rss} MB`,
      unit: '/s',
      better: 'more',
      rows: [summary(SUBJECT, rates[SUBJECT]), summary(CHILD_PROCESS, rates[CHILD_PROCESS])],
    })
  },
}
