/**
 * Exit codes of the command, as shells and GNU xargs have them.
 */
import { constants } from 'node:os'
import type { RunResult } from '../index.js'

/** A command was found and could not be executed. */
export const CANNOT_EXECUTE = 126
/** A command was not found. */
const NOT_FOUND = 127
/** A command was killed by a signal: this, plus the signal's number. */
const SIGNALLED = 128
/** `khelper run` itself failed, as with env(1) and timeout(1). */
export const RUN_FAILED = 125

/** Names as `getSystemErrorName` gives them that mean that there is no such program. */
const MISSING: readonly string[] = ['ENOENT', 'ENOTDIR']
/** … that there is one, which cannot be executed. */
const UNUSABLE: readonly string[] = ['EACCES', 'ENOEXEC', 'EISDIR', 'EPERM', 'ELOOP', 'ETXTBSY', 'E2BIG']

/** What a shell's `$?` would be; `code` is the error's name where nothing was started. */
export function shellExitCode(result: Pick<RunResult, 'exitCode' | 'signalCode'>, code?: string): number {
  if (result.exitCode !== null) return result.exitCode
  if (result.signalCode !== null) return SIGNALLED + (constants.signals[result.signalCode] ?? 0)
  return launchExitCode(code) ?? RUN_FAILED
}

/** 126 or 127 for a program that could not be started for its own sake. */
export function launchExitCode(code: string | undefined): number | undefined {
  if (code === undefined) return undefined
  if (MISSING.includes(code)) return NOT_FOUND
  return UNUSABLE.includes(code) ? CANNOT_EXECUTE : undefined
}
