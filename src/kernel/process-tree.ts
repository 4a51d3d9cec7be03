/**
 * Ends a helper with all its descendants: those that left its process group, its session or their parents too.
 *
 * Descendants are found in two ways: by their parents, and by a mark that a child inherits from its parent whatever
 * else it changes, the timer slack (prctl(2), PR_SET_TIMERSLACK). A khelper sets its own to a number that is the
 * launch's before it starts a program; it stays within the slack that Linux gives anyway, by some microseconds.
 *
 * Marks repeat, and other kernels have marks of their own, in this process, in another service, in one that started this
 * one. So a mark alone says nothing of a process that has a parent: it is one of the tree if all those above it have the
 * mark too, up to one that has lost its parent and was handed to a process above this service. What is left to chance is
 * an orphan of another kernel with the same of 40 000 marks; kernels begin to count at a place of their own.
 *
 * They are stopped before they are signalled, until a look finds no new one: what is stopped starts nothing. Each is
 * held by a pidfd that is opened before its start time is read again, so that no signal reaches a pid's next owner.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { asFd, errno, type Fd, type Libc } from '../libc/index.js'

const SIGKILL = 9
const SIGCONT = 18
const SIGSTOP = 19
/** Looks at all processes; a tree that still grows after so many is one that forks faster than it can be stopped. */
const LOOKS = 64
/** Marks lie between a slack of 50 µs, which is Linux's own, and one of 90 µs. */
const LOWEST_MARK = 50_001
const MARKS = 40_000
/** Fields of /proc/<pid>/stat behind the name. */
const PARENT = 1
const GROUP = 2
const START = 19
const INIT = 1

/** Which helper's tree, and what it is sent. */
export interface TreeKill {
  readonly pid: number
  readonly mark: number
  /** When the helper was started, in ticks since the machine was: older processes are not its descendants. */
  readonly start: number
  readonly signal: number
  /** Its row in the table of processes, if it has not been reaped when this is asked for. */
  readonly process: { readonly index: number; readonly generation: number }
}

interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly start: number
}

/** The mark of the launch that is the `serial`-th. */
export const markOf = (serial: number): number => LOWEST_MARK + ((serial >>> 0) % MARKS)

/** Where a kernel begins to count its launches. */
export const firstSerial = (): number => Math.floor(Math.random() * MARKS)

/** When a process was started, in ticks since the machine was; undefined if it has gone. */
export function startOf(pid: number): number | undefined {
  return readStat(pid)?.start
}

/**
 * Signals the tree. Where descriptors have run out nobody can be looked for: then the helper itself and its process group
 * are signalled, whose numbers are known.
 * @returns how many processes were signalled
 */
export function killTree(libc: Libc, tree: TreeKill): number {
  const members = new Map<number, Fd>()
  try {
    for (let look = 0; look < LOOKS; look += 1) if (!stopNew(libc, tree, members)) break
    let signalled = 0
    for (const pidfd of members.values()) {
      if (libc.pidfdSendSignal(pidfd, tree.signal) === 0) signalled += 1
    }
    // What is killed needs no waking; anything else is to see its signal.
    if (tree.signal !== SIGKILL) for (const pidfd of members.values()) libc.pidfdSendSignal(pidfd, SIGCONT)
    if (
      tree.pid > 0 &&
      !members.has(tree.pid) &&
      signalGroup(tree.pid, tree.signal, (pid, signal) => libc.kill(pid, signal) === 0)
    )
      signalled += 1
    return signalled
  } finally {
    for (const pidfd of members.values()) libc.close(pidfd)
  }
}

/**
 * Signals a helper's process group, and the helper itself where it has joined another: the service's, for one.
 * @param kill as kill(2); tells whether the signal arrived
 * @returns whether one of both did
 */
export function signalGroup(
  pid: number,
  signal: number,
  kill: (pid: number, signal: number) => boolean,
): boolean {
  const group = kill(-pid, signal)
  const left = (readStat(pid)?.group ?? pid) !== pid
  return ((left || !group) && kill(pid, signal)) || group
}

/** The same for what `signalProcess` gives: a pid, or a negative one for its group and itself. */
export const signalTarget: typeof signalGroup = (target, signal, kill) =>
  target < 0 ? signalGroup(-target, signal, kill) : kill(target, signal)

/** Looks at all processes, and stops those of the tree that are not stopped yet. @returns whether there were any */
function stopNew(libc: Libc, tree: TreeKill, members: Map<number, Fd>): boolean {
  const entries = allProcesses().filter(({ start }) => start >= tree.start)
  const found = new Set<number>(members.keys())
  const parents = new Map(entries.map(({ pid, parent }) => [pid, parent] as const))
  const above = ancestors()
  for (const { pid } of entries) if (pid === tree.pid || isOrphanOf(tree, pid, parents, above)) found.add(pid)
  // Parents may stand behind their children: until nothing is added.
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const { pid, parent } of entries) if (found.has(parent)) found.add(pid)
  }
  found.delete(process.pid)
  let any = false
  for (const { pid, start } of entries) {
    if (!found.has(pid) || members.has(pid)) continue
    const pidfd = libc.pidfdOpen(pid)
    if (pidfd < 0) continue
    if (startOf(pid) !== start) {
      libc.close(asFd(pidfd))
      continue
    }
    members.set(pid, asFd(pidfd))
    if (libc.pidfdSendSignal(asFd(pidfd), SIGSTOP) !== -errno('ESRCH')) any = true
  }
  return any
}

/** Whether a process has the tree's mark, as all those above it have, up to one that lost its parent. */
function isOrphanOf(
  tree: TreeKill,
  pid: number,
  parents: ReadonlyMap<number, number>,
  above: ReadonlySet<number>,
): boolean {
  for (let at = pid; markOfProcess(at) === tree.mark; ) {
    const parent = parents.get(at)
    // Another helper of this service, whatever its mark; or somebody who is no descendant.
    if (parent === undefined || parent === process.pid) return false
    if (above.has(parent)) return true
    at = parent
  }
  return false
}

/** Those to whom an orphan of this service may be handed. */
function ancestors(): Set<number> {
  const above = new Set<number>([0, INIT])
  for (
    let at = readStat(process.pid)?.parent;
    at !== undefined && !above.has(at);
    at = readStat(at)?.parent
  ) {
    above.add(at)
  }
  return above
}

function allProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = []
  for (const name of namesInProc()) {
    const pid = Number(name)
    const entry = Number.isInteger(pid) ? readStat(pid) : undefined
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

function namesInProc(): string[] {
  try {
    return readdirSync('/proc')
  } catch {
    // No descriptor is left.
    return []
  }
}

function readStat(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name is in brackets, and may have some of its own.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      pid,
      parent: Number(fields[PARENT]),
      group: Number(fields[GROUP]),
      start: Number(fields[START]),
    }
  } catch {
    return undefined
  }
}

function markOfProcess(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/timerslack_ns`, 'latin1'))
  } catch {
    // It has gone, or is another user's.
    return undefined
  }
}
