/**
 * A thread that attaches to a kernel and makes calls when it is told to.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { KernelHandle } from '../../src/index.js'

/** What the thread is told. */
export interface CallsWanted {
  readonly count: number
  readonly limit: number
}

export class AttachedThread {
  readonly #worker: Worker

  constructor(handle: KernelHandle) {
    this.#worker = new Worker(new URL('./workers/attached.js', import.meta.url), { workerData: handle })
  }

  /** Makes `count` no-op calls, `limit` in flight. */
  async run(count: number, limit: number): Promise<void> {
    const wanted: CallsWanted = { count, limit }
    this.#worker.postMessage(wanted)
    await once(this.#worker, 'message')
  }

  async close(): Promise<void> {
    this.#worker.postMessage(null)
    await once(this.#worker, 'exit')
  }
}
