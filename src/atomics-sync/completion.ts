/**
 * Completion: a thread waits until another says that something is done.
 *
 * Linux's completion (6.17, kernel/sched/completion.c): a counter of tokens, not a flag. Each `complete`
 * lets one waiter through, before or after it comes; `completeAll` lets everyone through until `reinit`.
 *
 *   word 0  DONE      tokens, unsigned and saturating; ALL = 2^32 - 1 is never used up
 *                     (completers add, waiters take, both by compare-exchange)
 *   word 1  WAITERS   threads and promises that are about to sleep or asleep
 *
 * Why no wake-up is lost: a waiter raises WAITERS and then looks at DONE once more before it sleeps, and
 * `Atomics.wait` sleeps only while DONE is 0; a completer raises DONE and then looks at WAITERS. At least
 * one of the two sees the other. Waiters stand in the engine's list for word 0, first come, first
 * served; one that was woken and finds its token gone to somebody faster sleeps again, at the tail.
 *
 * `Atomics.waitAsync` cannot be withdrawn: a promise that was given up would stay in that list and take a
 * wake-up that another needs. So whoever gives up an awaiting form wakes everyone on the word, himself
 * among them; the others look again and go back to sleep. A waiter that has left takes nothing
 * with it.
 *
 * A thread that dies while it waits leaves WAITERS one too high. That costs every later `complete` a
 * notify, and nothing else.
 */
import { wordsAt } from './words.js'

const DONE = 0
const WAITERS = 1
const BYTES = 8
/** UINT_MAX in a signed word. */
const ALL = -1
const FOREVER = Number.POSITIVE_INFINITY
/** A timer that is there to be there. */
const LONG_MS = 2 ** 30

/** A wait was broken by a signal; the kernel's own error number, negated (include/linux/errno.h). */
export const ERESTARTSYS = 512

/** What may break a wait. A signal that is aborted already does so at once, if there is no token. */
export interface Signals {
  /** Stands for a fatal signal: breaks interruptible and killable waits. */
  readonly signal?: AbortSignal | undefined
  /** Stands for any other signal: breaks interruptible waits only. */
  readonly interrupt?: AbortSignal | undefined
}

export class Completion {
  static readonly BYTE_LENGTH = BYTES
  readonly #words: Int32Array

  /** Attaches to a completion in shared memory. Zeroed memory is one that nobody has completed. */
  constructor(buffer: SharedArrayBuffer, byteOffset = 0) {
    this.#words = wordsAt(buffer, byteOffset, BYTES)
  }

  /** init_completion: nobody has completed it, nobody waits. On one in use it loses the waiters. */
  init(): void {
    Atomics.store(this.#words, DONE, 0)
    Atomics.store(this.#words, WAITERS, 0)
  }

  /** reinit_completion: to use it again, after `completeAll` in particular. Only while nobody waits or completes. */
  reinit(): void {
    Atomics.store(this.#words, DONE, 0)
  }

  /** Lets one waiter through, the one that came first. Everything written before is seen by it. */
  complete(): void {
    for (;;) {
      const done = Atomics.load(this.#words, DONE)
      if (done === ALL) break
      if (Atomics.compareExchange(this.#words, DONE, done, (done + 1) | 0) === done) break
    }
    if (Atomics.load(this.#words, WAITERS) !== 0) Atomics.notify(this.#words, DONE, 1)
  }

  /** Lets everyone through, now and until `reinit`. */
  completeAll(): void {
    Atomics.store(this.#words, DONE, ALL)
    if (Atomics.load(this.#words, WAITERS) !== 0) Atomics.notify(this.#words, DONE)
  }

  /**
   * try_wait_for_completion: never sleeps.
   * @returns whether there was a token; it is taken then
   */
  tryWait(): boolean {
    for (;;) {
      const done = Atomics.load(this.#words, DONE)
      if (done === 0) return false
      if (done === ALL) return true
      if (Atomics.compareExchange(this.#words, DONE, done, (done - 1) | 0) === done) return true
    }
  }

  /** completion_done: whether there is a token. False if there never was one and if all are taken. */
  get done(): boolean {
    return Atomics.load(this.#words, DONE) !== 0
  }

  // The blocking forms. An AbortSignal is looked at when the wait begins and whenever the thread wakes: its
  // own event loop, which would abort it, stands still meanwhile. `interruptAll` wakes it from elsewhere.

  /** wait_for_completion: blocks until there is a token, and takes it. */
  wait(): void {
    this.#block(FOREVER, undefined, undefined)
  }

  /** @returns 0 after `timeout` milliseconds, else what is left of them, at least 1 */
  waitTimeout(timeout: number): number {
    return this.#block(timeout, undefined, undefined)
  }

  /** @returns 0, or -ERESTARTSYS if a signal was pending and there was no token */
  waitInterruptible({ signal, interrupt }: Signals = {}): number {
    return Math.min(0, this.#block(FOREVER, signal, interrupt))
  }

  /** @returns -ERESTARTSYS, 0 after `timeout` milliseconds, else what is left of them, at least 1 */
  waitInterruptibleTimeout(timeout: number, { signal, interrupt }: Signals = {}): number {
    return this.#block(timeout, signal, interrupt)
  }

  /** @returns 0, or -ERESTARTSYS if a fatal signal was pending and there was no token */
  waitKillable({ signal }: Signals = {}): number {
    return Math.min(0, this.#block(FOREVER, signal, undefined))
  }

  /** @returns -ERESTARTSYS, 0 after `timeout` milliseconds, else what is left of them, at least 1 */
  waitKillableTimeout(timeout: number, { signal }: Signals = {}): number {
    return this.#block(timeout, signal, undefined)
  }

  // The awaiting forms, with the same results. One that has a timeout keeps its event loop alive until it is over;
  // one without does not, or a completion that nobody completes would keep a process for ever.

  async waitAsync(): Promise<void> {
    await this.#await(FOREVER, undefined, undefined)
  }

  waitTimeoutAsync(timeout: number): Promise<number> {
    return this.#await(timeout, undefined, undefined)
  }

  async waitInterruptibleAsync({ signal, interrupt }: Signals = {}): Promise<number> {
    return Math.min(0, await this.#await(FOREVER, signal, interrupt))
  }

  waitInterruptibleTimeoutAsync(timeout: number, { signal, interrupt }: Signals = {}): Promise<number> {
    return this.#await(timeout, signal, interrupt)
  }

  async waitKillableAsync({ signal }: Signals = {}): Promise<number> {
    return Math.min(0, await this.#await(FOREVER, signal, undefined))
  }

  waitKillableTimeoutAsync(timeout: number, { signal }: Signals = {}): Promise<number> {
    return this.#await(timeout, signal, undefined)
  }

  /**
   * Makes everyone who waits look again at the token and at their signals; completes nothing. What a
   * blocked thread's signal is aborted with has to come from elsewhere, such as a getter on shared memory.
   */
  interruptAll(): void {
    Atomics.notify(this.#words, DONE)
  }

  /** A token first, then signals, then time: as Linux's loop looks at `done` before anything else. */
  #block(timeout: number, signal: AbortSignal | undefined, interrupt: AbortSignal | undefined): number {
    if (this.tryWait()) return remaining(timeout)
    const deadline = performance.now() + timeout
    Atomics.add(this.#words, WAITERS, 1)
    try {
      for (;;) {
        const left = deadline - performance.now()
        if (this.tryWait()) return remaining(left)
        if (signal?.aborted || interrupt?.aborted) return -ERESTARTSYS
        if (left <= 0) return 0
        // Sleeps only while DONE is 0, which tryWait has just seen.
        Atomics.wait(this.#words, DONE, 0, left)
      }
    } finally {
      Atomics.sub(this.#words, WAITERS, 1)
    }
  }

  async #await(
    timeout: number,
    signal: AbortSignal | undefined,
    interrupt: AbortSignal | undefined,
  ): Promise<number> {
    if (this.tryWait()) return remaining(timeout)
    const deadline = performance.now() + timeout
    const open = timeout === FOREVER ? undefined : setInterval(() => {}, LONG_MS)
    const giveUp = () => this.interruptAll()
    signal?.addEventListener('abort', giveUp)
    interrupt?.addEventListener('abort', giveUp)
    Atomics.add(this.#words, WAITERS, 1)
    try {
      for (;;) {
        const left = deadline - performance.now()
        if (this.tryWait()) return remaining(left)
        if (signal?.aborted || interrupt?.aborted) return -ERESTARTSYS
        if (left <= 0) return 0
        const { async, value } = Atomics.waitAsync(this.#words, DONE, 0, left)
        if (async) await value
      }
    } finally {
      Atomics.sub(this.#words, WAITERS, 1)
      clearInterval(open)
      signal?.removeEventListener('abort', giveUp)
      interrupt?.removeEventListener('abort', giveUp)
    }
  }
}

/** What a timed wait gives when it succeeds: never 0, which means that the time ran out. */
const remaining = (left: number): number => Math.max(1, left)
