/**
 * Promises of logical threads: settled and heard within a run, in the order in which Node would.
 */
type Reaction = () => void

/** Where reactions go: to the event loop of the thread that waits. */
export interface TaskQueue {
  /** The thread that is running. */
  enqueue(reaction: Reaction): void
  current(): unknown
  enqueueFor(thread: unknown, reaction: Reaction): void
  /** Nobody has asked for what becomes of a promise, and it is rejected. */
  rejected(promise: object, error: unknown): void
  /** Somebody asks now. */
  handled(promise: object): void
}

let queue: TaskQueue | undefined

/** Has the promises of a run go to its threads. */
export function useQueue(next: TaskQueue): void {
  queue = next
}

function tasks(): TaskQueue {
  if (queue === undefined) throw new Error('a promise of a logical thread, outside of a run')
  return queue
}

/** A microtask of the running thread. */
const soon = (reaction: Reaction): void => tasks().enqueue(reaction)

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown }

/** Runs a coroutine without a switch; set by the runtime. */
let runDirectly: (value: unknown) => unknown = value => value
export const useDirectRun = (run: (value: unknown) => unknown): void => {
  runDirectly = run
}

export class LogicalPromise<Value> implements PromiseLike<Value> {
  #outcome: Outcome | undefined
  #reactions: { readonly thread: unknown; readonly react: (outcome: Outcome) => void }[] = []

  constructor(executor: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void) {
    const { resolve, reject } = this.#resolvers()
    try {
      runDirectly(executor(resolve, reject))
    } catch (error) {
      reject(error)
    }
  }

  get [Symbol.toStringTag](): string {
    return 'Promise'
  }

  /** Two functions that settle it, of which the first call counts: even if what it is given is settled later. */
  #resolvers(): { resolve(value: unknown): void; reject(error: unknown): void } {
    let done = false
    const once =
      (settle: (value: unknown) => void) =>
      (value?: unknown): void => {
        if (done) return
        done = true
        settle(value)
      }
    return {
      resolve: once(value => this.#resolve(value)),
      reject: once(error => this.#settle({ ok: false, error })),
    }
  }

  get outcome(): Outcome | undefined {
    return this.#outcome
  }

  /** Calls back as a task of the thread that asks. */
  react(react: (outcome: Outcome) => void): void {
    const outcome = this.#outcome
    if (outcome === undefined) this.#reactions.push({ thread: tasks().current(), react })
    else {
      if (!outcome.ok) tasks().handled(this)
      soon(() => react(outcome))
    }
  }

  #resolve(value: unknown): void {
    if (value === this) {
      this.#settle({ ok: false, error: new TypeError('Chaining cycle detected for promise #<Promise>') })
      return
    }
    // As in ECMAScript, a promise is asked in a microtask of its own, which takes a turn more than what is no promise.
    if (value instanceof LogicalPromise) {
      soon(() => value.react(outcome => this.#settle(outcome)))
      return
    }
    if (value instanceof Promise) {
      const error = new Error(
        'a promise from outside of the exploration: only those of its own threads can be awaited',
      )
      this.#settle({ ok: false, error })
      return
    }
    let then: unknown
    try {
      then = isObject(value) ? value.then : undefined
    } catch (error) {
      this.#settle({ ok: false, error })
      return
    }
    if (typeof then !== 'function') {
      this.#settle({ ok: true, value })
      return
    }
    const { resolve, reject } = this.#resolvers()
    const ask = then.bind(value) as (...args: unknown[]) => unknown
    soon(() =>
      startTask(
        () => called(ask, [resolve, reject]),
        () => {},
        reject,
      ),
    )
  }

  #settle(outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    if (!outcome.ok && this.#reactions.length === 0) tasks().rejected(this, outcome.error)
    for (const { thread, react } of this.#reactions) tasks().enqueueFor(thread, () => react(outcome))
    this.#reactions = []
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise
  then<Result = Value, Failure = never>(
    fulfilled?: ((value: Value) => Result | PromiseLike<Result>) | null,
    rejected?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): LogicalPromise<Result | Failure> {
    return new LogicalPromise((resolve, reject) => {
      this.react(outcome => {
        const handler = (outcome.ok ? fulfilled : rejected) as
          | ((value: unknown) => unknown)
          | null
          | undefined
        const value = outcome.ok ? outcome.value : outcome.error
        if (typeof handler !== 'function') {
          if (outcome.ok) resolve(value)
          else reject(value)
          return
        }
        startTask(() => called(handler, [value]), resolve, reject)
      })
    })
  }

  catch<Failure>(
    rejected: (error: unknown) => Failure | PromiseLike<Failure>,
  ): LogicalPromise<Value | Failure> {
    return this.then(undefined, rejected)
  }

  finally(done?: (() => unknown) | null): LogicalPromise<Value> {
    if (typeof done !== 'function') return this.then(done as never, done as never)
    return this.then(
      value => ended(done, () => value),
      error =>
        ended(done, () => {
          throw error
        }),
    ) as LogicalPromise<Value>
  }

  static resolve<Value>(value: Value): LogicalPromise<Awaited<Value>> {
    if (value instanceof LogicalPromise) return value as LogicalPromise<Awaited<Value>>
    return new LogicalPromise(resolve => resolve(value))
  }

  static reject(error: unknown): LogicalPromise<never> {
    return new LogicalPromise((_, reject) => reject(error))
  }

  static all(values: Iterable<unknown>): LogicalPromise<unknown[]> {
    return LogicalPromise.#gather(values, (outcome, keep, _, reject) =>
      outcome.ok ? keep(outcome.value) : reject(outcome.error),
    )
  }

  static allSettled(values: Iterable<unknown>): LogicalPromise<unknown[]> {
    return LogicalPromise.#gather(values, (outcome, keep) =>
      keep(
        outcome.ok
          ? { status: 'fulfilled', value: outcome.value }
          : { status: 'rejected', reason: outcome.error },
      ),
    )
  }

  static any(values: Iterable<unknown>): LogicalPromise<unknown> {
    const none = (errors: unknown[]) => {
      throw new AggregateError(errors, 'All promises were rejected')
    }
    return LogicalPromise.#gather(
      values,
      (outcome, keep, resolve) => (outcome.ok ? resolve(outcome.value) : keep(outcome.error)),
      none,
    )
  }

  /** @param made what is made of all that was kept, once all have been heard */
  static #gather(
    values: Iterable<unknown>,
    heard: (
      outcome: Outcome,
      keep: (value: unknown) => void,
      resolve: (value: unknown) => void,
      reject: (error: unknown) => void,
    ) => void,
    made = (kept: unknown[]): unknown => kept,
  ): LogicalPromise<unknown[]> {
    return new LogicalPromise((resolve, reject) => {
      const list = [...values]
      const kept = new Array<unknown>(list.length)
      let left = list.length
      const finish = () => {
        try {
          resolve(made(kept))
        } catch (error) {
          reject(error)
        }
      }
      if (left === 0) finish()
      for (const [index, each] of list.entries()) {
        const keep = (value: unknown) => {
          kept[index] = value
          left -= 1
          if (left === 0) finish()
        }
        LogicalPromise.resolve(each).react(outcome => heard(outcome, keep, resolve, reject))
      }
    })
  }

  static race(values: Iterable<unknown>): LogicalPromise<unknown> {
    return new LogicalPromise((resolve, reject) => {
      for (const each of values) {
        LogicalPromise.resolve(each).react(outcome =>
          outcome.ok ? resolve(outcome.value) : reject(outcome.error),
        )
      }
    })
  }

  static withResolvers(): {
    promise: LogicalPromise<unknown>
    resolve(value: unknown): void
    reject(error: unknown): void
  } {
    let resolve: (value: unknown) => void = () => {}
    let reject: (error: unknown) => void = () => {}
    const promise = new LogicalPromise((resolveIt, rejectIt) => {
      resolve = resolveIt
      reject = rejectIt
    })
    return { promise, resolve, reject }
  }
}

/** What code has given, which a coroutine gives only when it has been run to its end. */
export function* settled(value: unknown): Generator<unknown, unknown, unknown> {
  return value instanceof GeneratorObject ? yield* value : value
}

/** A call as a coroutine: what it throws comes when it is run. */
export function* called(
  callback: (...args: unknown[]) => unknown,
  args: readonly unknown[] = [],
): Generator<unknown, unknown, unknown> {
  return yield* settled(callback(...args))
}

/** Waits for what a callback of `finally` gives; the outcome stays what it was. */
function* ended(done: () => unknown, outcome: () => unknown): Generator<unknown, unknown, unknown> {
  return LogicalPromise.resolve(yield* settled(done())).then(outcome)
}

const isObject = (value: unknown): value is { readonly then?: unknown } =>
  (typeof value === 'object' && value !== null) || typeof value === 'function'

/** What every generator object inherits from. */
export const GeneratorObject = (() => {
  function Generator(): void {}
  Generator.prototype = Object.getPrototypeOf(function* () {}).prototype as object
  return Generator as unknown as new () => Generator<unknown, unknown, unknown>
})()

/** Starts a coroutine as a task of the running thread; set by the run. */
export type StartTask = (
  body: () => Generator<unknown, unknown, unknown>,
  resolve: (value: unknown) => void,
  reject: (error: unknown) => void,
) => void

let startTask: StartTask = () => {
  throw new Error('a task of a logical thread, outside of a run')
}
export const useTasks = (start: StartTask): void => {
  startTask = start
}
