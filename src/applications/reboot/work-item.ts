/**
 * A work item (struct work_struct): scheduled again while it waits for its turn it runs once, and it never runs
 * beside itself.
 */
export class WorkItem<Result> {
  readonly #run: () => Promise<Result>
  #pending: Promise<Result> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(run: () => Promise<Result>) {
    this.#run = run
  }

  /** @returns what the run gives that this call has asked for */
  schedule(): Promise<Result> {
    this.#pending ??= this.#next()
    return this.#pending
  }

  #next(): Promise<Result> {
    const next = this.#last.then(() => {
      this.#pending = undefined
      return this.#run()
    })
    this.#last = next.catch(() => {})
    return next
  }
}
