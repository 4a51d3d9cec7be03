/**
 * LockFreeList: many threads add, one takes all; Linux's llist (include/linux/llist.h, lib/llist.c).
 *
 *   head word      index of the newest node plus one, 0: empty (any thread by compare-exchange;
 *                  the consumer by exchange with 0)
 *   link word      of each node, where the caller keeps it: the next older node plus one, 0: the end
 *                  (written by the adding thread before the node is on the list, by the consumer after)
 *
 * Why it is correct: a node's link is stored before the compare-exchange that publishes the node, and read
 * after the exchange that took it. No ABA: nothing is ever taken from the middle or one by one; a head
 * that looks as it did before is the head of a list to which this node may be linked, whatever
 * happened meanwhile.
 */
import { wordsAt } from './words.js'

const WORD_BYTES = 4
const HEAD = 0

export class LockFreeList {
  readonly #head: Int32Array
  readonly #words: Int32Array
  readonly #links: number
  readonly #stride: number

  /**
   * @param headByteOffset where the head word is
   * @param linksByteOffset where node 0's link word is
   * @param linkStride bytes from one node's link word to the next node's
   */
  constructor(
    buffer: SharedArrayBuffer,
    headByteOffset: number,
    linksByteOffset: number,
    linkStride: number,
  ) {
    this.#head = wordsAt(buffer, headByteOffset, WORD_BYTES)
    wordsAt(buffer, linksByteOffset, WORD_BYTES)
    this.#words = new Int32Array(buffer)
    this.#links = linksByteOffset / WORD_BYTES
    this.#stride = linkStride / WORD_BYTES
  }

  /**
   * Adds a node that is on no list.
   * @returns true if the list was empty: who wakes the consumer need do so only then
   */
  add(node: number): boolean {
    const link = this.#link(node)
    for (;;) {
      const head = Atomics.load(this.#head, HEAD)
      Atomics.store(this.#words, link, head)
      if (Atomics.compareExchange(this.#head, HEAD, head, node + 1) === head) return head === 0
    }
  }

  /**
   * Takes everything; the consumer only.
   * @returns the node that was added first, -1 if there is none; `next` leads to the others in their order
   */
  takeAll(): number {
    if (Atomics.load(this.#head, HEAD) === 0) return -1
    let newer = 0
    for (let node = Atomics.exchange(this.#head, HEAD, 0); node !== 0; ) {
      const link = this.#link(node - 1)
      const older = Atomics.load(this.#words, link)
      Atomics.store(this.#words, link, newer)
      newer = node
      node = older
    }
    return newer - 1
  }

  /** The node after `node` in what `takeAll` took, -1 at the end. To be asked before `node` is given away. */
  next(node: number): number {
    return Atomics.load(this.#words, this.#link(node)) - 1
  }

  get empty(): boolean {
    return Atomics.load(this.#head, HEAD) === 0
  }

  #link(node: number): number {
    return this.#links + node * this.#stride
  }
}
