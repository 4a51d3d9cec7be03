/**
 * The threads of `khelper stress`: an operation takes as many as it needs at once, or waits its turn. (One that held
 * some and waited for others would wait for ever, once two do.)
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Kernel } from '../../index.js'
import { workerFile } from '../worker-file.js'
import type { ThreadTask } from './thread-tasks.js'

export type ThreadRequest = 'leave' | { readonly id: number; readonly task: ThreadTask }
export type ThreadReply =
  | { readonly id: number; readonly result: number }
  | { readonly id: number; readonly error: string }
  | { readonly cleanup: number }

interface Waiting {
  readonly count: number
  readonly start: (threads: readonly Worker[]) => void
}

interface Answer {
  readonly resolve: (result: number) => void
  readonly reject: (error: Error) => void
}

export class StressThreads {
  readonly #all: readonly Worker[]
  readonly #free: Worker[]
  readonly #waiting: Waiting[] = []
  readonly #answers = new Map<number, Answer>()
  readonly #cleanups = new Map<number, () => void>()
  readonly #wrong: (what: string) => void
  #serial = 0

  /** @param wrong told of answers that nobody has asked for */
  constructor(kernel: Kernel, count: number, wrong: (what: string) => void) {
    this.#wrong = wrong
    this.#all = Array.from({ length: count }, (_, index) => {
      const worker = new Worker(workerFile('stress'), {
        name: `stress/${index}`,
        workerData: kernel.handle,
        trackUnmanagedFds: false,
      })
      worker.on('message', (reply: ThreadReply) => this.#answered(reply))
      worker.on('error', error => wrong(`the thread stress/${index} died: ${error}`))
      return worker
    })
    this.#free = [...this.#all]
  }

  /** When every thread is up. */
  async ready(): Promise<void> {
    await this.perform(this.#all.map(() => ({ do: 'nothing' })))
  }

  get count(): number {
    return this.#all.length
  }

  #answered(reply: ThreadReply): void {
    if ('cleanup' in reply) {
      const cleaned = this.#cleanups.get(reply.cleanup)
      this.#cleanups.delete(reply.cleanup)
      if (cleaned === undefined) this.#wrong('a cleanup ran that nobody waits for')
      else cleaned()
      return
    }
    const answer = this.#answers.get(reply.id)
    this.#answers.delete(reply.id)
    if (answer === undefined) this.#wrong('a task of a thread ended twice')
    else if ('error' in reply) answer.reject(new Error(reply.error))
    else answer.resolve(reply.result)
  }

  /** A number under which a task tells of its cleanup, which runs once. */
  cleanup(cleaned: () => void): number {
    this.#serial += 1
    this.#cleanups.set(this.#serial, cleaned)
    return this.#serial
  }

  /**
   * Performs tasks on as many threads at once.
   * @param running called when every task has been given to its thread
   * @returns their results
   */
  async perform(tasks: readonly ThreadTask[], running: () => void = () => {}): Promise<number[]> {
    const threads = await this.#take(tasks.length)
    try {
      const results = tasks.map((task, index) => this.#ask(threads[index], task))
      running()
      return await Promise.all(results)
    } finally {
      this.#free.push(...threads)
      this.#admit()
    }
  }

  #take(count: number): Promise<readonly Worker[]> {
    if (count > this.count) throw new RangeError(`${count} tasks for ${this.count} threads`)
    return new Promise(start => {
      this.#waiting.push({ count, start })
      this.#admit()
    })
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.count > this.#free.length) return
      this.#waiting.shift()
      next.start(this.#free.splice(0, next.count))
    }
  }

  #ask(thread: Worker | undefined, task: ThreadTask): Promise<number> {
    this.#serial += 1
    const id = this.#serial
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject })
      thread?.postMessage({ id, task } satisfies ThreadRequest)
    })
  }

  /** When no task is under way. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#all.map(thread => {
        const exit = once(thread, 'exit')
        thread.postMessage('leave' satisfies ThreadRequest)
        return exit
      }),
    )
  }
}
