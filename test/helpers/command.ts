/**
 * The built khelper command, as a process of its own.
 */
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export interface Ended {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export function khelper(args: readonly string[], input: string | Buffer = ''): Ended {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    input,
    encoding: 'utf8',
  })
  return { status, signal, stdout, stderr }
}

export const startKhelper = (args: readonly string[], options: SpawnOptions = {}) =>
  spawn(process.execPath, [MAIN, ...args], options)
