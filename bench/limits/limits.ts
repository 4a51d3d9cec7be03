/**
 * The machine's limits: small C programs that do khelper's work and nothing else, compiled where there is a
 * C compiler.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Contender } from '../../src/cli/bench/measure.js'
import type { SuiteContext } from '../suite.js'

/** The sources stay where they are; programs go beside the compiled benches. */
const SOURCES = fileURLToPath(new URL('../../../bench/limits/', import.meta.url))
const PROGRAMS = fileURLToPath(new URL('./programs/', import.meta.url))

const output = promisify(execFile)

export type LimitName = 'posix-spawn-loop' | 'futex-ping-pong' | 'shared-memory-ring'

/**
 * A C program as a contender: it is given how often to do its work and `args`, and prints how many
 * milliseconds it took.
 * @returns undefined where there is no C compiler, which the report then says
 */
export function limitContender(
  program: LimitName,
  name: string,
  args: readonly string[],
  context: SuiteContext,
): Contender | undefined {
  const path = compiled(program)
  if (path === undefined) {
    context.leaveOut(name, 'no C compiler (cc) is installed')
    return undefined
  }
  return {
    name,
    async run(count) {
      const { stdout } = await output(path, [String(count), ...args])
      return Number(stdout)
    },
  }
}

function compiled(program: LimitName): string | undefined {
  const source = `${SOURCES}${program}.c`
  const path = `${PROGRAMS}${program}`
  const made = statSync(path, { throwIfNoEntry: false })
  if (made !== undefined && made.mtimeMs > statSync(source).mtimeMs) return path
  mkdirSync(PROGRAMS, { recursive: true })
  const { status, error } = spawnSync('cc', ['-O2', '-Wall', '-pthread', '-o', path, source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined
  if (status !== 0) throw new Error(`cc could not compile ${source}`)
  return path
}
