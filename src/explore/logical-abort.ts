/**
 * `AbortController` and `AbortSignal` of logical threads: an abort's listeners are run as part of who aborts, with
 * switches in them.
 */
import { takesCoroutines } from './callbacks.js'
import { settled } from './logical-promise.js'
import type { Coroutine } from './logical-thread.js'

type Listener = ((event: object) => unknown) | { handleEvent(event: object): unknown }

interface Registered {
  readonly listener: Listener
  readonly once: boolean
}

const abort = Symbol('abort')

export class LogicalAbortSignal {
  aborted = false
  reason: unknown
  onabort: ((event: object) => unknown) | null = null
  #listeners: Registered[] = []

  addEventListener(type: string, listener: Listener, options?: boolean | { readonly once?: boolean }): void {
    if (type !== 'abort' || this.#listeners.some(each => each.listener === listener)) return
    this.#listeners.push({ listener, once: typeof options === 'object' && options.once === true })
  }

  removeEventListener(type: string, listener: Listener): void {
    if (type === 'abort') this.#listeners = this.#listeners.filter(each => each.listener !== listener)
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason
  }

  /** Aborts, once; for `AbortController` only. */
  *[abort](reason: unknown): Coroutine {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const event = { type: 'abort', target: this }
    if (this.onabort !== null) yield* settled(this.onabort(event))
    for (const each of [...this.#listeners]) {
      if (!this.#listeners.includes(each)) continue
      const { listener, once } = each
      if (once) this.removeEventListener('abort', listener)
      yield* settled(typeof listener === 'function' ? listener(event) : listener.handleEvent(event))
    }
  }

  static abort(reason: unknown = abortError()): LogicalAbortSignal {
    const signal = new LogicalAbortSignal()
    signal.aborted = true
    signal.reason = reason
    return signal
  }
}

const abortError = () => new DOMException('This operation was aborted', 'AbortError')

export class LogicalAbortController {
  readonly signal = new LogicalAbortSignal()

  abort(reason: unknown = abortError()): Coroutine {
    return this.signal[abort](reason)
  }
}

takesCoroutines(LogicalAbortSignal.prototype.addEventListener)
takesCoroutines(LogicalAbortSignal.prototype.removeEventListener)
