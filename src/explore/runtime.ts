/**
 * What transformed code finds as `$`, and in the place of Node's timers, promises and signals.
 */
import { callWith, takesCoroutines } from './callbacks.js'
import { combine } from './elements.js'
import { LogicalAbortController, LogicalAbortSignal } from './logical-abort.js'
import { called, GeneratorObject, LogicalPromise } from './logical-promise.js'
import type { Coroutine, Task } from './logical-thread.js'
import { Await, isShared, Operation, type OperationKind, type View } from './operations.js'
import type { Run } from './run.js'

/** Timers that long hold an event loop open, and mean nothing else. */
const LONG = 2 ** 29
const EMPTY = new Int32Array(1)

for (const method of ['then', 'catch', 'finally'] as const) takesCoroutines(LogicalPromise.prototype[method])

type Callback = (...args: unknown[]) => unknown

/** Names that a module finds in its scope with another meaning. */
export const REPLACED = [
  'Promise',
  'AbortController',
  'AbortSignal',
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'setImmediate',
  'clearImmediate',
  'queueMicrotask',
  'performance',
  'Date',
] as const

type Replaced = Readonly<Record<(typeof REPLACED)[number], unknown>>

export interface Runtime {
  /** In the place of globals. */
  readonly globals: Replaced
  /** `$`: what the transform writes calls of. */
  readonly operations: Readonly<Record<string, unknown>>
}

/** Where the scheduler's wall clock starts: the same in every run. */
const EPOCH = Date.UTC(2020, 0)

/** Dates of the scheduler's time. */
function dateOf(now: () => number): DateConstructor {
  return new Proxy(Date, {
    construct: (target, args, itself) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, itself),
    apply: () => new Date(now()).toString(),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  })
}

/** @param active the run that is under way */
export function runtimeOf(active: () => Run): Runtime {
  return { globals: globalsOf(active), operations: operationsOf(active) }
}

function globalsOf(active: () => Run): Replaced {
  const task =
    (callback: Callback, args: readonly unknown[]): Task =>
    () =>
      active().startTask(
        () => called(callback, args),
        () => {},
        error => active().failByThrow('a callback', error),
      )
  const timer = (callback: Callback, delay = 0, ...args: unknown[]): object => {
    const handle = {
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      refresh: () => start(),
    }
    const start = () => {
      if (delay < LONG) {
        active().current?.timers.set(handle, { due: active().now + delay, callback: task(callback, args) })
      }
      return handle
    }
    return start()
  }
  const clear = (handle: object) => active().clearTimer(handle)
  return {
    Promise: LogicalPromise,
    AbortController: LogicalAbortController,
    AbortSignal: LogicalAbortSignal,
    setTimeout: takesCoroutines(timer),
    // Once is enough to see what a look does: one that comes again and again would have no last schedule.
    setInterval: takesCoroutines(timer),
    clearTimeout: clear,
    clearInterval: clear,
    setImmediate: takesCoroutines((callback: Callback, ...args: unknown[]) => {
      const handle = {}
      active().current?.immediates.set(handle, task(callback, args))
      return handle
    }),
    clearImmediate: (handle: object) => active().current?.immediates.delete(handle),
    queueMicrotask: takesCoroutines((callback: Callback) => active().current?.tasks.push(task(callback, []))),
    performance: { now: () => active().now },
    Date: dateOf(() => EPOCH + active().now),
  }
}

function operationsOf(active: () => Run): Readonly<Record<string, unknown>> {
  return {
    v: undefined,
    Coroutine: GeneratorObject,
    construct: (callee: new (...args: unknown[]) => unknown, args: unknown[]) =>
      (callee as unknown) === LogicalPromise ? promise(args[0] as Callback) : new callee(...args),
    run: (value: unknown) => active().direct(value),
    atomic: (kind: OperationKind, place: string, view: View, index = 0, ...args: unknown[]) =>
      Atomics[kind as 'load'] === undefined
        ? new Operation('load', place, EMPTY, 0)
        : new Operation(kind, place, view, index, args),
    atomicNow: (kind: OperationKind, place: string, view: View, index = 0, ...args: unknown[]) =>
      active().executeNow(new Operation(kind, place, view, index, args)),
    await: (value: unknown) => new Await(LogicalPromise.resolve(value)),
    spawn: (coroutine: Coroutine) => active().spawn(coroutine),
    iterate: (coroutine: Coroutine) => ({
      [Symbol.iterator]() {
        return this
      },
      next: (value: unknown) => coroutine.next(value),
      return: (value: unknown) => coroutine.return(value),
      throw: (error: unknown) => coroutine.throw(error),
    }),
    call: (target: unknown, args: unknown[]) => callWith(target, undefined, args, active().plainFunction),
    method: (object: Record<PropertyKey, unknown>, name: PropertyKey, args: unknown[], place: string) => {
      if (ArrayBuffer.isView(object) && isShared(object))
        active().touchMany(object as unknown as View, String(name), args, place)
      return callWith(object[name], object, args, active().plainFunction)
    },
    get: (object: View, key: number, place: string) => {
      active().touch(object, key, false, place)
      return object[key]
    },
    set: (object: View, key: number, value: number, place: string) => {
      active().touch(object, key, true, place)
      object[key] = value
      return value
    },
    compound: (object: View, key: number, operator: string, value: number, place: string) => {
      active().touch(object, key, true, place)
      const result = combine(object[key] as number, operator, value)
      object[key] = result
      return result
    },
    step: (object: View, key: number, operator: string, prefix: boolean, place: string) => {
      active().touch(object, key, true, place)
      const before = object[key] as number
      const after = operator === '++' ? before + 1 : before - 1
      object[key] = after
      return prefix ? after : before
    },
  }
}

/** `new Promise(executor)`: the executor may switch. */
function* promise(executor: Callback): Coroutine {
  if (typeof executor !== 'function') throw new TypeError('a promise needs a function')
  const { promise, resolve, reject } = LogicalPromise.withResolvers()
  try {
    yield* called(executor, [resolve, reject])
  } catch (error) {
    reject(error)
  }
  return promise
}
