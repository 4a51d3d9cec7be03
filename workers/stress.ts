/**
 * A thread of `khelper stress`: attached to its kernel, does one task after the other.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { perform, type ThreadTask } from '../src/cli/stress/thread-tasks.js'
import type { ThreadReply, ThreadRequest } from '../src/cli/stress/threads.js'
import { attach, type KernelHandle } from '../src/kernel/kernel.js'

const kernel = attach(workerData as KernelHandle)
const reply = (message: ThreadReply) => parentPort?.postMessage(message)

async function serve(id: number, task: ThreadTask): Promise<void> {
  try {
    reply({ id, result: await perform(task, kernel, cleanup => reply({ cleanup })) })
  } catch (error) {
    reply({ id, error: String((error as Error).stack ?? error) })
  }
}

parentPort?.on('message', async (request: ThreadRequest) => {
  if (request !== 'leave') await serve(request.id, request.task)
  else {
    await kernel.shutdown()
    parentPort?.close()
  }
})
