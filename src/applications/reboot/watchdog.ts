/**
 * Ends this process by SIGKILL when its time is over, whatever its main thread is doing: an endless loop lets no timer
 * fire, so it is a thread that waits. A thread of its own, because khelpers can be held or have left by then.
 */
import { Worker } from 'node:worker_threads'

const WAIT_THEN_KILL = `
  const { workerData: { stopped, milliseconds } } = require('node:worker_threads')
  if (Atomics.wait(stopped, 0, 0, milliseconds) === 'timed-out') process.kill(process.pid, 'SIGKILL')`

/**
 * @param milliseconds until it ends the process; the thread keeps no process alive and goes with it
 * @returns stops it
 */
export function startWatchdog(milliseconds: number): () => void {
  const stopped = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  try {
    const worker = new Worker(WAIT_THEN_KILL, {
      eval: true,
      name: 'reboot-watchdog',
      workerData: { stopped, milliseconds },
      // What the service was started with may not suit a thread.
      execArgv: [],
    })
    worker.on('error', () => {})
    worker.unref()
  } catch {
    // There is no thread left to be had: the end goes its way without a watchdog.
  }
  return () => {
    // Seen by a thread that comes up later, too.
    Atomics.store(stopped, 0, 1)
    Atomics.notify(stopped, 0)
  }
}
