/**
 * What transformed code finds as `$explore`, and in the place of Node's timers, promises and signals.
 */
import { promisify } from 'node:util'
import {
  callWith,
  givenTo,
  type Host,
  isForeign,
  isTransformed,
  takesCoroutines,
  withPlain,
} from './callbacks.js'
import { combine, type Watcher, watchMethod } from './elements.js'
import { abortSignalOf, LogicalAbortController, type LogicalAbortSignal } from './logical-abort.js'
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
  'Atomics',
  'globalThis',
  'global',
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
  /** `$explore`: what the transform writes calls of. */
  readonly operations: Readonly<Record<string, unknown>>
  /** What Node's own modules export here in the place of what they have. */
  readonly modules: Readonly<Record<string, Readonly<Record<string, unknown>>>>
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
  const globals = globalsOf(active)
  return { globals, operations: operationsOf(active), modules: modulesOf(globals) }
}

type Timer = (callback: Callback, ...args: unknown[]) => object

function modulesOf(globals: Replaced): Runtime['modules'] {
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = globals
  const clocks = { performance: globals.performance }
  const timers = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate }
  const after = (
    start: (callback: Callback) => object,
    clear: unknown,
    value: unknown,
    options?: Signalled,
  ) =>
    new LogicalPromise((resolve, reject) => {
      const { signal } = options ?? {}
      const stop = () => {
        ;(clear as (handle: object) => void)(handle)
        reject(
          new DOMException('The operation was aborted', {
            name: 'AbortError',
            cause: signal?.reason,
          } as never),
        )
      }
      const handle = start(() => {
        signal?.removeEventListener('abort', stop)
        resolve(value)
      })
      if (signal?.aborted) stop()
      else signal?.addEventListener('abort', stop)
    })
  const delayed = (delay?: number, value?: unknown, options?: Signalled) =>
    after(callback => (setTimeout as Timer)(callback, delay), clearTimeout, value, options)
  Object.assign(setTimeout as object, { [promisify.custom]: delayed })
  const promises = {
    setTimeout: delayed,
    setImmediate: (value?: unknown, options?: Signalled) =>
      after(callback => (setImmediate as Timer)(callback), clearImmediate, value, options),
    setInterval: () => {
      throw new Error('an interval that is gone through cannot be explored')
    },
    scheduler: { wait: (delay?: number, options?: Signalled) => delayed(delay, undefined, options) },
  }
  return {
    'node:perf_hooks': clocks,
    'node:timers': { ...timers, promises },
    'node:timers/promises': promises,
  }
}

interface Signalled {
  readonly signal?: LogicalAbortSignal
}

/** `Atomics`, for code that does not name the operation where it calls it: each is a coroutine. */
function atomicsOf(): object {
  const named = Object.getOwnPropertyNames(Atomics).map(kind => {
    const place = `Atomics.${kind}`
    const operation = {
      *[kind](...args: [View, number?, ...unknown[]]): Coroutine {
        return yield atomic(kind as OperationKind, place, ...args)
      },
    }
    return [kind, operation[kind]] as const
  })
  return Object.assign(Object.fromEntries(named), {
    isLockFree: Atomics.isLockFree,
    [Symbol.toStringTag]: 'Atomics',
  })
}

const atomic = (kind: OperationKind, place: string, view: View, index = 0, ...args: unknown[]): Operation =>
  Atomics[kind as 'load'] === undefined
    ? new Operation('load', place, EMPTY, 0)
    : new Operation(kind, place, view, index, args)

/** The global object, whose properties are what a module finds by their names. */
const globalObject = (replaced: () => object): object =>
  new Proxy(globalThis, {
    get: (target, name) =>
      Object.hasOwn(replaced(), name) ? Reflect.get(replaced(), name) : Reflect.get(target, name),
  })

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
        active().current?.timers.set(handle, {
          due: active().readClock() + delay,
          callback: task(callback, args),
        })
      }
      return handle
    }
    return start()
  }
  const clear = (handle: object) => active().clearTimer(handle)
  const outer = globalObject(() => globals)
  const globals: Replaced = {
    Atomics: atomicsOf(),
    globalThis: outer,
    global: outer,
    Promise: LogicalPromise,
    AbortController: LogicalAbortController,
    AbortSignal: abortSignalOf(timer),
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
    performance: { now: () => active().readClock() },
    Date: dateOf(() => EPOCH + active().readClock()),
  }
  return globals
}

/** An element or a property whose value has been read. */
interface Taken extends Slot {
  readonly taken: unknown
}

/** Something with a key, evaluated once. */
class Slot {
  readonly #run: Run
  readonly #object: View
  readonly #key: PropertyKey
  readonly #place: string

  constructor(run: Run, object: View, key: PropertyKey, place: string) {
    this.#run = run
    this.#object = object
    this.#key = key
    this.#place = place
  }

  get read(): unknown {
    touch(this.#run, this.#object, this.#key, false, this.#place)
    return this.#object[this.#key as number]
  }

  set value(value: unknown) {
    touch(this.#run, this.#object, this.#key, true, this.#place)
    this.#object[this.#key as number] = value as number
  }
}

/** Keys of elements are numbers, or written as such. */
function touch(run: Run, object: unknown, key: PropertyKey, write: boolean, place: string): void {
  if (typeof key === 'number') run.touch(object, key, write, place)
  else if (typeof key === 'string' && ArrayBuffer.isView(object)) {
    const index = Number(key)
    if (String(index) === key) run.touch(object, index, write, place)
  }
}

function operationsOf(active: () => Run): Readonly<Record<string, unknown>> {
  const plains = new WeakMap<Callback, Callback>()
  /** The same function, for who expects one that has come to its end when it comes back. */
  const plain = (target: Callback): Callback => {
    let known = plains.get(target)
    if (known === undefined) {
      known = function (this: unknown, ...args: unknown[]) {
        return active().direct(target.apply(this, args))
      }
      plains.set(target, known)
    }
    return known
  }
  const host: Host = {
    plain,
    iterable: (value, place) => iterable(value, place),
    touch: (view, index, place) => active().touch(view, index, false, place),
  }
  const iterable = (value: unknown, place: string): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    if (ArrayBuffer.isView(value)) {
      return isShared(value) && !(value instanceof DataView)
        ? elementsOf(value as View, 'values', place)
        : value
    }
    const method = (value as Partial<Iterable<unknown>>)[Symbol.iterator]
    if (typeof method !== 'function' || NATIVE_ITERATORS.has(method)) return value
    const iterator = active().direct(method.call(value)) as Iterator<unknown>
    return { [Symbol.iterator]: () => (isTransformed(iterator.next) ? nativeIterator(iterator) : iterator) }
  }
  const nativeIterator = (iterator: Iterator<unknown>): Iterator<unknown> => {
    const step = (name: 'next' | 'return' | 'throw') => (value?: unknown) =>
      active().direct(iterator[name]?.(value)) as IteratorResult<unknown>
    return {
      next: step('next'),
      ...(iterator.return && { return: step('return') }),
      ...(iterator.throw && { throw: step('throw') }),
    }
  }
  const elementsOf = (view: View, kind: 'values' | 'entries', place: string): object => {
    const steps = (function* (): Generator<unknown, void, unknown> {
      for (let index = 0; index < view.length; index += 1) {
        active().touch(view, index, false, place)
        yield kind === 'values' ? view[index] : [index, view[index]]
      }
    })()
    return iterate(steps)
  }
  const call = (target: unknown, self: unknown, args: unknown[], place: string, name?: PropertyKey) =>
    callWith(target, self, args, host, place, name)
  let wanted: unknown
  return {
    v: undefined,
    o: undefined,
    f: undefined,
    r: undefined,
    /** Whose getter, which is about to be read, may give a coroutine. */
    set wanted(object: unknown) {
      wanted = object
    },
    getter: (self: unknown, coroutine: Coroutine) => {
      if (wanted !== self || self === undefined) return active().direct(coroutine)
      wanted = undefined
      return coroutine
    },
    Coroutine: GeneratorObject,
    own: takesCoroutines,
    construct: (callee: new (...args: unknown[]) => unknown, args: unknown[], place: string) => {
      if ((callee as unknown) === LogicalPromise) return promise(args[0] as Callback)
      if (typeof callee !== 'function' || !isForeign(callee)) return new callee(...args)
      const given = givenTo(callee, args, host, place)
      if ((callee as unknown) === Proxy)
        given[1] = withPlain(args[1], host, Reflect.ownKeys(Reflect) as string[])
      return new callee(...given)
    },
    run: (value: unknown) => active().direct(value),
    direct: (target: Callback) => plain(target),
    atomic,
    atomicNow: (...operation: Parameters<typeof atomic>) => active().executeNow(atomic(...operation)),
    await: (value: unknown) => new Await(LogicalPromise.resolve(value)),
    spawn: (body: (...args: unknown[]) => Coroutine, self: unknown, args: unknown[]) => {
      let coroutine: Coroutine
      try {
        coroutine = body.apply(self, args)
      } catch (error) {
        return LogicalPromise.reject(error)
      }
      return active().spawn(coroutine)
    },
    iterate: (body: (...args: unknown[]) => Coroutine, self: unknown, args: unknown[]) =>
      iterate(body.apply(self, args)),
    iterable,
    call: (target: unknown, args: unknown[], place: string) => call(target, undefined, args, place),
    apply: (target: unknown, self: unknown, args: unknown[], place: string) =>
      call(target, self, args, place),
    bound: (self: unknown, target: unknown) => ({ self, target }),
    applyBound: (
      { self, target }: { readonly self: unknown; readonly target: unknown },
      args: unknown[],
      place: string,
    ) => call(target, self, args, place),
    method: (object: Record<PropertyKey, unknown>, name: PropertyKey, args: unknown[], place: string) => {
      if (ArrayBuffer.isView(object)) {
        if (isShared(object) && !(object instanceof DataView)) {
          if (name === 'values' || name === Symbol.iterator)
            return elementsOf(object as never, 'values', place)
          if (name === 'entries') return elementsOf(object as never, 'entries', place)
        }
        watchMethod(object, String(name), args, watcher(active(), place))
      } else if ((object as unknown) === Buffer) watchBuffers(args, watcher(active(), place))
      return call(object[name], object, args, place, name)
    },
    get: (object: View, key: number, place: string) => {
      touch(active(), object, key, false, place)
      return object[key]
    },
    set: (object: View, key: number, value: number, place: string) => {
      touch(active(), object, key, true, place)
      object[key] = value
      return value
    },
    slot: (object: View, key: PropertyKey, place: string) => new Slot(active(), object, key, place),
    put: (slot: Slot, value: unknown) => {
      slot.value = value
      return value
    },
    /** With what is there, read before the rest of an expression is evaluated. */
    taken: (slot: Slot): Taken => Object.assign(slot, { taken: slot.read }),
    change: (slot: Taken, operator: string, value: number) => {
      const result = combine(slot.taken as number, operator, value)
      slot.value = result
      return result
    },
    compound: (object: View, key: number, operator: string, value: number, place: string) => {
      touch(active(), object, key, true, place)
      const result = combine(object[key] as number, operator, value)
      object[key] = result
      return result
    },
    step: (
      object: Record<PropertyKey, unknown>,
      key: number,
      operator: string,
      prefix: boolean,
      place: string,
    ) => {
      touch(active(), object, key, true, place)
      const found = object[key]
      const before = typeof found === 'bigint' ? found : Number(found)
      const by = typeof before === 'bigint' ? 1n : 1
      const after = combine(before as number, operator[0] as string, by as number)
      object[key] = after
      return prefix ? after : before
    },
  }
}

const watcher = (run: Run, place: string): Watcher => ({
  touch: (view, index, write) => run.touch(view, index, write, place),
  touchBytes: (view, offset, bytes, write) => {
    if (isShared(view)) run.touchBytes(view, offset, bytes, write, place)
  },
})

/** A buffer's functions read the views that they are given, or a list of them. */
function watchBuffers(args: readonly unknown[], { touch }: Watcher): void {
  for (const view of args.flat()) {
    if (!ArrayBuffer.isView(view) || !isShared(view)) continue
    for (let index = 0; index < (view as View).length; index += 1) touch(view, index, false)
  }
}

const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object

/** Iterators that run no code but the language's. */
const NATIVE_ITERATORS = new Set<unknown>([
  Array.prototype.values,
  Map.prototype.entries,
  Set.prototype.values,
  (IteratorPrototype as Iterable<unknown>)[Symbol.iterator],
])

/** A generator's object that is no coroutine: who uses it runs it. */
const iterate = (steps: Generator<unknown, unknown, unknown>): object =>
  Object.create(IteratorPrototype, {
    next: { value: (value: unknown) => steps.next(value) },
    return: { value: (value: unknown) => steps.return(value) },
    throw: { value: (error: unknown) => steps.throw(error) },
  }) as object

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
