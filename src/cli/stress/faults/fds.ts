/**
 * No file descriptor is left: this process's limit is lowered, and files opened until EMFILE, again and again. Another
 * thread opens them, so that they are given back even while this one is blocked.
 */
import { readdirSync } from 'node:fs'
import type { Libc } from '../../../libc/index.js'
import type { Fault } from '../context.js'

const RLIMIT_NOFILE = 7
/** Descriptors that may be opened before there is none. */
const MARGIN = 64
/** Where the limit cannot be lowered, opening all there may be would take too long. */
const MOST_OPENED = 4_096

/** Sets the soft limit to what is open and a little more. @returns sets it back */
function lowerLimit(libc: Libc | undefined): () => void {
  if (libc === undefined) return () => {}
  const getrlimit = libc.library.func('int getrlimit(int, void *)')
  const setrlimit = libc.library.func('int setrlimit(int, void *)')
  const before = new BigUint64Array(2)
  if (getrlimit(RLIMIT_NOFILE, before) !== 0) return () => {}
  let highest: number
  try {
    highest = Math.max(...readdirSync('/proc/self/fd').map(Number))
  } catch {
    // There is none left already.
    return () => {}
  }
  const [soft = 0n, hard = 0n] = before
  const lower = BigInt(highest + MARGIN)
  if (lower < soft) setrlimit(RLIMIT_NOFILE, new BigUint64Array([lower, hard]))
  return () => void setrlimit(RLIMIT_NOFILE, before)
}

export const fds: Fault = {
  name: 'fds',
  weight: 1,
  async run({ kernel, ledger, threads }, random, step) {
    const entry = ledger.begin('fault/fds', step)
    const ms = random.between(10, 150)
    let restore = () => {}
    try {
      const [held = 0] = await threads.perform([{ do: 'hold-fds', ms, most: MOST_OPENED }], () => {
        restore = lowerLimit(kernel.libc)
      })
      entry.ended(held > 0 ? 'done' : 'none', ['done'])
    } finally {
      restore()
    }
  },
}
