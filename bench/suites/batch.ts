/**
 * Thousands of commands from a list: khelper xargs, xargs and GNU parallel.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { TRUE } from '../../src/cli/bench/launchers.js'
import { type Contender, takeTurns } from '../../src/cli/bench/measure.js'
import type { Suite, SuiteContext } from '../suite.js'

const KHELPER = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
const COMMANDS = { full: 5_000, quick: 200 }
const ROUNDS = { full: 5, quick: 1 }
/** At a time: as many as a small machine runs at once, and more. */
const PROCESSES = [2, 8]

function batch(name: string, file: string, args: readonly string[]): Contender {
  return {
    name,
    async run(count) {
      const items = Array.from({ length: count }, (_, index) => `${index}\n`).join('')
      const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'inherit'] })
      child.stdin.end(items)
      const [status] = await once(child, 'exit')
      if (status !== 0) throw new Error(`${name} exited with ${status}`)
      return undefined
    },
  }
}

function contenders(processes: string, leaveOut: SuiteContext['leaveOut']): Contender[] {
  const entered = [
    batch(SUBJECT, process.execPath, [KHELPER, 'xargs', '-P', processes, '-n1', TRUE]),
    batch('xargs', 'xargs', ['-P', processes, '-n1', TRUE]),
  ]
  if (spawnSync('parallel', ['--version']).error === undefined) {
    entered.push(batch('parallel', 'parallel', ['-j', processes, TRUE]))
  } else leaveOut('GNU parallel', 'it is not installed')
  return entered
}

export const suite: Suite = {
  title: 'batch',
  async run({ quick, add, leaveOut }) {
    const size = quick ? 'quick' : 'full'
    for (const processes of PROCESSES) {
      add({
        kind: 'comparison',
        suite: 'batch',
        id: `batch/${processes}`,
        title: `${COMMANDS[size]} times ${TRUE}, ${processes} at a time, from start to end of the command`,
        unit: '/s',
        better: 'more',
        rows: await takeTurns(contenders(String(processes), leaveOut), {
          rounds: ROUNDS[size],
          batch: 0,
          warmUp: 1,
          count: COMMANDS[size],
        }),
      })
    }
  },
}
