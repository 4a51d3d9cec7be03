/**
 * Folders that a service makes in a place that it shares with others. Their names tell whose they are, so that a later
 * service of the same user finds what one that was killed has left:
 *
 *   khelper-<kind>-<pid>-<its start time>-<its pid namespace>-XXXXXX
 *
 * They are the service's, and stay so: other users may write to none of them. Nothing is removed by recursion and no link
 * is followed: what is removed is files of known names, or what is in folders that look exactly as a service makes them,
 * one below another at most.
 */
import { lstatSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Entry, entriesOf, Folder, removeEmpty } from './folder.js'
import { startOf } from './process-tree.js'

const NAME = /^khelper-([a-z]+)-(\d+)-(\d+)-(\d+)-/
/** What mkdtemp(3) puts behind a name. */
const RANDOM_CHARACTERS = 6

const PRIVATE = 0o700
/** Others may pass it, and not list it. */
export const PASSABLE = 0o711
const MODES = {
  core: PRIVATE,
  cgroup: PRIVATE,
  credentials: PASSABLE,
  scratch: PRIVATE,
  socket: PRIVATE,
  umd: PRIVATE,
} as const
/** Of the folders in them. */
const MODES_BELOW = [PRIVATE, PASSABLE]
/** Folders of one kind are found together. */
type FolderKind = keyof typeof MODES

/** Entries of a place that are looked at, which all users may fill: some 20 ms. */
const MOST_LISTED = 16_384
/** Entries that are removed: some 10 ms. */
const MOST_REMOVED = 2_048

/** How many bytes the path of such a folder has. */
export const pathLength = (place: string, kind: FolderKind): number =>
  Buffer.byteLength(prefix(place, kind)) + RANDOM_CHARACTERS

/**
 * Makes a folder in a place that is safe.
 * @throws the error of the file system; nothing is left then
 */
export function makeServiceFolder(place: string, kind: FolderKind): string {
  const folder = Folder.make(prefix(place, kind), MODES[kind])
  folder.close()
  return folder.path
}

function prefix(place: string, kind: FolderKind): string {
  return join(place, `khelper-${kind}-${process.pid}-${startOf(process.pid) ?? 0}-${pidNamespace()}-`)
}

/**
 * Removes the files of these names from a folder, and then the folder. What else is in it is not looked at: whoever may
 * write to it can have put anything there, and any amount of it. The folder stays with that, for a later boot.
 */
export function removeFolder(path: string, names: Iterable<string>): void {
  try {
    const folder = Folder.open(path)
    try {
      for (const name of names) folder.remove(name)
    } finally {
      folder.close()
    }
  } catch {
    // It has gone, or another has come to its path.
  }
  removeEmpty(path)
}

/** The same for a folder whose files have no names that are known beforehand, as far as there are not too many. */
export function removeListed(path: string): void {
  try {
    removeOwn(path, [PRIVATE], { entries: MOST_REMOVED })
  } catch {
    // As above, or no descriptor is free to list it.
  }
}

/**
 * Removes folders of one kind that services of this user have left behind which have gone: those that are as a service
 * makes them, and so many of their entries that the event loop is not held up. What is left over is the next boot's.
 * @param place one that is safe
 */
export function removeLeftFolders(place: string, kind: FolderKind): void {
  const budget: Budget = { entries: MOST_REMOVED }
  for (const { name, isFolder } of listed(place)) {
    const [, itsKind, pid, start, namespace] = isFolder ? (NAME.exec(name) ?? []) : []
    if (itsKind !== kind || namespace !== pidNamespace()) continue
    if (budget.entries <= 0) return
    const path = join(place, name)
    try {
      // Asked first, because anybody can have made any number of such names.
      if (lstatSync(path).uid !== process.geteuid?.()) continue
      if (hasGone(Number(pid), Number(start))) removeOwn(path, [PRIVATE, MODES[kind]], budget)
    } catch {
      // Another service was faster, or it is none of a service's.
    }
  }
}

/** How many entries may still be removed. */
interface Budget {
  entries: number
}

/** @throws where it cannot be opened or listed */
function removeOwn(path: string, modes: readonly number[], budget: Budget): void {
  const folder = Folder.open(path, modes)
  try {
    for (const { name, isFolder } of folder.entries(budget.entries)) {
      budget.entries -= 1
      if (isFolder) removeBelow(folder, name, budget)
      else folder.remove(name)
    }
  } finally {
    folder.close()
  }
  removeEmpty(path)
}

/** A folder in one of a service's: its files go, and no folder below it. */
function removeBelow(above: Folder, name: string, budget: Budget): void {
  try {
    const folder = above.open(name, MODES_BELOW)
    try {
      for (const entry of folder.entries(budget.entries)) {
        budget.entries -= 1
        if (!entry.isFolder) folder.remove(entry.name)
      }
    } finally {
      folder.close()
    }
    above.removeFolder(name)
  } catch {
    // It is none of a service's.
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

function listed(place: string): Entry[] {
  try {
    return entriesOf(place, MOST_LISTED)
  } catch {
    return []
  }
}
