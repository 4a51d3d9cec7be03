/**
 * Work that is done later, in its turn (struct work_struct, and an ordered workqueue).
 */

/** Runs one work after the other: one that never ends is the last. */
export class OrderedWorkqueue {
  #last: Promise<unknown> = Promise.resolve()

  /** @returns what the work gives */
  queue<Result>(run: () => Promise<Result>): Promise<Result> {
    const next = this.#last.then(run)
    this.#last = next.catch(() => {})
    return next
  }
}

/** Scheduled again while it waits for its turn it runs once. */
export class WorkItem<Result> {
  readonly #workqueue: OrderedWorkqueue
  readonly #run: () => Promise<Result>
  #pending: Promise<Result> | undefined

  constructor(workqueue: OrderedWorkqueue, run: () => Promise<Result>) {
    this.#workqueue = workqueue
    this.#run = run
  }

  /** @returns what the run gives that this call has asked for */
  schedule(): Promise<Result> {
    this.#pending ??= this.#workqueue.queue(() => {
      this.#pending = undefined
      return this.#run()
    })
    return this.#pending
  }
}
