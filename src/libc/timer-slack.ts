/**
 * The timer slack: what a thread's children inherit, and theirs, whatever else they change. It is the calling thread's.
 */
import { arch } from 'node:process'
import type { Libc } from './libc.js'

const SYS_PRCTL = arch === 'x64' ? 157 : 167
const PR_SET_TIMERSLACK = 29

/** By how much timers of what this thread starts may be late, in nanoseconds. */
export const setTimerSlack = (libc: Libc, nanoseconds: number): number =>
  libc.systemCall(SYS_PRCTL, PR_SET_TIMERSLACK, nanoseconds)
