/**
 * What the world outside does: a full disk, a clock that jumps, signals from elsewhere, other children's SIGCHLD.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Fault, StressContext } from '../context.js'
import { allowed, errorOutcome, runOutcome } from '../outcomes.js'
import { runCall } from '../run-call.js'

const DAY_MS = 86_400_000
const FULL = '/dev/full'
const LOOK_MS = 2
const STATE_AT_LEAST_MS = 5_000

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/**
 * Standard output is a file on a disk that is full: the helper hears of it, or is not started where not even the file can
 * be made. Where one may not mount, a device does for the disk.
 */
export const fullDisk: Fault = {
  name: 'full-disk',
  weight: 1,
  async run(context, random, step) {
    const calls = Array.from({ length: random.between(1, 8) }, () => {
      const [file, result] = random.pick(fullFiles(context))
      return runCall(context, {
        name: 'fault/full-disk',
        step,
        file: 'sh',
        args: ['-c', 'echo x 2>/dev/null || exit 28'],
        options: { stdout: { file } },
        results: [result],
      })
    })
    await Promise.all(calls)
  },
}

type FullFile = readonly [file: string, outcome: string]

/** Files, and what writing to them comes to. */
const fullFiles = ({ fullDisk }: StressContext): readonly [FullFile, ...FullFile[]] =>
  fullDisk === undefined
    ? [existsSync(FULL) ? [FULL, 'exit 28'] : ['/dev/null', 'exit 0']]
    : [
        [fullDisk.file, 'exit 28'],
        [fullDisk.newFile, '-ENOSPC'],
      ]

/** The wall clock jumps back and forth by days: timeouts go by another. */
export const clock: Fault = {
  name: 'clock',
  weight: 1,
  async run(_context, random) {
    const real = Date.now
    try {
      for (let jump = random.between(2, 10); jump > 0; jump -= 1) {
        const by = random.between(-30 * DAY_MS, 30 * DAY_MS)
        Date.now = () => real.call(Date) + by
        await sleep(random.between(1, 20))
      }
    } finally {
      Date.now = real
    }
  },
}

const stateOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat[stat.lastIndexOf(')') + 2]
  } catch {
    return undefined
  }
}

/** SIGSTOP, SIGCONT and SIGKILL that somebody else sends to helpers. */
export const signals: Fault = {
  name: 'signals',
  weight: 2,
  async run(context, random, step) {
    const helpers = Array.from({ length: random.between(1, 6) }, () =>
      signalled(context, step, random.pick(['stop', 'kill', 'stop-and-time-out'])),
    )
    await Promise.all(helpers)
  },
}

async function signalled(
  context: StressContext,
  step: number,
  what: 'stop' | 'kill' | 'stop-and-time-out',
): Promise<void> {
  const moment = context.weather.now
  const entry = context.ledger.begin(`signals/${what}`, step)
  const expected = { stop: 'exit 0', kill: 'SIGKILL', 'stop-and-time-out': 'timed out' }[what]
  try {
    // It ends by itself only when its input does: its pid stays its own until it is told to.
    const helper = context.kernel.run('/bin/cat', [], {
      stdin: 'pipe',
      reject: false,
      ...(what === 'stop-and-time-out' && { timeout: 30, forceKillAfter: 10 }),
    })
    const { pid, stdin } = helper
    stdin?.on('error', () => {})
    if (pid !== undefined) {
      if (what === 'kill') process.kill(pid, 'SIGKILL')
      else await stop(pid, what === 'stop')
    }
    stdin?.end('and on')
    const result = await helper
    const outcome = runOutcome(result)
    if (outcome === 'exit 0' && result.stdout !== 'and on')
      entry.wrong(`stopped, continued, and said ${result.stdout}`)
    entry.ended(outcome, allowed(context, moment, expected))
  } catch (error) {
    entry.ended(errorOutcome(error), allowed(context, moment))
  }
}

async function stop(pid: number, goesOn: boolean): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  for (let waited = 0; waited < STATE_AT_LEAST_MS; waited += LOOK_MS) {
    const state = stateOf(pid)
    if (state === 'T' || state === 'Z' || state === undefined) break
    await sleep(LOOK_MS)
  }
  if (goesOn) process.kill(pid, 'SIGCONT')
}

/** Children of node:child_process, whose SIGCHLD comes between: each side reaps its own. */
export const sigchld: Fault = {
  name: 'sigchld',
  weight: 1,
  async run(context, random, step) {
    const moment = context.weather.now
    const children = Array.from({ length: random.between(1, 8) }, () => {
      const status = random.below(3)
      const entry = context.ledger.begin('fault/sigchld', step)
      const result = `exit ${status}`
      return new Promise<void>(resolve => {
        const ended = (outcome: string) => {
          entry.ended(outcome, [...allowed(context, moment, result), '-EBADF'])
          resolve()
        }
        try {
          const child = spawn('/bin/sh', ['-c', `exit ${status}`], {
            stdio: 'ignore',
            // A terminal's Ctrl-C is for us.
            detached: true,
          })
          child.once('error', error => ended(errorOutcome(error)))
          child.once('exit', (code, signal) => ended(signal ?? `exit ${code}`))
        } catch (error) {
          ended(errorOutcome(error))
        }
      })
    })
    await Promise.all(children)
  },
}
