/**
 * Elements of views of shared memory, as the language reads and writes them.
 */
import { isShared, type View } from './operations.js'

export const read = (view: View, index: number): number | bigint => view[index] ?? 0

/** A value as the view would hold it. */
export function coerced(view: View, value: unknown): number | bigint {
  if (view instanceof Int32Array) return Number(value) | 0
  if (view instanceof BigInt64Array) return BigInt.asIntN(64, value as bigint)
  const one = new (view.constructor as new (values: unknown[]) => View)([value])
  return one[0] ?? 0
}

export function combine(left: number, operator: string, right: number): number {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return left / right
    case '%':
      return left % right
    case '**':
      return left ** right
    case '<<':
      return left << right
    case '>>':
      return left >> right
    case '>>>':
      return left >>> right
    case '&':
      return left & right
    case '|':
      return left | right
    default:
      return left ^ right
  }
}

/** An index as methods take it: below zero it counts from the end. */
function indexOf(value: unknown, length: number, otherwise: number): number {
  if (typeof value !== 'number') return otherwise
  const index = Math.trunc(value) || 0
  return index < 0 ? Math.max(0, length + index) : Math.min(index, length)
}

/** Elements that are read or written plainly. */
interface Span {
  readonly from: number
  readonly to: number
  readonly write: boolean
}

/** Which elements a method of a view reads or writes, where it is one span of them. */
function spanOf(view: View, method: string, args: readonly unknown[]): Span | undefined {
  const { length } = view
  const number = (at: number, otherwise: number): number => indexOf(args[at], length, otherwise)
  const all = { from: 0, to: length }
  const isBuffer = Buffer.isBuffer(view)
  switch (method) {
    case 'at': {
      const index = Math.trunc(Number(args[0] ?? 0)) || 0
      const from = index < 0 ? length + index : index
      return from < 0 || from >= length ? undefined : { from, to: from + 1, write: false }
    }
    case 'fill':
      return { from: number(1, 0), to: number(2, length), write: true }
    case 'set':
      return { from: number(1, 0), to: number(1, 0) + (args[0] as ArrayLike<number>).length, write: true }
    case 'slice':
      // That of a buffer is a view.
      return isBuffer ? undefined : { from: number(0, 0), to: number(1, length), write: false }
    case 'toString':
      return isBuffer ? { from: number(1, 0), to: number(2, length), write: false } : { ...all, write: false }
    case 'includes':
    case 'indexOf': {
      const from = number(1, 0)
      const found = (view.indexOf as (...all: unknown[]) => number)(...args)
      return { from, to: found < 0 ? length : found + 1, write: false }
    }
    case 'lastIndexOf': {
      const found = (view.lastIndexOf as (...all: unknown[]) => number)(...args)
      const last = typeof args[1] === 'number' ? Math.trunc(args[1]) : length - 1
      const to = Math.min(length, (last < 0 ? length + last : last) + 1)
      return { from: Math.max(0, found), to, write: false }
    }
    case 'sort':
    case 'reverse':
    case 'swap16':
    case 'swap32':
    case 'swap64':
      return { ...all, write: true }
    default:
      return READS_ALL.has(method) ? { ...all, write: false } : undefined
  }
}

/** Methods of views that read all of it, at once as far as others can tell. */
const READS_ALL: ReadonlySet<string> = new Set([
  'compare',
  'equals',
  'filter',
  'join',
  'map',
  'toJSON',
  'toLocaleString',
  'toReversed',
  'toSorted',
  'with',
])

/** What is told of a method's accesses. */
export interface Watcher {
  touch(view: ArrayBufferView, index: number, write: boolean): void
  touchBytes(view: ArrayBufferView, offset: number, bytes: number, write: boolean): void
}

/** Tells what a method of a view reads and writes, there and in views that it is given. */
export function watchMethod(
  view: ArrayBufferView,
  method: string,
  args: readonly unknown[],
  watcher: Watcher,
): void {
  if (view instanceof DataView) {
    const [, kind, bits] = /^(get|set)\D+(\d+)$/.exec(method) ?? []
    if (kind !== undefined) watcher.touchBytes(view, offsetOf(args[0]), Number(bits) / 8, kind === 'set')
    return
  }
  const elements = view as View
  const touch = (of: ArrayBufferView, { from, to, write }: Span): void => {
    if (!isShared(of)) return
    for (let index = from; index < to; index += 1) watcher.touch(of, index, write)
  }
  const given = args[0]
  const { length } = elements
  if (method === 'copyWithin') {
    const target = indexOf(args[0], length, 0)
    const from = indexOf(args[1], length, 0)
    const count = Math.min(indexOf(args[2], length, length) - from, length - target)
    touch(view, { from, to: from + count, write: false })
    touch(view, { from: target, to: target + count, write: true })
    return
  }
  if (Buffer.isBuffer(view)) {
    const number = (at: number, otherwise: number) =>
      typeof args[at] === 'number' ? (args[at] as number) : otherwise
    if (method === 'copy' && given instanceof Uint8Array) {
      const from = number(2, 0)
      const count = Math.min(number(3, length) - from, given.length - number(1, 0))
      touch(view, { from, to: from + count, write: false })
      touch(given, { from: number(1, 0), to: number(1, 0) + count, write: true })
      return
    }
    if (method === 'write') {
      const from = number(1, 0)
      const encoding = args.findLast(each => typeof each === 'string') as BufferEncoding
      const bytes = Buffer.byteLength(String(given), args.length > 1 ? encoding : 'utf8')
      touch(view, { from, to: Math.min(length, from + Math.min(number(2, length), bytes)), write: true })
      return
    }
    const width = /^(read|write)(?:Big)?(U?[Ii]nt|Float|Double)(\d*)(?:LE|BE)?$/.exec(method)
    if (width !== null) {
      const [, kind, type, bits] = width
      const at = kind === 'write' ? 1 : 0
      const whole = type === 'Double' ? 8 : type === 'Float' ? 4 : number(at + 1, 0)
      watcher.touchBytes(view, offsetOf(args[at]), bits ? Number(bits) / 8 : whole, kind === 'write')
      return
    }
  }
  if ((method === 'set' || method === 'equals' || method === 'compare') && isElements(given)) {
    touch(given, { from: 0, to: given.length, write: false })
  }
  const span = spanOf(elements, method, args)
  if (span !== undefined) touch(view, span)
}

const offsetOf = (value: unknown): number => (typeof value === 'number' ? Math.trunc(value) : 0)

const isElements = (value: unknown): value is View =>
  ArrayBuffer.isView(value) && !(value instanceof DataView)

/** Names of methods that are looked at when they are called: of views, and what goes through an iterator. */
export const isWatched = (method: string): boolean =>
  WATCHED.has(method) || /^((get|set)(Big)?(Int|Uint|Float)\d+|(read|write)[A-Z].*)$/.test(method)

const WATCHED: ReadonlySet<string> = new Set([
  ...READS_ALL,
  'at',
  'copy',
  'copyWithin',
  'entries',
  'fill',
  'includes',
  'indexOf',
  'lastIndexOf',
  'reverse',
  'set',
  'slice',
  'sort',
  'swap16',
  'swap32',
  'swap64',
  'toString',
  'values',
  'write',
  // Functions that are given an iterable, or an object with functions.
  'all',
  'allSettled',
  'any',
  'apply',
  'concat',
  'create',
  'defineProperties',
  'defineProperty',
  'from',
  'fromEntries',
  'race',
])
