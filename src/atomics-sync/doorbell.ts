/**
 * Doorbell: lets any thread wake one that sleeps, and costs one load when it does not.
 *
 *   word 0  STATE   0 awake · 1 asleep (set by the sleeper only, cleared by whoever wakes it or by itself)
 *
 * The sleeper is one thread: it blocks, or its event loop awaits.
 *
 * Why no wake-up is lost: the sleeper stores ASLEEP and then looks once more at what it waits for, before
 * it waits; the ringer changes that first and then looks at STATE. Atomics are sequentially consistent, so
 * at least one of the two sees the other's store. The ringer clears STATE before it notifies, and
 * `Atomics.wait` sleeps only while STATE is ASLEEP, so a notify that comes too early is not missed either.
 */
import { wordsAt } from './words.js'

const STATE = 0
const BYTES = 4
const AWAKE = 0
const ASLEEP = 1

/** Why a sleeper is awake again: what it waits for was there already, it was woken, its time ran out. */
export type Woken = 'ready' | 'rung' | 'timed-out'

export class Doorbell {
  static readonly BYTE_LENGTH = BYTES
  readonly #words: Int32Array

  constructor(buffer: SharedArrayBuffer, byteOffset = 0) {
    this.#words = wordsAt(buffer, byteOffset, BYTES)
  }

  /**
   * Wakes the sleeper, if it sleeps. To be called after the change that it waits for.
   * @returns whether it slept
   */
  ring(): boolean {
    if (Atomics.load(this.#words, STATE) === AWAKE) return false
    if (Atomics.exchange(this.#words, STATE, AWAKE) === AWAKE) return false
    Atomics.notify(this.#words, STATE)
    return true
  }

  /**
   * Blocks this thread until it is rung.
   * @param ready looks whether there is anything to sleep for; called once more after STATE says asleep
   * @param timeout milliseconds; none: for ever
   */
  sleep(ready: () => boolean, timeout?: number): Woken {
    Atomics.store(this.#words, STATE, ASLEEP)
    if (ready()) {
      Atomics.store(this.#words, STATE, AWAKE)
      return 'ready'
    }
    const outcome = Atomics.wait(this.#words, STATE, ASLEEP, timeout)
    if (outcome !== 'timed-out') return 'rung'
    // Rung in the last moment: the change is there.
    return Atomics.exchange(this.#words, STATE, AWAKE) === AWAKE ? 'rung' : 'timed-out'
  }

  /**
   * Lets this thread's event loop await the ring. That alone does not keep the loop alive.
   * @param ready as for `sleep`
   * @returns null if what it waits for is there already; else a promise that resolves when it is rung
   */
  listen(ready: () => boolean): Promise<void> | null {
    Atomics.store(this.#words, STATE, ASLEEP)
    if (ready()) {
      Atomics.store(this.#words, STATE, AWAKE)
      return null
    }
    const { async, value } = Atomics.waitAsync(this.#words, STATE, ASLEEP)
    return async ? value.then(() => {}) : Promise.resolve()
  }
}
