/**
 * Knuth, Morris, Pratt: Fast pattern matching in strings (1977). Each byte of the text is looked at once, in order, and
 * never again, so that a text may come in blocks of any size. Pure: modules import it.
 */
import { folded, foldTable } from './latin1.js'

export interface KmpPattern {
  readonly bytes: Uint8Array
  /** At i: of the longest proper prefix of bytes[0..i] that is its suffix too, the length. */
  readonly borders: Uint32Array
  /** What each byte of the text is before it is compared. */
  readonly fold: Uint8Array
}

export function compileKmp(pattern: Uint8Array, ignoreCase: boolean): KmpPattern {
  const bytes = folded(pattern, ignoreCase)
  const borders = new Uint32Array(bytes.length)
  for (let at = 1, border = 0; at < bytes.length; at += 1) {
    while (border > 0 && bytes[border] !== bytes[at]) border = borders[border - 1] as number
    if (bytes[border] === bytes[at]) border += 1
    borders[at] = border
  }
  return { bytes, borders, fold: foldTable(ignoreCase) }
}

/** One search: what it has to know of the text that it has seen is how much of the pattern matches at its end. */
export class KmpRun {
  readonly #pattern: KmpPattern
  #matched = 0

  constructor(pattern: KmpPattern) {
    this.#pattern = pattern
  }

  /**
   * Goes on at `block[from]`.
   * @returns the index after a match's last byte, where the search starts anew; -1 if the block is used up
   */
  scan(block: Uint8Array, from: number): number {
    const { bytes, borders, fold } = this.#pattern
    const { length } = block
    const first = bytes[0]
    let matched = this.#matched
    for (let at = from; at < length; at += 1) {
      if (matched === 0) {
        while (at < length && fold[block[at] as number] !== first) at += 1
        if (at >= length) break
      }
      const byte = fold[block[at] as number]
      while (matched > 0 && bytes[matched] !== byte) matched = borders[matched - 1] as number
      if (bytes[matched] === byte) matched += 1
      if (matched === bytes.length) {
        this.#matched = 0
        return at + 1
      }
    }
    this.#matched = matched
    return -1
  }
}
