/**
 * What a child's launch needs to be told at the moment of the call, because the launch itself comes later.
 */
import { statSync } from 'node:fs'

/** Characters of which the system may not take as many: what comes of it, Node finds out before `spawn` returns. */
const LONGEST_STRING = 30_000
const LONGEST_STRINGS = 300_000

/** Whether a child's strings are so long that its exec may fail for it. */
export function mayBeTooLong(...lists: readonly (readonly string[])[]): boolean {
  let total = 0
  for (const list of lists) {
    for (const { length } of list) {
      if (length > LONGEST_STRING) return true
      total += length
    }
  }
  return total > LONGEST_STRINGS
}

/** As glibc has it where there is no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin'

export const childEnvironment = (pairs: readonly string[] | undefined): readonly string[] =>
  pairs ?? Object.entries(process.env).map(([key, value]) => `${key}=${value}`)

/** Where execvp(3) would look for the program: the child's own PATH; undefined for a path. */
export function childSearchPath(file: string, envp: readonly string[]): string | undefined {
  if (file.includes('/')) return undefined
  return envp.find(entry => entry.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH
}

/** Whether there is something at `path` that is no folder. */
export function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false
  } catch {
    return false
  }
}

/** That of this moment: the service may have gone elsewhere when the child is launched. */
export function workingDirectory(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}
