/**
 * Folders that a service makes in a place that it shares with others. Their names tell whose they are, so that a later
 * service of the same user finds what one that was killed has left:
 *
 *   khelper-<kind>-<pid>-<its start time>-<its pid namespace>-XXXXXX
 */
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startOf } from './process-tree.js'

const NAME = /^khelper-([a-z]+)-(\d+)-(\d+)-(\d+)-/
/** What mkdtemp(3) puts behind a name. */
const RANDOM_CHARACTERS = 6

/** How many bytes the path of such a folder has. */
export const pathLength = (place: string, kind: string): number =>
  Buffer.byteLength(prefix(place, kind)) + RANDOM_CHARACTERS

/**
 * Makes a folder that only this user may enter.
 * @param kind letters, the same for all folders that `removeLeftFolders` is to find together
 * @throws the error of the file system
 */
export const makeServiceFolder = (place: string, kind: string): string => mkdtempSync(prefix(place, kind))

function prefix(place: string, kind: string): string {
  return join(place, `khelper-${kind}-${process.pid}-${startOf(process.pid) ?? 0}-${pidNamespace()}-`)
}

/** Removes folders of one kind that services of this user have left behind which have gone. */
export function removeLeftFolders(place: string, kind: string): void {
  for (const name of names(place)) {
    const [, itsKind, pid, start, namespace] = NAME.exec(name) ?? []
    if (itsKind !== kind || namespace !== pidNamespace() || !hasGone(Number(pid), Number(start))) continue
    const path = join(place, name)
    try {
      const stat = lstatSync(path)
      if (stat.isDirectory() && stat.uid === process.getuid?.())
        rmSync(path, { recursive: true, force: true })
    } catch {
      // Another service was faster.
    }
  }
}

/**
 * Whether a process has ended: its pid is nobody's, or, where /proc tells, another's.
 * @param start undefined or 0 where it could not be read, as without a free descriptor: then any process of this pid is it
 */
export function hasGone(pid: number, start: number | undefined): boolean {
  const now = start ? startOf(pid) : undefined
  if (now !== undefined) return now !== start
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** The inode of the pid namespace, 0 where there is none: a pid says nothing about services in another one. */
export function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
