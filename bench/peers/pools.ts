/**
 * Worker pools, each as it is meant to be used: a call is given argv and envp, and an exit status comes back.
 */
import { Worker } from 'node:worker_threads'
import { type Remote, wrap } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { Piscina } from 'piscina'
import { FixedThreadPool } from 'poolifier'
import { Tinypool } from 'tinypool'
import { pool } from 'workerpool'
import type { Call, noop } from './workers/work.js'

export interface Pool {
  readonly name: string
  call(call: Call): Promise<unknown>
  close(): Promise<unknown>
}

const TASKS_PER_WORKER = 64

const worker = (name: string): URL => new URL(`./workers/${name}.js`, import.meta.url)

/** @param threads workers of each pool */
export function pools(threads: number): Pool[] {
  const filename = worker('default-export').href
  return [
    piscina('piscina', { filename, minThreads: threads, maxThreads: threads }),
    piscina(`piscina, ${TASKS_PER_WORKER} tasks a worker`, {
      filename,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: TASKS_PER_WORKER,
    }),
    tinypool(filename, threads),
    workerpool(threads),
    poolifier(threads),
    comlink(threads),
  ]
}

function piscina(name: string, options: ConstructorParameters<typeof Piscina>[0]): Pool {
  const threads = new Piscina(options)
  return { name, call: call => threads.run(call), close: () => threads.destroy() }
}

function tinypool(filename: string, threads: number): Pool {
  const workers = new Tinypool({ filename, minThreads: threads, maxThreads: threads })
  return { name: 'tinypool', call: call => workers.run(call), close: () => workers.destroy() }
}

function workerpool(threads: number): Pool {
  const workers = pool(worker('workerpool').pathname, {
    workerType: 'thread',
    minWorkers: threads,
    maxWorkers: threads,
  })
  return {
    name: 'workerpool',
    call: async call => await workers.exec('noop', [call]),
    close: async () => await workers.terminate(),
  }
}

function poolifier(threads: number): Pool {
  const exits: Promise<void>[] = []
  const workers = new FixedThreadPool<Call, number>(threads, worker('poolifier').pathname, {
    onlineHandler() {
      exits.push(new Promise(resolve => this.once('exit', () => resolve())))
    },
  })
  return {
    name: 'poolifier',
    call: call => workers.execute(call),
    async close() {
      // Not to be waited for: where a worker has ended before destroy() listens to it, that waits for ever.
      void workers.destroy()
      await Promise.all(exits)
    },
  }
}

function comlink(threads: number): Pool {
  const workers = Array.from({ length: threads }, () => new Worker(worker('comlink')))
  const remotes = workers.map(
    thread => wrap(nodeEndpoint(thread)) as unknown as Remote<{ noop: typeof noop }>,
  )
  let turn = 0
  return {
    name: 'comlink',
    async call(call) {
      turn = (turn + 1) % remotes.length
      return await remotes[turn]?.noop(call)
    },
    close: () => Promise.all(workers.map(thread => thread.terminate())),
  }
}
