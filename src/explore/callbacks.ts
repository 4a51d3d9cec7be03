/**
 * Who may be given a function of transformed code, which gives a coroutine when it is called: transformed code itself,
 * what stands in Node's place (`takesCoroutines`), what only keeps or compares it, and the methods of arrays, maps and
 * sets that are written anew here. Every other function is foreign, and gets one that has come to its end when it comes
 * back.
 */
import { LogicalPromise, settled } from './logical-promise.js'
import type { Coroutine } from './logical-thread.js'

type Callee = (...args: unknown[]) => unknown

const OURS = Object.getPrototypeOf(function* () {}) as object
const handlings = new WeakMap<object, Handling>()

/** Says of a function that it runs the coroutines which its callbacks give. */
export function takesCoroutines<Taker extends object>(taker: Taker): Taker {
  handlings.set(taker, OWN)
  return taker
}

/** Whether a function gives a coroutine. */
export const isTransformed = (value: unknown): boolean =>
  typeof value === 'function' && Object.getPrototypeOf(value) === OURS

export const isForeign = (target: object): boolean => handlingOf(target).foreign

/** How a function is called. */
interface Handling {
  readonly foreign: boolean
  readonly rewritten?: Rewritten | undefined
  readonly passes?: Passing | undefined
  /** It takes more than functions amiss. */
  readonly special?: boolean
}

const OWN: Handling = { foreign: false }

function handlingOf(target: object): Handling {
  let known = handlings.get(target)
  if (known === undefined) {
    const own = isTransformed(target) || /\$explore\./.test(Function.prototype.toString.call(target))
    const special = goesThrough(target) || DESCRIBING.has(target)
    known = own
      ? OWN
      : { foreign: true, rewritten: REWRITTEN.get(target), passes: PASSING.get(target), special }
    handlings.set(target, known)
  }
  return known
}

/** What a call of a foreign function needs. */
export interface Host {
  /** Makes a function that runs to its end. */
  plain(target: Callee): Callee
  /** An iterable that foreign code can go through. */
  iterable(value: unknown, place: string): unknown
  /** Tells that an element is read. */
  touch(view: ArrayBufferView, index: number, place: string): void
}

/**
 * Calls a function with functions of transformed code, or what has such, among its arguments.
 * @param name for the message, if it is none
 * @returns what it gives; a coroutine, if it has to be run on
 */
export function callWith(
  target: unknown,
  self: unknown,
  args: unknown[],
  host: Host,
  place: string,
  name: PropertyKey = 'it',
): unknown {
  if (typeof target !== 'function') throw new TypeError(`${String(name)} is not a function`)
  const callee = target as Callee
  const { foreign, rewritten, passes } = handlingOf(callee)
  if (!foreign) return Reflect.apply(callee, self, args)
  if (rewritten !== undefined) {
    const view = self as ArrayBufferView
    const touch = ArrayBuffer.isView(view) ? (index: number) => host.touch(view, index, place) : undefined
    return rewritten(self as never, args as never, touch)
  }
  if (passes !== undefined) {
    const [to, on, given] = passes(self, args)
    return callWith(to, on, given, host, place, name)
  }
  return Reflect.apply(callee, self, givenTo(callee, args, host, place))
}

/** Arguments as foreign code can take them. */
export function givenTo(callee: object, args: unknown[], host: Host, place: string): unknown[] {
  let given = args
  const replace = (at: number, value: unknown) => {
    if (given === args) given = [...args]
    given[at] = value
  }
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at]
    if (typeof argument === 'function' && isTransformed(argument)) replace(at, host.plain(argument as Callee))
  }
  if (!handlingOf(callee).special) return given
  if (goesThrough(callee)) replace(0, host.iterable(args[0], place))
  const describes = DESCRIBING.get(callee)
  if (describes !== undefined) {
    const { at, each } = describes
    replace(at, each ? mapValues(args[at], value => withPlain(value, host)) : withPlain(args[at], host))
  }
  return given
}

/** An object's functions, as foreign code can call them. */
export const withPlain = (value: unknown, host: Host, names?: readonly string[]): unknown =>
  mapValues(value, (each, name) =>
    isTransformed(each) && (names ?? ['get', 'set']).includes(name) ? host.plain(each as Callee) : each,
  )

function mapValues(object: unknown, map: (value: unknown, name: string) => unknown): unknown {
  if (typeof object !== 'object' || object === null) return object
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]))
}

const TypedArray = Object.getPrototypeOf(Int32Array) as ArrayLike<unknown> & {
  readonly prototype: Record<string, unknown>
  readonly from: unknown
}

/** Those that go through the iterable that is their first argument. */
const GOES_THROUGH = new Set<unknown>([
  Array.from,
  Map,
  Set,
  WeakMap,
  WeakSet,
  Object.fromEntries,
  TypedArray.from,
  LogicalPromise.all,
  LogicalPromise.allSettled,
  LogicalPromise.any,
  LogicalPromise.race,
])
const goesThrough = (callee: object): boolean =>
  GOES_THROUGH.has(callee) || Object.getPrototypeOf(callee) === TypedArray

/** Those that are given descriptors of properties, one or by their names. */
const DESCRIBING = new Map<unknown, { readonly at: number; readonly each: boolean }>([
  [Object.defineProperty, { at: 2, each: false }],
  [Reflect.defineProperty, { at: 2, each: false }],
  [Object.defineProperties, { at: 1, each: true }],
  [Object.create, { at: 1, each: true }],
])

/** Those that call another function: which, on what, with what. */
type Passing = (self: unknown, args: unknown[]) => [unknown, unknown, unknown[]]
const PASSING = new Map<unknown, Passing>([
  [Function.prototype.call, (self, [on, ...args]) => [self, on, args]],
  [Function.prototype.apply, (self, [on, args]) => [self, on, Array.from((args ?? []) as unknown[])]],
  [Reflect.apply, (_, [to, on, args]) => [to, on, Array.from(args as unknown[])]],
])

/** Built-in functions that keep, find or compare what they are given, and call none of it. */
const KEEPING: readonly (readonly [object, readonly string[]])[] = [
  [
    Array.prototype,
    ['at', 'concat', 'fill', 'includes', 'indexOf', 'lastIndexOf', 'push', 'splice', 'unshift', 'with'],
  ],
  [Array.prototype, ['toSpliced']],
  [Array, ['of', 'isArray']],
  [Function.prototype, ['bind']],
  [Map.prototype, ['get', 'set', 'has', 'delete']],
  [Set.prototype, ['add', 'has', 'delete']],
  [WeakMap.prototype, ['get', 'set', 'has', 'delete']],
  [WeakSet.prototype, ['add', 'has', 'delete']],
  [Object, ['assign', 'freeze', 'is', 'isFrozen', 'seal', 'keys', 'values', 'entries', 'hasOwn']],
  [Object, ['getPrototypeOf', 'setPrototypeOf', 'getOwnPropertyNames', 'getOwnPropertyDescriptor']],
  [Object.prototype, ['hasOwnProperty', 'isPrototypeOf']],
  [Reflect, ['get', 'set', 'has', 'getPrototypeOf', 'setPrototypeOf', 'ownKeys']],
]
for (const [owner, names] of KEEPING) {
  for (const name of names) {
    const method = (owner as Record<string, unknown>)[name]
    if (typeof method === 'function') takesCoroutines(method)
  }
}
takesCoroutines(WeakRef)

type Elements = ArrayLike<unknown>
type Callback = (...args: unknown[]) => unknown

/**
 * The elements that are there, as ECMAScript's methods go through them: not beyond the length at the start.
 * `look` is told what came of each, and gives `true` when it has seen enough.
 */
function* visit(
  list: Elements,
  [callback, self]: [Callback, unknown],
  look: (given: unknown, element: unknown, index: number) => unknown,
  touch: Touch,
  holes = false,
  backwards = false,
): Coroutine {
  const { length } = list
  for (let at = 0; at < length; at += 1) {
    const index = backwards ? length - 1 - at : at
    if (!holes && !(index in list)) continue
    touch?.(index)
    const element = list[index]
    if (look(yield* settled(callback.call(self, element, index, list)), element, index) === true) return
  }
}

type Arguments = [Callback, unknown]
/** Told of each element that is read. */
type Touch = ((index: number) => void) | undefined

function* search(list: Elements, args: Arguments, touch: Touch, backwards: boolean): Coroutine {
  let found = { element: undefined as unknown, index: -1 }
  const look = (given: unknown, element: unknown, index: number) => {
    if (given) found = { element, index }
    return Boolean(given)
  }
  yield* visit(list, args, look, touch, true, backwards)
  return found
}

type Found = { readonly element: unknown; readonly index: number }

function* fold(
  list: Elements,
  [callback, ...start]: [Callback, ...unknown[]],
  touch: Touch,
  backwards: boolean,
): Coroutine {
  const { length } = list
  const place = (at: number) => (backwards ? length - 1 - at : at)
  let at = 0
  let value = start[0]
  if (start.length === 0) {
    while (at < length && !(place(at) in list)) at += 1
    if (at >= length) throw new TypeError('Reduce of empty array with no initial value')
    touch?.(place(at))
    value = list[place(at)]
    at += 1
  }
  for (; at < length; at += 1) {
    const index = place(at)
    if (!(index in list)) continue
    touch?.(index)
    value = yield* settled(callback(value, list[index], index, list))
  }
  return value
}

const OF_LISTS = {
  *forEach(list: Elements, args: Arguments, touch: Touch) {
    yield* visit(list, args, () => false, touch)
  },
  *filter(list: Elements, args: Arguments, touch: Touch) {
    const kept: unknown[] = []
    const look = (given: unknown, element: unknown) => {
      if (given) kept.push(element)
    }
    yield* visit(list, args, look, touch)
    return kept
  },
  *some(list: Elements, args: Arguments, touch: Touch) {
    let found = false
    const look = (given: unknown) => {
      found = Boolean(given)
      return found
    }
    yield* visit(list, args, look, touch)
    return found
  },
  *every(list: Elements, args: Arguments, touch: Touch) {
    let all = true
    const look = (given: unknown) => {
      all = Boolean(given)
      return !all
    }
    yield* visit(list, args, look, touch)
    return all
  },
  *find(list: Elements, args: Arguments, touch: Touch) {
    return ((yield* search(list, args, touch, false)) as Found).element
  },
  *findIndex(list: Elements, args: Arguments, touch: Touch) {
    return ((yield* search(list, args, touch, false)) as Found).index
  },
  *findLast(list: Elements, args: Arguments, touch: Touch) {
    return ((yield* search(list, args, touch, true)) as Found).element
  },
  *findLastIndex(list: Elements, args: Arguments, touch: Touch) {
    return ((yield* search(list, args, touch, true)) as Found).index
  },
  *reduce(list: Elements, args: Arguments, touch: Touch) {
    return yield* fold(list, args, touch, false)
  },
  *reduceRight(list: Elements, args: Arguments, touch: Touch) {
    return yield* fold(list, args, touch, true)
  },
} as const

function* map(list: Elements, args: Arguments): Coroutine {
  const results = new Array<unknown>(list.length)
  const look = (given: unknown, _: unknown, index: number) => {
    results[index] = given
  }
  yield* visit(list, args, look, undefined)
  return results
}

function* flatMap(list: Elements, args: Arguments): Coroutine {
  return ((yield* map(list, args)) as unknown[]).flat()
}

function* forEachEntry(entries: Map<unknown, unknown> | Set<unknown>, [callback, self]: Arguments) {
  for (const [key, value] of entries.entries()) yield* settled(callback.call(self, value, key, entries))
}

type Rewritten = (self: never, args: never, touch: Touch) => Coroutine | Generator<unknown, void, unknown>

/** Built-in methods whose callbacks may switch. */
const REWRITTEN = new Map<unknown, Rewritten>([
  [Array.prototype.map, map],
  [Array.prototype.flatMap, flatMap],
  [Map.prototype.forEach, forEachEntry],
  [Set.prototype.forEach, forEachEntry],
])
for (const [name, method] of Object.entries(OF_LISTS)) {
  REWRITTEN.set((Array.prototype as unknown as Record<string, unknown>)[name], method)
  // What `filter` of a view gives is a view.
  if (name !== 'filter') REWRITTEN.set(TypedArray.prototype[name], method)
}
