/**
 * The operations that a scheduler orders: what a logical thread is about to do.
 */
import { coerced, read } from './elements.js'
import type { LogicalPromise } from './logical-promise.js'

export type View =
  | Int32Array
  | BigInt64Array
  | Uint32Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array

/** Names as `Atomics` has them, and what only a scheduler does. */
export type OperationKind =
  | 'load'
  | 'store'
  | 'add'
  | 'sub'
  | 'and'
  | 'or'
  | 'xor'
  | 'exchange'
  | 'compareExchange'
  | 'wait'
  | 'waitAsync'
  | 'notify'
  /** A sleeper that was woken goes on. */
  | 'wake'
  /** A sleeper's time has run out. */
  | 'timeout'

/** One operation, made when the code reaches it and executed when the scheduler says so. */
export class Operation {
  readonly kind: OperationKind
  /** Where it stands in the source. */
  readonly place: string
  readonly view: View | undefined
  readonly index: number
  readonly args: readonly unknown[]

  constructor(kind: OperationKind, place: string, view?: View, index = 0, args: readonly unknown[] = []) {
    this.kind = kind
    this.place = place
    this.view = view
    this.index = index
    this.args = args
  }

  /** Whether threads other than its own can tell that it was executed, or in which order. */
  get visible(): boolean {
    return this.view !== undefined && isShared(this.view)
  }

  /** Only reads, as memory is now: two such operations can change places. */
  get reads(): boolean {
    if (this.kind === 'load') return true
    if (this.kind !== 'compareExchange' || this.view === undefined) return false
    return read(this.view, this.index) !== coerced(this.view, this.args[0])
  }
}

/** A coroutine waits for a promise. */
export class Await {
  readonly promise: LogicalPromise<unknown>

  constructor(promise: LogicalPromise<unknown>) {
    this.promise = promise
  }
}

export const isShared = (view: ArrayBufferView): boolean => view.buffer instanceof SharedArrayBuffer

/** Buffers of one run are numbered as they come up: the same in every run of the same schedule. */
export class Addresses {
  readonly #buffers = new Map<ArrayBufferLike, number>()

  /** A number for a word of shared memory, the same for whichever view it is seen through. */
  of(view: ArrayBufferView, index: number, bytes: number): number {
    const offset = view.byteOffset + index * bytes
    return this.buffer(view.buffer) * BUFFER_SPAN + offset
  }

  buffer(buffer: ArrayBufferLike): number {
    let number = this.#buffers.get(buffer)
    if (number === undefined) {
      number = this.#buffers.size
      this.#buffers.set(buffer, number)
    }
    return number
  }
}

/** Bytes of shared memory that an access is to. */
interface Extent {
  readonly address: number
  readonly bytes: number
}

/** Whether two accesses have a byte in common: views of different element sizes may see the same. */
export const overlap = (a: Extent, b: Extent): boolean =>
  a.address < b.address + b.bytes && b.address < a.address + a.bytes

const CELL_BYTES = 8
/** The eight bytes that an element is in: none is in more. */
export const cellOf = (address: number): number => Math.floor(address / CELL_BYTES)

/** More than any buffer's bytes. */
const BUFFER_SPAN = 2 ** 40
