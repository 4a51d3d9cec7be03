/**
 * The table of processes that were started by posix_spawn and are not reaped yet.
 *
 *   FREE → STARTING   the khelper that is about to start it
 *   STARTING → LIVE   the same khelper, before anybody is told of the exec; it can be signalled from here
 *   LIVE ⇄ SIGNALLING whoever sends it a signal, for the length of one system call
 *   LIVE → REAPED     the wait_for_helper thread, before `wait4`
 *   REAPED → FREE     the same
 *
 * A pid may be signalled only while its row is held in SIGNALLING: until `wait4` the kernel gives
 * the number to nobody else, and `wait4` comes after REAPED, which only LIVE can become.
 */
import { Control, type Memory, Process, type ProcessIndex, ProcessState } from './memory.js'

/** How often a thread looks again while another is at a row, a millisecond apart: its system call is over
 * long before, unless its thread has died in the middle of it. */
const LOOKS = 1_000
const LOOK_MS = 1

/** Takes a row for a process about to be started; -1 if there is none left. */
export function allocateProcess(memory: Memory): ProcessIndex | -1 {
  const index = memory.processes.allocate()
  if (index < 0) return -1
  const { words } = memory
  const row = memory.process(index as ProcessIndex)
  const generation = ((words[row + Process.GENERATION] ?? 0) + 1) | 0
  words.fill(0, row + Process.PID, row + Process.WORDS)
  words[row + Process.GENERATION] = generation
  Atomics.store(words, row + Process.STATE, ProcessState.STARTING)
  Atomics.add(words, memory.control(Control.PROCESSES), 1)
  return index as ProcessIndex
}

/** Gives a row back: its process was reaped, or never started. */
export function freeProcess(memory: Memory, process: ProcessIndex): void {
  Atomics.store(memory.words, memory.process(process) + Process.STATE, ProcessState.FREE)
  memory.processes.free(process)
  Atomics.sub(memory.words, memory.control(Control.PROCESSES), 1)
}

/** LIVE → REAPED: from here on nobody signals it. */
export function claimForReaping(memory: Memory, process: ProcessIndex): void {
  const at = memory.process(process) + Process.STATE
  for (let look = 0; look < LOOKS; look += 1) {
    const before = Atomics.compareExchange(memory.words, at, ProcessState.LIVE, ProcessState.REAPED)
    if (before !== ProcessState.SIGNALLING) return
    Atomics.wait(memory.words, at, ProcessState.SIGNALLING, LOOK_MS)
  }
  Atomics.store(memory.words, at, ProcessState.REAPED)
}

/**
 * Signals a process, or its whole group where it was started as the leader of one.
 * @param send sends a signal to a pid, or for a negative one to its group and to itself; tells whether it arrived
 * @returns whether there was a process to signal
 */
export function signalProcess(
  memory: Memory,
  process: ProcessIndex,
  generation: number,
  signal: number,
  send: (pid: number, signal: number) => boolean,
): boolean {
  const { words } = memory
  const row = memory.process(process)
  for (let look = 0; look < LOOKS; look += 1) {
    const before = Atomics.compareExchange(
      words,
      row + Process.STATE,
      ProcessState.LIVE,
      ProcessState.SIGNALLING,
    )
    if (before === ProcessState.SIGNALLING) {
      Atomics.wait(words, row + Process.STATE, ProcessState.SIGNALLING, LOOK_MS)
      continue
    }
    if (before !== ProcessState.LIVE) return false
    try {
      if (words[row + Process.GENERATION] !== generation) return false
      const pid = words[row + Process.PID] ?? 0
      return send(words[row + Process.GROUP] === 1 ? -pid : pid, signal)
    } finally {
      Atomics.compareExchange(words, row + Process.STATE, ProcessState.SIGNALLING, ProcessState.LIVE)
    }
  }
  return false
}
