/**
 * Sees that the main thread itself is not blocked for ever: a thread looks whether its heart beats.
 */
import { Worker } from 'node:worker_threads'
import { workerFile } from '../worker-file.js'

export interface WatchdogData {
  /** The kernel's. */
  readonly memory: SharedArrayBuffer
  readonly heartbeat: SharedArrayBuffer
  /** Milliseconds. */
  readonly longest: number
  readonly replay: string
}

const BEAT_MS = 500

export class Watchdog {
  readonly #worker: Worker
  readonly #timer: NodeJS.Timeout

  constructor(memory: SharedArrayBuffer, longest: number, replay: string) {
    const heartbeat = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
    const words = new Int32Array(heartbeat)
    const workerData: WatchdogData = { memory, heartbeat, longest, replay }
    this.#worker = new Worker(workerFile('stress-watchdog'), { name: 'stress/watchdog', workerData })
    this.#timer = setInterval(() => Atomics.add(words, 0, 1), BEAT_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#worker.terminate()
  }
}
