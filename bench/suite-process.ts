/**
 * Runs one suite and sends its figures to the parent: suite-process.js NAME MEGABYTES [quick]
 */
import { growTo } from '../src/cli/bench/ballast.js'
import type { SuiteContext, SuiteMessage } from './suite.js'
import { SUITES } from './suites/index.js'

const QUICK_TURNS = { rounds: 2, batch: 10, warmUp: 0 }
const FULL_TURNS = { rounds: 9, batch: 100, warmUp: 300 }

const [name = '', megabytes = '0', mode] = process.argv.slice(2)
const suite = (await SUITES[name]?.())?.suite
if (suite === undefined) throw new Error(`no suite is named ${name}`)

/** Resolves when the parent has it. */
let sent: Promise<void> = Promise.resolve()
function send(message: SuiteMessage): void {
  sent = sent.then(() => new Promise(resolve => process.send?.(message, () => resolve())))
}

const quick = mode === 'quick'
const context: SuiteContext = {
  quick,
  rss: Number(megabytes),
  turns: quick ? QUICK_TURNS : FULL_TURNS,
  add: figure => send({ type: 'figure', figure }),
  leaveOut: (what, why) => send({ type: 'left-out', what, why }),
}

growTo(context.rss)
await suite.run(context)
await sent
// Peers' threads go with the process.
process.exit(0)
