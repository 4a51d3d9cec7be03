/**
 * `/bin/true`, and `/bin/echo` with its output, by khelper and by `node:child_process`.
 */
import { execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { type Kernel, UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../index.js'
import { SUBJECT } from './figures.js'
import { contender } from './in-flight.js'
import type { Contender } from './measure.js'

export const TRUE = '/bin/true'
export const ECHO = '/bin/echo'
export const CHILD_PROCESS = 'child_process'

export type WaitFor = 'exec' | 'exit'

const execFileOutput = promisify(execFile)

/** Starts `/bin/true` with nothing for its stdio, and waits for its exec or its exit. */
export function launchContenders(kernel: Kernel, limit: number, waitFor: WaitFor): Contender[] {
  const wait = waitFor === 'exec' ? UMH_WAIT_EXEC : UMH_WAIT_PROC
  return [
    contender(SUBJECT, limit, serial =>
      kernel.run(TRUE, [serial], { stdout: 'ignore', stderr: 'ignore', wait }),
    ),
    contender(
      CHILD_PROCESS,
      limit,
      serial =>
        new Promise((resolve, reject) => {
          spawn(TRUE, [serial], { stdio: 'ignore' })
            .on('error', reject)
            .on(waitFor === 'exec' ? 'spawn' : 'exit', resolve)
        }),
    ),
  ]
}

/** Runs `/bin/echo` and takes what it prints. */
export function captureContenders(kernel: Kernel, limit: number): Contender[] {
  return [
    contender(SUBJECT, limit, serial => kernel.run(ECHO, [serial])),
    contender(CHILD_PROCESS, limit, serial => execFileOutput(ECHO, [serial])),
  ]
}
