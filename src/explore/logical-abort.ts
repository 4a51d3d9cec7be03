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

const abortError = () => new DOMException('This operation was aborted', 'AbortError')
const timeoutError = () => new DOMException('The operation was aborted due to timeout', 'TimeoutError')

/** A signal without a time of its own. */
export class LogicalAbortSignal {
  aborted = false
  reason: unknown
  onabort: ((event: object) => unknown) | null = null
  #listeners: Registered[] = []
  /** Those of `AbortSignal.any` that end with this one. */
  readonly #dependents: LogicalAbortSignal[] = []
  /** Those that it ends with. */
  readonly #sources: LogicalAbortSignal[] = []

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

  /** Aborts, once, and then what depends on it; for `AbortController` only. */
  *[abort](reason: unknown): Coroutine {
    if (this.aborted) return
    const ended = [this, ...this.#dependents.filter(each => !each.aborted)]
    for (const each of ended) each.#begin(reason)
    for (const each of ended) yield* each.#tell()
  }

  #begin(reason: unknown): void {
    this.aborted = true
    this.reason = reason
  }

  *#tell(): Generator<unknown, void, unknown> {
    const event = { type: 'abort', target: this }
    if (this.onabort !== null) yield* settled(this.onabort(event))
    for (const each of [...this.#listeners]) {
      if (!this.#listeners.includes(each)) continue
      const { listener, once } = each
      if (once) this.removeEventListener('abort', listener)
      yield* settled(
        typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event),
      )
    }
  }

  static abort(reason: unknown = abortError()): LogicalAbortSignal {
    const signal = new LogicalAbortSignal()
    signal.#begin(reason)
    return signal
  }

  static any(signals: Iterable<LogicalAbortSignal>): LogicalAbortSignal {
    const signal = new LogicalAbortSignal()
    const sources = [...signals]
    const ended = sources.find(source => source.aborted)
    if (ended !== undefined) signal.#begin(ended.reason)
    else for (const source of sources) source.#pass(signal)
    return signal
  }

  /** Has another end with this one, and with whatever ends this one. */
  #pass(dependent: LogicalAbortSignal): void {
    for (const source of this.#sources) source.#pass(dependent)
    this.#dependents.push(dependent)
    dependent.#sources.push(this)
  }
}

export class LogicalAbortController {
  readonly signal = new LogicalAbortSignal()

  abort(reason: unknown = abortError()): Coroutine {
    return this.signal[abort](reason)
  }
}

/** `AbortSignal`, with the timers of a run. */
export function abortSignalOf(later: (callback: () => unknown, delay: number) => void): object {
  return new Proxy(LogicalAbortSignal, {
    get: (target, name) => (name === 'timeout' ? timeout : Reflect.get(target, name)),
  })
  function timeout(delay: number): LogicalAbortSignal {
    const signal = new LogicalAbortSignal()
    later(() => signal[abort](timeoutError()), delay)
    return signal
  }
}

takesCoroutines(LogicalAbortSignal.prototype.addEventListener)
takesCoroutines(LogicalAbortSignal.prototype.removeEventListener)
