/**
 * Whom a path depends on. Whoever may write to a folder can put something else in place of what is in it. So of a path
 * that is relied upon every folder up to the root, and every link on the way, has to be ours or root's, and nobody else
 * may write to the folders, unless they are sticky, as /tmp is: there everybody has only what is their own.
 */
import { type BigIntStats, lstatSync, readFileSync, readlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const ROOT = 0
const STICKY = 0o1000n
const GROUP_WRITES = 0o020n
const OTHERS_WRITE = 0o002n
/** As many as Linux follows. */
const MOST_LINKS = 40

/** What of a path is not to be relied upon. */
export interface Distrusted {
  readonly path: string
  /** What is wrong with it. */
  readonly reason: string
  /** Whose it is, if that is what is wrong. */
  readonly owner?: number
}

/**
 * Goes along a path as the system does.
 * @param uid who is trusted besides root and ourselves
 * @returns what it ends at, or the first on the way that is not to be relied upon
 * @throws the error of the file system where there is nothing, or nothing that may be seen
 */
export function walkPath(
  path: string,
  uid?: number,
):
  | { readonly end: BigIntStats; readonly distrusted?: never }
  | { readonly end?: never; readonly distrusted: Distrusted } {
  // Not normalized: what `..` is depends on the links before it.
  const ahead = (path.startsWith('/') ? path : `${process.cwd()}/${path}`).split('/')
  let at = '/'
  let stat = lstatSync(at, { bigint: true })
  let distrusted = distrust(at, stat, uid)
  if (distrusted !== undefined) return { distrusted }
  for (let links = 0, name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '' || name === '.') continue
    const next = join(at, name)
    stat = lstatSync(next, { bigint: true })
    distrusted = distrust(next, stat, uid)
    if (distrusted !== undefined) return { distrusted }
    if (!stat.isSymbolicLink()) {
      at = next
      continue
    }
    links += 1
    if (links > MOST_LINKS) throw tooManyLinks(path)
    const target = readlinkSync(next)
    ahead.unshift(...target.split('/'))
    at = target.startsWith('/') ? '/' : dirname(next)
    stat = lstatSync(at, { bigint: true })
  }
  return { end: stat }
}

/** What of a folder, or of the way there, is not to be relied upon. @throws the error of the file system */
export const distrustedFolder = (folder: string): Distrusted | undefined =>
  walkPath(resolve(folder)).distrusted

/**
 * Whether a user is root, ourselves or `uid`. One whom this user namespace does not know is nobody of them: all such have
 * one number.
 */
export function isTrustedUser(user: number, uid?: number): boolean {
  return (user === ROOT || user === process.geteuid?.() || user === uid) && !isUnknown(user)
}

function distrust(path: string, stat: BigIntStats, uid: number | undefined): Distrusted | undefined {
  const owner = Number(stat.uid)
  const onTheWay = stat.isDirectory() || stat.isSymbolicLink()
  // In a user namespace the system's own folders belong to nobody: whoever has made it has shown them to us.
  if (!isTrustedUser(owner, uid) && !(onTheWay && isUnknown(owner))) {
    return { path, owner, reason: `${path} is another user’s (uid ${owner})` }
  }
  if (!stat.isDirectory() || (stat.mode & STICKY) !== 0n || !othersWrite(stat)) return undefined
  return { path, reason: `others can write to ${path}` }
}

/** A group that has our number is ours alone: that is how distributions make them, and let them write to our folders. */
function othersWrite({ mode, gid, uid }: BigIntStats): boolean {
  const us = process.geteuid?.()
  const ownGroup = us !== ROOT && Number(uid) === us && Number(gid) === us && process.getegid?.() === us
  return (mode & (ownGroup ? OTHERS_WRITE : GROUP_WRITES | OTHERS_WRITE)) !== 0n
}

/** Whether a number is one that stands here for all whom this user namespace does not know. */
function isUnknown(user: number): boolean {
  if (user === ROOT) return false
  try {
    return !isMapped(user, readFileSync('/proc/self/uid_map', 'utf8'))
  } catch {
    // No Linux, or no /proc.
    return false
  }
}

/** Lines of: the first number here, the first outside, how many. */
function isMapped(user: number, map: string): boolean {
  return map
    .trim()
    .split('\n')
    .some(line => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number)
      return user >= first && user < first + count
    })
}

const tooManyLinks = (path: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`too many links: ${path}`), { code: 'ELOOP', syscall: 'open', path })
