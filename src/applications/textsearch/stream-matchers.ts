/**
 * How each algorithm searches a text that is given to it in pieces. Pure: modules import it.
 */
import { type BoyerMoorePattern, BoyerMooreRun } from './algorithms/boyer-moore.js'
import { type FsmProgram, FsmRun, NO_MATCH } from './algorithms/finite-state-machine.js'
import { type KmpPattern, KmpRun } from './algorithms/kmp.js'
import { NEED_CHUNK, OVER, type StreamMatcher } from './types.js'

const NOTHING: Uint8Array = new Uint8Array(0)

/** Keeps nothing of the text. */
export class KmpStream implements StreamMatcher {
  readonly #length: number
  readonly #run: KmpRun
  #chunk = NOTHING
  /** The chunk's first byte in the whole text. */
  #base = 0
  #at = 0

  constructor(pattern: KmpPattern) {
    this.#length = pattern.bytes.length
    this.#run = new KmpRun(pattern)
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk
    this.#at = 0
  }

  next(): number {
    const end = this.#run.scan(this.#chunk, this.#at)
    if (end >= 0) {
      this.#at = end
      return this.#base + end - this.#length
    }
    this.#base += this.#chunk.length
    this.push(NOTHING)
    return NEED_CHUNK
  }

  end(): number {
    return OVER
  }
}

/**
 * Keeps the end of the text seen so far in which a match may begin, less than the pattern's length: where the raw
 * algorithm would miss a match that lies across two blocks.
 */
export class BoyerMooreStream implements StreamMatcher {
  readonly #length: number
  readonly #run: BoyerMooreRun
  readonly #room: Uint8Array
  #before = NOTHING
  #chunk = NOTHING
  #base = 0

  constructor(pattern: BoyerMoorePattern) {
    this.#length = pattern.bytes.length
    this.#run = new BoyerMooreRun(pattern)
    this.#room = new Uint8Array(this.#length - 1)
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk
  }

  next(): number {
    const run = this.#run
    let start = -1
    let found = false
    if (run.at < this.#length - 1) {
      found = run.findAcross(this.#before, this.#chunk)
      start = run.at - this.#length + 1
    }
    if (!found) {
      start = run.find(this.#chunk)
      found = start >= 0
    }
    if (found) {
      run.at += this.#length
      return this.#base + start
    }
    this.#keep()
    return NEED_CHUNK
  }

  end(): number {
    return OVER
  }

  /** Lets go of the chunk but for the bytes under the pattern as it lies now, and counts from the next chunk on. */
  #keep(): void {
    const { length } = this.#chunk
    const first = this.#run.at - this.#length + 1
    const old = Math.max(0, -first)
    const oldStart = this.#before.length - old
    if (old > 0 && oldStart > 0) this.#room.copyWithin(0, oldStart, oldStart + old)
    const fresh = this.#chunk.subarray(Math.max(0, first))
    this.#room.set(fresh, old)
    this.#before = this.#room.subarray(0, old + fresh.length)
    this.#run.at -= length
    this.#base += length
    this.#chunk = NOTHING
  }
}

/**
 * Keeps nothing of the text. Its matches are those that `find` and then `next` give for the whole text, but for one thing:
 * after an empty match, which `next` would give for ever, it goes on one byte further.
 */
export class FsmStream implements StreamMatcher {
  readonly #run: FsmRun
  #chunk = NOTHING
  #base = 0
  #at = 0
  #over = false

  constructor(program: FsmProgram) {
    this.#run = new FsmRun(program)
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk
    this.#at = 0
  }

  next(): number {
    if (this.#over) return OVER
    const end = this.#run.scan(this.#chunk, this.#base, this.#at)
    if (end >= 0) {
      const { start } = this.#run
      this.#at = this.#base + end === start ? end + 1 : end
      this.#run.reset()
      return start
    }
    if (end === NO_MATCH) {
      this.#over = true
      this.push(NOTHING)
      return OVER
    }
    this.#base += this.#chunk.length
    this.push(NOTHING)
    return NEED_CHUNK
  }

  end(): number {
    if (this.#over || !this.#run.end()) return OVER
    this.#over = true
    return this.#run.start
  }
}
