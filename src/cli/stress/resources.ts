/**
 * What this process and its kernel hold, before and after.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { KernelStats } from '../../index.js'

export interface Resources {
  /** What each descriptor is, as /proc names it. */
  readonly fds: readonly string[]
  readonly threads: number
  /** Children by pid and name; zombies say so. */
  readonly children: readonly string[]
  /** Bytes. */
  readonly rss: number
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function childrenOf(parent: number): string[] {
  return entries('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const end = stat.lastIndexOf(')')
      const [state, itsParent] = stat.slice(end + 2).split(' ')
      if (Number(itsParent) !== parent) return []
      return [`${pid} ${stat.slice(stat.indexOf('(') + 1, end)}${state === 'Z' ? ', a zombie' : ''}`]
    } catch {
      // It has gone meanwhile.
      return []
    }
  })
}

export function resources(): Resources {
  const fds = entries('/proc/self/fd').flatMap(fd => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`]
    } catch {
      // The one by which the list was read.
      return []
    }
  })
  return {
    fds,
    threads: entries('/proc/self/task').length,
    children: childrenOf(process.pid),
    rss: process.memoryUsage.rss(),
  }
}

/** What Node 20 itself leaves, as a few lines without khelper show: the epoll set of a thread that misses a descriptor. */
const LEFT_BY_NODE = /anon_inode:\[eventpoll\]$/

/** Descriptors that are there after and were not before, those of Node's own apart. */
export function newFds(
  before: Resources,
  after: Resources,
): { readonly ours: string[]; readonly nodes: string[] } {
  const more = after.fds.filter(fd => !before.fds.includes(fd))
  return {
    ours: more.filter(fd => !LEFT_BY_NODE.test(fd)),
    nodes: more.filter(fd => LEFT_BY_NODE.test(fd)),
  }
}

/** What is held after that was not before, each in a line. */
export function leaked(before: Resources, after: Resources): string[] {
  const leaks: string[] = []
  const { ours, nodes } = newFds(before, after)
  const more = after.fds.length - nodes.length - before.fds.length
  if (more > 0) leaks.push(`${more} file descriptors: ${ours.join(', ')}`)
  if (after.threads > before.threads) leaks.push(`${after.threads - before.threads} threads`)
  const children = after.children.filter(child => !before.children.includes(child))
  if (children.length > 0) leaks.push(`${children.length} children: ${children.join('; ')}`)
  return leaks
}

/** What a kernel holds although it has nothing to do, each in a line. */
export function held({ descriptors, inFlight, queued, running, processes }: KernelStats): string[] {
  const leaks: string[] = []
  const { capacity, available } = descriptors
  if (available !== capacity) leaks.push(`${capacity - available} descriptors of the kernel`)
  if (inFlight !== 0) leaks.push(`${inFlight} calls in flight`)
  if (queued !== 0) leaks.push(`${queued} queued calls`)
  if (running !== 0) leaks.push(`${running} callers inside exec`)
  if (processes !== 0) leaks.push(`${processes} processes that are not reaped`)
  return leaks
}

const LOOK_MS = 20

/** Waits until nothing is leaked, or the time is over. @returns what still is */
export async function settled(look: () => string[], ms: number): Promise<string[]> {
  const deadline = performance.now() + ms
  let leaks = look()
  while (leaks.length > 0 && performance.now() < deadline) {
    await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    leaks = look()
  }
  return leaks
}
