/**
 * WaitQueue: many threads that sleep until there is work, and producers that wake one of them: Linux's
 * wait queue with exclusive waiters (kernel/sched/wait.c), as one bit and one word for each sleeper.
 *
 *   words 0 … m-1      ASLEEP   bit i % 32 of word i / 32: sleeper i sleeps (set by the sleeper only,
 *                               cleared by whoever claims it to wake it, or by itself)
 *   words m … m+n-1    RUNG     0 · 1: sleeper i was woken (set by its waker, cleared by the sleeper
 *                               before it sets its bit)
 *
 * Why no wake-up is lost: the sleeper sets its bit and then looks once more at what it waits for; a
 * producer changes that first and then looks at the bits. At least one of the two sees the other.
 *
 * Why no wake-up is spent twice: whoever wakes claims the sleeper by clearing its bit in one atomic
 * operation, whose result tells whether the bit was still there.
 *
 * A sleeper that leaves by itself (what it waits for is there, or its time ran out) takes its bit back. If
 * the bit was gone, a producer has spent its wake-up on this sleeper: it must behave as woken, and look
 * at the work before it sleeps again. It always does: it is awake, and `sleep` begins with `ready`.
 */
import type { Woken } from './doorbell.js'
import { outOfRange, wordsAt } from './words.js'

const BITS = 32
const WORD_BYTES = 4
const RUNG = 1

const maskWords = (sleepers: number): number => Math.ceil(sleepers / BITS)

export class WaitQueue {
  readonly #words: Int32Array
  readonly #masks: number
  readonly #sleepers: number

  static byteLength(sleepers: number): number {
    return (maskWords(sleepers) + sleepers) * WORD_BYTES
  }

  /** @param sleepers how many threads may sleep here, each under a number of its own */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, sleepers: number) {
    if (!Number.isInteger(sleepers) || sleepers < 1)
      throw outOfRange('sleepers', 'an integer above 0', sleepers)
    this.#words = wordsAt(buffer, byteOffset, WaitQueue.byteLength(sleepers))
    this.#masks = maskWords(sleepers)
    this.#sleepers = sleepers
  }

  /**
   * Wakes one sleeper, if there is one. To be called after the change that it waits for.
   * @returns whether there was one
   */
  wakeUp(): boolean {
    for (let mask = 0; mask < this.#masks; mask += 1) {
      for (let bits = Atomics.load(this.#words, mask); bits !== 0; bits = Atomics.load(this.#words, mask)) {
        const lowest = bits & -bits
        if (this.#claim(mask, lowest)) {
          this.#notify(mask * BITS + (BITS - 1 - Math.clz32(lowest)))
          return true
        }
      }
    }
    return false
  }

  /** Wakes every sleeper. */
  wakeUpAll(): void {
    for (let sleeper = 0; sleeper < this.#sleepers; sleeper += 1) this.wake(sleeper)
  }

  /**
   * Wakes one certain sleeper.
   * @returns whether it slept
   */
  wake(sleeper: number): boolean {
    if (!this.forget(sleeper)) return false
    this.#notify(sleeper)
    return true
  }

  /**
   * Takes a sleeper's bit from it, as when its thread has died. Whoever takes its place must look at the
   * work before it sleeps: a wake-up may have been spent on the dead.
   * @returns whether it slept
   */
  forget(sleeper: number): boolean {
    return this.#claim(Math.floor(sleeper / BITS), 1 << (sleeper % BITS))
  }

  /**
   * Blocks this thread until it is woken.
   * @param ready looks whether there is anything to sleep for; called once more after the bit is set
   * @param timeout milliseconds; none: for ever
   */
  sleep(sleeper: number, ready: () => boolean, timeout?: number): Woken {
    if (!this.#prepare(sleeper, ready)) return 'ready'
    const outcome = Atomics.wait(this.#words, this.#rung(sleeper), 0, timeout)
    if (outcome !== 'timed-out') return 'rung'
    return this.forget(sleeper) ? 'timed-out' : 'rung'
  }

  /**
   * Lets this thread's event loop await the wake-up. That alone does not keep the loop alive.
   * @returns null if what it waits for is there already; else a promise that resolves when it is woken
   */
  listen(sleeper: number, ready: () => boolean): Promise<void> | null {
    if (!this.#prepare(sleeper, ready)) return null
    const { async, value } = Atomics.waitAsync(this.#words, this.#rung(sleeper), 0)
    return async ? value.then(() => {}) : Promise.resolve()
  }

  /** @returns whether to sleep: the bit is set and there is nothing to do */
  #prepare(sleeper: number, ready: () => boolean): boolean {
    Atomics.store(this.#words, this.#rung(sleeper), 0)
    Atomics.or(this.#words, Math.floor(sleeper / BITS), 1 << (sleeper % BITS))
    if (!ready()) return true
    this.forget(sleeper)
    return false
  }

  #rung(sleeper: number): number {
    return this.#masks + sleeper
  }

  #claim(mask: number, bit: number): boolean {
    return (Atomics.and(this.#words, mask, ~bit) & bit) !== 0
  }

  #notify(sleeper: number): void {
    Atomics.store(this.#words, this.#rung(sleeper), RUNG)
    Atomics.notify(this.#words, this.#rung(sleeper))
  }
}
