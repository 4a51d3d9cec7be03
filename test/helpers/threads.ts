/**
 * Runs a piece of code in real threads.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const LIBRARY = new URL('../../src/atomics-sync/index.js', import.meta.url).href

/**
 * @param source an async function's body, which has all of khelper/atomics-sync, `data` and `index`
 * @returns a promise that resolves when every thread has ended, and rejects if one fails
 */
export async function inThreads(count: number, source: string, data: Record<string, unknown>): Promise<void> {
  const code = `
    const { workerData: { data, index } } = require('node:worker_threads')
    const open = setInterval(() => {}, 2 ** 30)
    import('${LIBRARY}')
      .then(({ Backoff, Completion, Doorbell, LockFreeList, MpmcQueue, Slab, WaitQueue }) =>
        (async () => { ${source} })())
      .finally(() => clearInterval(open))`
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const [exitCode] = await once(new Worker(code, { eval: true, workerData: { data, index } }), 'exit')
      if (exitCode !== 0) throw new Error(`thread ${index} exited with ${exitCode}`)
    }),
  )
}
