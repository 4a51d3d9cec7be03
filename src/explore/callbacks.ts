/**
 * Who may be given a function of transformed code, which gives a coroutine when it is called: transformed code itself,
 * what stands in Node's place (`takesCoroutines`), and the methods of arrays, maps and sets that are written anew here.
 * Every other function is foreign, and gets one that has come to its end when it comes back.
 */
import { settled } from './logical-promise.js'
import type { Coroutine } from './logical-thread.js'

type Callee = (...args: unknown[]) => unknown

const OURS = Object.getPrototypeOf(function* () {}) as object
const foreign = new WeakMap<object, boolean>()

/** Says of a function that it runs the coroutines which its callbacks give. */
export function takesCoroutines<Taker extends object>(taker: Taker): Taker {
  foreign.set(taker, false)
  return taker
}

function isForeign(target: object): boolean {
  let known = foreign.get(target)
  if (known === undefined) {
    known =
      Object.getPrototypeOf(target) !== OURS &&
      !/\$\.(spawn|iterate)\(/.test(Function.prototype.toString.call(target))
    foreign.set(target, known)
  }
  return known
}

/**
 * Calls a function with functions of transformed code among its arguments.
 * @param plain makes one that runs to its end
 * @returns what it gives; a coroutine, if it has to be run on
 */
export function callWith(
  target: unknown,
  self: unknown,
  args: unknown[],
  plain: (target: Callee) => Callee,
): unknown {
  const callee = target as Callee
  if (typeof callee !== 'function' || !args.some(argument => typeof argument === 'function')) {
    return callee.apply(self, args)
  }
  const rewritten = REWRITTEN.get(callee)
  if (rewritten !== undefined) return rewritten(self as never, args as never)
  if (!isForeign(callee)) return callee.apply(self, args)
  const given = args.map(argument => (typeof argument === 'function' ? plain(argument as Callee) : argument))
  return callee.apply(self, given)
}

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
  holes = false,
): Coroutine {
  const { length } = list
  for (let index = 0; index < length; index += 1) {
    if (!holes && !(index in list)) continue
    const element = list[index]
    if (look(yield* settled(callback.call(self, element, index, list)), element, index) === true) return
  }
}

type Arguments = [Callback, unknown]

const OF_LISTS = {
  *forEach(list: Elements, args: Arguments) {
    yield* visit(list, args, () => false)
  },
  *filter(list: Elements, args: Arguments) {
    const kept: unknown[] = []
    yield* visit(list, args, (given, element) => {
      if (given) kept.push(element)
    })
    return kept
  },
  *some(list: Elements, args: Arguments) {
    let found = false
    yield* visit(list, args, given => {
      found = Boolean(given)
      return found
    })
    return found
  },
  *every(list: Elements, args: Arguments) {
    let all = true
    yield* visit(list, args, given => {
      all = Boolean(given)
      return !all
    })
    return all
  },
  *find(list: Elements, args: Arguments) {
    let found: unknown
    const look = (given: unknown, element: unknown) => {
      if (given) found = element
      return Boolean(given)
    }
    yield* visit(list, args, look, true)
    return found
  },
  *findIndex(list: Elements, args: Arguments) {
    let found = -1
    const look = (given: unknown, _: unknown, index: number) => {
      if (given) found = index
      return Boolean(given)
    }
    yield* visit(list, args, look, true)
    return found
  },
  *reduce(list: Elements, [callback, ...start]: [Callback, ...unknown[]]) {
    let first = 0
    while (start.length === 0 && first < list.length && !(first in list)) first += 1
    if (start.length === 0 && first >= list.length) {
      throw new TypeError('Reduce of empty array with no initial value')
    }
    let value = start.length > 0 ? start[0] : list[first]
    for (let index = first + Number(start.length === 0); index < list.length; index += 1) {
      if (index in list) value = yield* settled(callback(value, list[index], index, list))
    }
    return value
  },
} as const

function* map(list: Elements, args: Arguments): Coroutine {
  const results = new Array<unknown>(list.length)
  yield* visit(list, args, (given, _, index) => {
    results[index] = given
  })
  return results
}

function* flatMap(list: Elements, args: Arguments): Coroutine {
  return ((yield* map(list, args)) as unknown[]).flat()
}

function* forEachEntry(entries: Map<unknown, unknown> | Set<unknown>, [callback, self]: Arguments) {
  for (const [key, value] of entries.entries()) yield* settled(callback.call(self, value, key, entries))
}

/** Built-in methods whose callbacks may switch. */
const REWRITTEN = new Map<
  unknown,
  (self: never, args: never) => Coroutine | Generator<unknown, void, unknown>
>([
  [Array.prototype.map, map],
  [Array.prototype.flatMap, flatMap],
  [Map.prototype.forEach, forEachEntry],
  [Set.prototype.forEach, forEachEntry],
])
const TypedArray = Object.getPrototypeOf(Int32Array.prototype) as Record<string, unknown>
for (const [name, method] of Object.entries(OF_LISTS)) {
  REWRITTEN.set((Array.prototype as unknown as Record<string, unknown>)[name], method)
  // What `filter` of a view gives is a view.
  if (name !== 'filter') REWRITTEN.set(TypedArray[name], method)
}
