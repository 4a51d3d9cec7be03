/**
 * MpmcQueue: a bounded queue of 32-bit integers for many producers and many consumers.
 *
 * Dmitry Vyukov's bounded MPMC queue, as crossbeam has it in `ArrayQueue`.
 *
 *   word 0           TAIL     position of the next push (producers, by compare-exchange)
 *   word 16          HEAD     position of the next pop (consumers, by compare-exchange)
 *   word 32 + 2i     STAMP    of cell i, less i, so that zeroed memory is an empty queue:
 *                             = position - i      free for the push at that position
 *                             = position - i + 1  holds the value pushed at that position
 *   word 33 + 2i     VALUE    of cell i
 *
 * A position counts on over the laps and wraps at 2^32; the cell is its low bits. TAIL and HEAD stand a
 * cache line apart, so that producers and consumers do not take each other's.
 *
 * Why it is correct: winning the compare-exchange on TAIL makes this thread the only one that may fill the
 * cell at that position; the store of the stamp, after the value's, is what a consumer waits to see. The
 * same holds on the other side: the consumer reads the value before it stores the stamp that lets the next
 * lap's producer in. The value is therefore an ordinary word, ordered by the stamp. Positions are compared
 * by their difference, so wrapping is no special case; a stale position would have to sleep through 2^32
 * pushes to be taken for a current one.
 *
 * Not lock-free in the strict sense: a thread that dies between its compare-exchange and its store of the
 * stamp blocks that cell for ever. Nothing that could end a thread (a call, a loop's back edge, an
 * allocation) stands between the two.
 */
import { outOfRange, wordsAt } from './words.js'

const WORD_BYTES = 4
const LINE_WORDS = 16
const TAIL = 0
const HEAD = LINE_WORDS
const CELLS = 2 * LINE_WORDS
const CELL_WORDS = 2
const LARGEST = 2 ** 26

export class MpmcQueue {
  readonly #words: Int32Array
  readonly #mask: number

  static byteLength(capacity: number): number {
    return (CELLS + capacity * CELL_WORDS) * WORD_BYTES
  }

  /** @param capacity a power of two from 2 to 2^26 */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    if (
      !Number.isInteger(capacity) ||
      capacity < 2 ||
      capacity > LARGEST ||
      (capacity & (capacity - 1)) !== 0
    ) {
      throw outOfRange('capacity', 'a power of two from 2 to 2^26', capacity)
    }
    this.#words = wordsAt(buffer, byteOffset, MpmcQueue.byteLength(capacity))
    this.#mask = capacity - 1
  }

  /** Makes the queue empty. Only while no other thread uses it. */
  init(): void {
    this.#words.fill(0)
  }

  get capacity(): number {
    return this.#mask + 1
  }

  /** How many values are in it, or were a moment ago. */
  get size(): number {
    const head = Atomics.load(this.#words, HEAD)
    const size = (Atomics.load(this.#words, TAIL) - head) | 0
    return Math.max(0, Math.min(size, this.capacity))
  }

  /** @returns false if the queue is full */
  push(value: number): boolean {
    const words = this.#words
    let tail = Atomics.load(words, TAIL)
    for (;;) {
      const index = tail & this.#mask
      const cell = CELLS + index * CELL_WORDS
      const behind = (Atomics.load(words, cell) + index - tail) | 0
      if (behind === 0) {
        const before = Atomics.compareExchange(words, TAIL, tail, (tail + 1) | 0)
        if (before === tail) {
          words[cell + 1] = value
          Atomics.store(words, cell, (tail + 1 - index) | 0)
          return true
        }
        tail = before
      } else if (behind < 0) {
        // The cell still holds the value of the lap before: full, unless others have moved on meanwhile.
        const now = Atomics.load(words, TAIL)
        if (now === tail) return false
        tail = now
      } else {
        // Another producer was faster.
        tail = Atomics.load(words, TAIL)
      }
    }
  }

  /** @returns the oldest value, or undefined if the queue is empty */
  pop(): number | undefined {
    const words = this.#words
    let head = Atomics.load(words, HEAD)
    for (;;) {
      const index = head & this.#mask
      const cell = CELLS + index * CELL_WORDS
      const behind = (Atomics.load(words, cell) + index - head - 1) | 0
      if (behind === 0) {
        const before = Atomics.compareExchange(words, HEAD, head, (head + 1) | 0)
        if (before === head) {
          const value = words[cell + 1]
          Atomics.store(words, cell, (head + this.#mask + 1 - index) | 0)
          return value
        }
        head = before
      } else if (behind < 0) {
        // Nothing pushed here yet: empty, unless others have moved on meanwhile.
        const now = Atomics.load(words, HEAD)
        if (now === head) return undefined
        head = now
      } else {
        // Another consumer was faster.
        head = Atomics.load(words, HEAD)
      }
    }
  }
}
