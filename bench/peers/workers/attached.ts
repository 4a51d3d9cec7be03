/** Attaches to the kernel and calls it: see ../attached-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { noopContender } from '../../../src/cli/bench/noop.js'
import { attach, type KernelHandle } from '../../../src/index.js'
import type { CallsWanted } from '../attached-thread.js'

const kernel = attach(workerData as KernelHandle)
parentPort?.on('message', async (wanted: CallsWanted | null) => {
  if (wanted === null) {
    await kernel.shutdown()
    parentPort?.close()
    return
  }
  await noopContender(kernel, wanted.limit).run(wanted.count)
  parentPort?.postMessage('done')
})
