/**
 * The in-thread helper of `khelper stress`: its first argument says how it ends.
 */
import { writeFileSync } from 'node:fs'

const EXIT_STATUS = 7
/** So soon that the thread is at something else by then. */
const LATER_MS = 1

const ENDINGS: Readonly<Record<string, (argument: string) => number | Promise<number>>> = {
  return: status => Number(status),
  later: async status => {
    await new Promise(resolve => setTimeout(resolve, LATER_MS))
    return Number(status)
  },
  throw: () => {
    throw new Error('thrown on purpose')
  },
  reject: () => Promise.reject(new Error('rejected on purpose')),
  exit: () => process.exit(EXIT_STATUS),
  loop: () => {
    for (;;);
  },
  memory: () => {
    const hoard: unknown[] = []
    for (;;) hoard.push(new Array(10_000).fill(hoard.length))
  },
  /** Comes back, and takes the thread with it when something else may be running there; then writes a file. */
  bomb: marker => {
    process.once('exit', () => writeFileSync(marker, ''))
    setTimeout(() => {
      throw new Error('the thread dies on purpose')
    }, LATER_MS)
    return 0
  },
}

export default ([, ending = '', argument = '']: readonly string[]): number | Promise<number> =>
  (ENDINGS[ending] ?? (() => EXIT_STATUS))(argument)
