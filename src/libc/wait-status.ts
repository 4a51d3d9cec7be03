/**
 * What wait(2) gives for a process that has ended: its exit status, or the signal that it died of.
 */
import { constants } from 'node:os'

const EXIT_SHIFT = 8
const STATUS_MASK = 0xff
const SIGNAL_MASK = 0x7f

const signalNames = new Map<number, NodeJS.Signals>()
for (const [name, number] of Object.entries(constants.signals)) {
  // Of two names of a number the first is the usual one: SIGABRT, and not SIGIOT.
  if (!signalNames.has(number)) signalNames.set(number, name as NodeJS.Signals)
}

/** Of a process that has called `exit(status)`. */
export const waitStatusOf = (status: number): number => (status & STATUS_MASK) << EXIT_SHIFT

/** `WEXITSTATUS`: means something only where there is no `terminationSignal`. */
export const exitStatus = (waitStatus: number): number => (waitStatus >> EXIT_SHIFT) & STATUS_MASK

/** `WTERMSIG`: the number of the signal that the process died of; 0 if it exited. */
export const terminationSignal = (waitStatus: number): number => waitStatus & SIGNAL_MASK

/** The signal's name as Node has it; one of real time, which has none, is `SIG` and its number. */
export const signalName = (signal: number): NodeJS.Signals =>
  signalNames.get(signal) ?? (`SIG${signal}` as NodeJS.Signals)
