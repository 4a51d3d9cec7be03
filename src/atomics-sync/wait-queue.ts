/**
 * WaitQueue: many threads that sleep until there is work, and producers that wake one of them: Linux's
 * wait queue with exclusive waiters (kernel/sched/wait.c), as two bits and one word for each sleeper.
 *
 *   words 0 … m-1       ASLEEP   bit i % 32 of word i / 32: sleeper i sleeps (set by the sleeper only,
 *                                cleared by whoever claims it to wake it, or by itself)
 *   words m … 2m-1      LOOKING  the same bits: i is awake and looks for work (set by whoever wakes it and by
 *                                itself, cleared by itself when it has found some or goes to sleep)
 *   words 2m … 2m+n-1   RUNG     0 · 1: sleeper i was woken (set by its waker, cleared by the sleeper
 *                                before it sets its bit)
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
 *
 * Why a producer need wake nobody while somebody looks (`wakeUpUnlessLooking`; Go's and Tokio's schedulers
 * have the same rule): one that looks either finds this work; or it goes to sleep, clears its LOOKING bit
 * before its last look, and that look sees the work, which was there before the producer saw the bit; or it
 * finds other work, clears its bit, and as the last one to look sees to it that somebody is woken if there is
 * more (`found`). So a burst of work wakes threads one after the other, each only if it is needed, and a
 * stream of short work wakes nobody at all.
 */
import type { Woken } from './doorbell.js'
import { outOfRange, wordsAt } from './words.js'

const BITS = 32
const WORD_BYTES = 4
const RUNG = 1

const bitOf = (sleeper: number): number => 1 << (sleeper % BITS)
const maskWords = (sleepers: number): number => Math.ceil(sleepers / BITS)

export class WaitQueue {
  readonly #words: Int32Array
  readonly #masks: number
  readonly #sleepers: number

  static byteLength(sleepers: number): number {
    return (2 * maskWords(sleepers) + sleepers) * WORD_BYTES
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

  /** The same, but only if nobody is looking for work: for sleepers that call `look` and `found`. */
  wakeUpUnlessLooking(): boolean {
    return !this.#somebodyLooks() && this.wakeUp()
  }

  /** A sleeper that is awake has nothing to do, and looks for work. */
  look(sleeper: number): void {
    Atomics.or(this.#words, this.#lookingWord(sleeper), bitOf(sleeper))
  }

  /**
   * A sleeper that looked has found something, and looks no more.
   * @returns whether nobody looks now: if there is more work, somebody else is to be woken
   */
  found(sleeper: number): boolean {
    Atomics.and(this.#words, this.#lookingWord(sleeper), ~bitOf(sleeper))
    return !this.#somebodyLooks()
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
    if (!this.#leave(sleeper)) return false
    this.#notify(sleeper)
    return true
  }

  /**
   * Takes a sleeper's bits from it, as when its thread has died. If there is work, somebody is to be woken then:
   * a wake-up may have been spent on the dead, or spared for its sake.
   * @returns whether it slept
   */
  forget(sleeper: number): boolean {
    Atomics.and(this.#words, this.#lookingWord(sleeper), ~bitOf(sleeper))
    return this.#leave(sleeper)
  }

  /**
   * Blocks this thread until it is woken; it looks for work then, unless its time has run out.
   * @param ready looks whether there is anything to sleep for; called once more after the bit is set
   * @param timeout milliseconds; none: for ever
   */
  sleep(sleeper: number, ready: () => boolean, timeout?: number): Woken {
    if (!this.#prepare(sleeper, ready)) return 'ready'
    const outcome = Atomics.wait(this.#words, this.#rung(sleeper), 0, timeout)
    if (outcome !== 'timed-out') return 'rung'
    return this.#leave(sleeper) ? 'timed-out' : 'rung'
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
    Atomics.or(this.#words, Math.floor(sleeper / BITS), bitOf(sleeper))
    Atomics.and(this.#words, this.#lookingWord(sleeper), ~bitOf(sleeper))
    if (!ready()) return true
    this.#leave(sleeper)
    return false
  }

  /** Whether a sleeper other than this one looks for work. */
  somebodyElseLooks(sleeper: number): boolean {
    const own = this.#lookingWord(sleeper)
    for (let mask = this.#masks; mask < 2 * this.#masks; mask += 1) {
      const others = mask === own ? ~bitOf(sleeper) : -1
      if ((Atomics.load(this.#words, mask) & others) !== 0) return true
    }
    return false
  }

  #somebodyLooks(): boolean {
    for (let mask = this.#masks; mask < 2 * this.#masks; mask += 1) {
      if (Atomics.load(this.#words, mask) !== 0) return true
    }
    return false
  }

  #lookingWord(sleeper: number): number {
    return this.#masks + Math.floor(sleeper / BITS)
  }

  #rung(sleeper: number): number {
    return 2 * this.#masks + sleeper
  }

  /** @returns whether the sleeper's bit was still there */
  #leave(sleeper: number): boolean {
    return this.#claim(Math.floor(sleeper / BITS), bitOf(sleeper))
  }

  #claim(mask: number, bit: number): boolean {
    return (Atomics.and(this.#words, mask, ~bit) & bit) !== 0
  }

  #notify(sleeper: number): void {
    // Set for the sleeper: until it is awake, it is the one that nobody else needs to be woken for.
    this.look(sleeper)
    Atomics.store(this.#words, this.#rung(sleeper), RUNG)
    Atomics.notify(this.#words, this.#rung(sleeper))
  }
}
