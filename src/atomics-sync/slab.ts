/**
 * Slab: a fixed number of slots, handed out and taken back by any thread.
 *
 * The free list is Treiber's stack ("Coping with Parallelism", 1986), its head tagged against ABA.
 *
 *   word 0         HEAD    low bits: index of the first free slot plus one, 0: none · high bits: a tag
 *                          that every change raises (any thread, by compare-exchange)
 *   word 1         FRESH   slots never handed out begin here (any thread, by compare-exchange)
 *   word 2         USED    slots handed out
 *   word 16 + i    LINK    of slot i: ALLOCATED, or index of the next free slot plus one, 0: the end
 *
 * Zeroed memory is a slab with every slot free, and a slot that was never used has never been touched:
 * links are not threaded through the slots beforehand, FRESH counts up instead. Freed slots go first, so
 * the memory in use stays small and warm.
 *
 * Why it is correct: a free slot is on the stack or above FRESH, never both. `allocate` reads the head's
 * link before its compare-exchange; should the slot have been taken and freed again in between, the link
 * may be another one, but then the tag is too, and the compare-exchange fails. The tag has as many
 * bits as the index leaves: 2^15 changes for 65 536 slots. A thread would have to stand still for
 * exactly a multiple of that between two instructions, and find the same slot on top, to be deceived.
 *
 * A slot's LINK says ALLOCATED while it is out, so that freeing it twice is seen, by the exchange that
 * both try.
 */
import { outOfRange, wordsAt } from './words.js'

const WORD_BYTES = 4
const HEAD = 0
const FRESH = 1
const USED = 2
const LINKS = 16
const ALLOCATED = -1
/** Leaves 11 bits for the tag. */
const LARGEST = 2 ** 20

export class Slab {
  readonly #words: Int32Array
  readonly #capacity: number
  /** The head's low bits, and one in its tag. */
  readonly #indexMask: number
  readonly #oneTag: number

  static byteLength(capacity: number): number {
    return (LINKS + capacity) * WORD_BYTES
  }

  /** @param capacity from 1 to 2^20 slots */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > LARGEST) {
      throw outOfRange('capacity', 'an integer from 1 to 2^20', capacity)
    }
    this.#words = wordsAt(buffer, byteOffset, Slab.byteLength(capacity))
    this.#capacity = capacity
    this.#oneTag = 2 ** Math.ceil(Math.log2(capacity + 1))
    this.#indexMask = this.#oneTag - 1
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Slots that are free, or were a moment ago. */
  get available(): number {
    return this.#capacity - Atomics.load(this.#words, USED)
  }

  /** @returns a slot's index, or -1 if none is free */
  allocate(): number {
    const words = this.#words
    for (;;) {
      const head = Atomics.load(words, HEAD)
      const index = (head & this.#indexMask) - 1
      if (index < 0) {
        const fresh = this.#allocateFresh()
        // The last fresh slot went to somebody else; meanwhile one may have been freed.
        if (fresh >= 0 || Atomics.load(words, HEAD) === head) return fresh
        continue
      }
      const next = Atomics.load(words, LINKS + index)
      // ALLOCATED: somebody was faster, and the compare-exchange would fail.
      if (next === ALLOCATED) continue
      if (Atomics.compareExchange(words, HEAD, head, this.#changed(head, next)) === head) {
        Atomics.store(words, LINKS + index, ALLOCATED)
        Atomics.add(words, USED, 1)
        return index
      }
    }
  }

  #allocateFresh(): number {
    const words = this.#words
    for (;;) {
      const fresh = Atomics.load(words, FRESH)
      if (fresh === this.#capacity) return -1
      if (Atomics.compareExchange(words, FRESH, fresh, fresh + 1) === fresh) {
        Atomics.store(words, LINKS + fresh, ALLOCATED)
        Atomics.add(words, USED, 1)
        return fresh
      }
    }
  }

  /**
   * Takes a slot back.
   * @throws RangeError (ERR_OUT_OF_RANGE) if it was not handed out
   */
  free(index: number): void {
    const words = this.#words
    if (!(index >= 0 && index < this.#capacity))
      throw outOfRange('index', `a slot below ${this.#capacity}`, index)
    let head = Atomics.load(words, HEAD)
    if (Atomics.compareExchange(words, LINKS + index, ALLOCATED, head & this.#indexMask) !== ALLOCATED) {
      throw outOfRange('index', 'a slot that is handed out', index)
    }
    Atomics.sub(words, USED, 1)
    for (;;) {
      const before = Atomics.compareExchange(words, HEAD, head, this.#changed(head, index + 1))
      if (before === head) return
      head = before
      Atomics.store(words, LINKS + index, head & this.#indexMask)
    }
  }

  /** The head with another first slot and the next tag. */
  #changed(head: number, first: number): number {
    return ((((head & ~this.#indexMask) + this.#oneTag) | 0) & ~this.#indexMask) | first
  }
}
