/**
 * One listener's events: a bounded buffer between whoever sends them and whoever reads them in its own time, as a
 * netlink socket is. When it is full the oldest goes, so that what is lost always stands before what is still there,
 * and the next event that is read tells of it.
 */
import { outOfRange, SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import type { KobjectAction } from './actions.js'
import { EventRing } from './event-ring.js'

const DEFAULT_BUFFER = 1024
const LARGEST_BUFFER = 2 ** 20

export interface Uevent {
  readonly action: KobjectAction
  readonly devpath: string
  readonly subsystem: string
  readonly seqnum: number
  /** All its variables, those above included. */
  readonly env: Readonly<Record<string, string>>
}

/** An event as a listener gets it. */
export interface ReceivedUevent extends Uevent {
  /** Events right before this one that this listener has lost because it was slow (ENOBUFS on a netlink socket). */
  readonly lost: number
}

export interface ListenOptions {
  /** Ends the listening: the iteration rejects with an AbortError. */
  readonly signal?: AbortSignal | undefined
  /** Only events of this subsystem. */
  readonly subsystem?: string | undefined
  /** Events that wait for a slow listener at most, from 1 to 2^20. Default 1024. */
  readonly buffer?: number | undefined
  /**
   * `'tell'` (default): `lost` of the next event says how many are missing. `'throw'`: the next read rejects with a
   * SystemError ENOBUFS, as with a netlink socket, and the read after it goes on with what is there.
   */
  readonly overrun?: 'tell' | 'throw' | undefined
}

interface Reader {
  resolve(result: IteratorResult<ReceivedUevent, undefined>): void
  reject(error: unknown): void
}

const DONE = { done: true, value: undefined } as const

export class UeventListener implements AsyncIterableIterator<ReceivedUevent> {
  readonly #options: ListenOptions
  readonly #left: (listener: UeventListener) => void
  readonly #events: EventRing<Uevent>
  readonly #readers: Reader[] = []
  #lost = 0
  #ended = false
  #error: unknown

  /** @param left called once, when it listens no more */
  constructor(options: ListenOptions, capacity: number, left: (listener: UeventListener) => void) {
    this.#options = options
    this.#events = new EventRing(capacity)
    this.#left = left
    const { signal } = options
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#abort, { once: true })
  }

  receive(event: Uevent): void {
    const { subsystem } = this.#options
    if (this.#ended || (subsystem !== undefined && subsystem !== event.subsystem)) return
    const reader = this.#readers.shift()
    if (reader !== undefined) {
      reader.resolve({ done: false, value: { ...event, lost: 0 } })
      return
    }
    if (this.#events.put(event)) this.#lost += 1
  }

  /** No event will come any more; those that are there can still be read. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.signal?.removeEventListener('abort', this.#abort)
    this.#left(this)
    for (const reader of this.#readers.splice(0)) {
      if (this.#error === undefined) reader.resolve(DONE)
      else reader.reject(this.#takeError())
    }
  }

  readonly #abort = (): void => {
    const { signal } = this.#options
    this.#error = new DOMException('The operation was aborted', { name: 'AbortError', cause: signal?.reason })
    this.#events.clear()
    this.end()
  }

  #takeError(): unknown {
    const error = this.#error
    this.#error = undefined
    return error
  }

  next(): Promise<IteratorResult<ReceivedUevent, undefined>> {
    if (this.#error !== undefined) return Promise.reject(this.#takeError())
    const lost = this.#lost
    if (lost > 0 && this.#options.overrun === 'throw') {
      this.#lost = 0
      return Promise.reject(overrun(lost))
    }
    const event = this.#events.take()
    if (event !== undefined) {
      this.#lost = 0
      return Promise.resolve({ done: false, value: { ...event, lost } })
    }
    if (this.#ended) return Promise.resolve(DONE)
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<ReceivedUevent, undefined>> {
    this.#events.clear()
    this.#lost = 0
    this.end()
    return Promise.resolve(DONE)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

const overrun = (lost: number) =>
  Object.assign(
    new SystemError('ENOBUFS', `${lost} events were lost: they came faster than they were read`, {
      syscall: 'recvmsg',
    }),
    { lost },
  )

/** @returns how many events may wait */
export function checkListening(options: ListenOptions): number {
  if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
  const { signal, subsystem, buffer = DEFAULT_BUFFER, overrun = 'tell' } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw wrongType('options.signal', 'an AbortSignal', signal)
  }
  if (subsystem !== undefined && typeof subsystem !== 'string') {
    throw wrongType('options.subsystem', 'of type string', subsystem)
  }
  if (typeof buffer !== 'number') throw wrongType('options.buffer', 'of type number', buffer)
  if (!Number.isInteger(buffer) || buffer < 1 || buffer > LARGEST_BUFFER) {
    throw outOfRange('options.buffer', `an integer from 1 to ${LARGEST_BUFFER}`, buffer)
  }
  if (overrun !== 'tell' && overrun !== 'throw') {
    throw wrongValue('options.overrun', "must be 'tell' or 'throw'")
  }
  return buffer
}
