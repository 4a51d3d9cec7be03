/**
 * What this process holds, to compare before and after.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export const openFds = (): number => readdirSync('/proc/self/fd').length

/** The descriptors of this process and what each is, to tell what has been opened since from what Node closes meanwhile. */
export const descriptors = (): string[] =>
  readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return `${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`
    } catch {
      // It was that of the folder itself.
      return []
    }
  })

export const threads = (): number => readdirSync('/proc/self/task').length

/** Mappings of this process's address space, of which Linux gives it 65 530. */
export const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length

/** Children of this process that nobody has reaped. */
export function zombies(): number {
  let count = 0
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (state === 'Z' && Number(parent) === process.pid) count += 1
    } catch {
      // It has gone meanwhile.
    }
  }
  return count
}

/** Waits until `condition` holds; fails after a generous time, with what was waited for. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`still not so after 30 s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Whether a process is there and no zombie. */
export function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch {
    return false
  }
}

/** Counts the turns of the event loop until it is stopped. */
export function countTurns(): { readonly turn: number; stop(): void } {
  let turn = 0
  let next = setImmediate(function count() {
    turn += 1
    next = setImmediate(count)
  })
  return {
    get turn() {
      return turn
    },
    stop: () => clearImmediate(next),
  }
}
