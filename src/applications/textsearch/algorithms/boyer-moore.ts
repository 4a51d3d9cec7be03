/**
 * Boyer, Moore: A fast string searching algorithm (1977), with the strong good-suffix rule. The pattern is compared from
 * its end, and most bytes of the text are never looked at. Pure: modules import it.
 */
import { folded, foldTable } from './latin1.js'

const BYTES = 256

export interface BoyerMoorePattern {
  readonly bytes: Uint8Array
  /** By a byte of the text under the pattern's last one: how far to move the pattern; 0 if the two are the same. */
  readonly skip: Int32Array
  /** By a byte of the text: where the pattern has it last, its last byte not counted; -1 if nowhere. */
  readonly last: Int32Array
  /** At i: how far to move the pattern if bytes[i..] are the text's and bytes[i - 1] is not. */
  readonly goodSuffix: Uint32Array
  readonly fold: Uint8Array
}

export function compileBoyerMoore(pattern: Uint8Array, ignoreCase: boolean): BoyerMoorePattern {
  const bytes = folded(pattern, ignoreCase)
  const fold = foldTable(ignoreCase)
  const lastByte = bytes.length - 1
  const occurrences = new Int32Array(BYTES).fill(-1)
  for (let at = 0; at < lastByte; at += 1) occurrences[bytes[at] as number] = at
  const last = Int32Array.from(fold, byte => occurrences[byte] as number)
  const skip = Int32Array.from(fold, (byte, raw) =>
    byte === bytes[lastByte] ? 0 : lastByte - (last[raw] as number),
  )
  return { bytes, skip, last, goodSuffix: goodSuffixes(bytes), fold }
}

/** For each suffix that can match, the distance to where it stands in the pattern again, after another byte. */
function goodSuffixes(bytes: Uint8Array): Uint32Array {
  const { length } = bytes
  const shifts = new Uint32Array(length + 1)
  /** At i: where the longest proper suffix of bytes[i..] begins that is its prefix too. */
  const borders = new Uint32Array(length + 1)
  let border = length + 1
  borders[length] = border
  for (let at = length; at > 0; at -= 1) {
    while (border <= length && bytes[at - 1] !== bytes[border - 1]) {
      if (shifts[border] === 0) shifts[border] = border - at
      border = borders[border] as number
    }
    border -= 1
    borders[at - 1] = border
  }
  border = borders[0] as number
  for (let at = 0; at <= length; at += 1) {
    if (shifts[at] === 0) shifts[at] = border
    if (at === border) border = borders[border] as number
  }
  return shifts
}

/** One search in one block. */
export class BoyerMooreRun {
  readonly #pattern: BoyerMoorePattern
  /** Where in the block the pattern's last byte lies. */
  at: number

  constructor(pattern: BoyerMoorePattern) {
    this.#pattern = pattern
    this.at = pattern.bytes.length - 1
  }

  /**
   * Goes on at `at`, where all of the pattern must lie within the block or after it.
   * @returns a match's first index, and `at` stays; -1 if the pattern lies beyond the block's end, as `at` then says
   */
  find(block: Uint8Array): number {
    const { bytes, skip, last, goodSuffix, fold } = this.#pattern
    const { length } = block
    const lastByte = bytes.length - 1
    let at = this.at
    while (at < length) {
      const distance = skip[block[at] as number] as number
      if (distance !== 0) {
        at += distance
        continue
      }
      let index = lastByte - 1
      let text = at - 1
      while (index >= 0 && fold[block[text] as number] === bytes[index]) {
        index -= 1
        text -= 1
      }
      if (index < 0) break
      const bad = index - (last[block[text] as number] as number)
      const good = goodSuffix[index + 1] as number
      at += bad > good ? bad : good
    }
    this.at = at
    return at < length ? at - lastByte : -1
  }

  /**
   * The same while the pattern begins in front of the block, where the text is the end of `before`.
   * @returns whether it matches as `at` says; false as well once it lies within the block or ends beyond it
   */
  findAcross(before: Uint8Array, block: Uint8Array): boolean {
    const { bytes, last, goodSuffix, fold } = this.#pattern
    const lastByte = bytes.length - 1
    while (this.at < lastByte && this.at < block.length) {
      let index = lastByte
      let text = this.at
      let byte = 0
      for (; index >= 0; index -= 1, text -= 1) {
        byte = (text >= 0 ? block[text] : before[before.length + text]) as number
        if (fold[byte] !== bytes[index]) break
      }
      if (index < 0) return true
      this.at += Math.max(index - (last[byte] as number), goodSuffix[index + 1] as number)
    }
    return false
  }
}
