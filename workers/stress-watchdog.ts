/**
 * A thread that tells when the main thread of `khelper stress` is blocked for too long, which cannot tell itself: says
 * where every call stands, and ends the process.
 */
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { slotStates } from '../src/cli/stress/slot-states.js'
import type { WatchdogData } from '../src/cli/stress/watchdog.js'

const STDERR = 2
const LOOK_MS = 500

const { memory, heartbeat, longest, replay } = workerData as WatchdogData
const beats = new Int32Array(heartbeat)
let last = Atomics.load(beats, 0)
let since = performance.now()

setInterval(() => {
  const beat = Atomics.load(beats, 0)
  if (beat !== last) {
    last = beat
    since = performance.now()
  } else if (performance.now() - since > longest) {
    const lines = [`khelper: the main thread has been blocked for ${longest} ms`, ...slotStates(memory)]
    writeSync(STDERR, `${lines.join('\n  ')}\nagain: ${replay}\n`)
    process.kill(process.pid, 'SIGKILL')
  }
}, LOOK_MS)
