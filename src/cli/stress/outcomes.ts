/**
 * What calls end with, in words, and what faults may make of them.
 */
import type { RunResult } from '../../index.js'
import { errnoName, exitStatus, signalName, terminationSignal } from '../../libc/index.js'
import type { StressContext } from './context.js'
import type { Moment } from './weather.js'

/** 0, -errno or a raw wait status. */
export function retvalOutcome(retval: number): string {
  if (retval < 0) return `-${errnoName(retval)}`
  const signal = terminationSignal(retval)
  return signal === 0 ? `exit ${exitStatus(retval)}` : signalName(signal)
}

export function runOutcome(result: RunResult<string | Buffer>): string {
  if (result.aborted) return 'aborted'
  if (result.timedOut) return 'timed out'
  if (result.outputTruncated) return 'truncated'
  return retvalOutcome(result.retval)
}

export function errorOutcome(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code === undefined ? String(message ?? error) : `-${code}`
}

/** What each fault may make of any call that it meets. */
const BY_FAULT: Readonly<Record<string, readonly string[]>> = {
  // The table of pids is looked at before the exec, and posix_spawn says EMFILE as pipe2 does.
  fds: ['-EMFILE', '-ENFILE', '-EAGAIN', '-EOWNERDEAD', 'truncated'],
  disable: ['-EBUSY'],
  'khelper-death': ['-EOWNERDEAD', '-EAGAIN', 'exit 1'],
}

/** What a call that began at `moment` may have ended with. */
export function allowed(
  { weather }: StressContext,
  moment: Moment,
  ...results: readonly string[]
): readonly string[] {
  const more = Object.entries(BY_FAULT).flatMap(([fault, outcomes]) =>
    weather.since(moment, fault) ? outcomes : [],
  )
  return [...results, ...more]
}

/** What functions that need posix_spawn end with where the launcher is another. */
export const withoutPosixSpawn = ({ kernel }: StressContext): readonly string[] =>
  kernel.launcher.name === 'posix_spawn' ? [] : ['-ERR_KHELPER_UNSUPPORTED']
