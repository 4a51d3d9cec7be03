/**
 * What the algorithms must find, said in the plainest way, over the whole text; and texts to find it in.
 */
import { type FsmToken, TsFsmRecur, TsFsmType } from '../../../src/applications/textsearch/index.js'

/** Linux's toupper of a byte of Latin-1. */
const upper = (byte: number): number =>
  (byte >= 0x61 && byte <= 0x7a) || (byte >= 0xdf && byte !== 0xf7) ? byte - 32 : byte

export const folded = (bytes: Uint8Array, ignoreCase: boolean): Uint8Array =>
  ignoreCase ? bytes.map(upper) : bytes

/** The first match that begins at `from` or later and ends at `to` or sooner; -1 if there is none. */
export function naive(text: Uint8Array, pattern: Uint8Array, from: number, to = text.length): number {
  for (let start = from; start + pattern.length <= to; start += 1) {
    if (pattern.every((byte, index) => text[start + index] === byte)) return start
  }
  return -1
}

/** All matches, one after the other. */
export function naiveAll(text: Uint8Array, pattern: Uint8Array): number[] {
  const found: number[] = []
  for (let at = naive(text, pattern, 0); at >= 0; at = naive(text, pattern, at + pattern.length))
    found.push(at)
  return found
}

/** As Linux has the classes (lib/ctype.c), byte by byte. */
const CLASSES: Readonly<Record<number, RegExp>> = {
  [TsFsmType.WILDCARD]: /[\s\S]/,
  [TsFsmType.DIGIT]: /[0-9]/,
  [TsFsmType.XDIGIT]: /[0-9a-fA-F]/,
  [TsFsmType.PRINT]: /[\x20-\x7e\xa0-\xff]/,
  [TsFsmType.ALPHA]: /[a-zA-Z\xc0-\xd6\xd8-\xf6\xf8-\xff]/,
  [TsFsmType.ALNUM]: /[0-9a-zA-Z\xc0-\xd6\xd8-\xf6\xf8-\xff]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what ASCII is
  [TsFsmType.ASCII]: /[\x00-\x7f]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
  [TsFsmType.CNTRL]: /[\x00-\x1f\x7f]/,
  [TsFsmType.GRAPH]: /[\x21-\x7e\xa1-\xff]/,
  [TsFsmType.LOWER]: /[a-z\xdf-\xf6\xf8-\xff]/,
  [TsFsmType.UPPER]: /[A-Z\xc0-\xd6\xd8-\xde]/,
  [TsFsmType.PUNCT]: /[!-/:-@[-`{-~\xa1-\xbf\xd7\xf7]/,
  [TsFsmType.SPACE]: /[\t-\r \xa0]/,
}

export const accepts = ({ type, value = 0 }: FsmToken, byte: number): boolean =>
  type === TsFsmType.SPECIFIC ? byte === value : (CLASSES[type]?.test(String.fromCharCode(byte)) ?? false)

/** A match of fsm: where it begins, and where the search goes on. */
export type Match = readonly [start: number, end: number]

/** The rules of fsm, as in Linux 6.17, lib/ts_fsm.c, read token by token. */
export function interpret(tokens: readonly FsmToken[], text: Uint8Array, from: number): Match | undefined {
  const matches = (token: FsmToken | undefined, at: number): boolean =>
    token !== undefined && accepts(token, text[at] ?? 0)
  /** The first place from `at` on where the token matches, or does not. */
  const first = (token: FsmToken | undefined, at: number, wanted: boolean): number => {
    for (let index = at; index < text.length; index += 1) if (matches(token, index) === wanted) return index
    return Number.POSITIVE_INFINITY
  }
  const retry = (mismatch: number): Match | undefined =>
    tokens[0]?.recur === TsFsmRecur.HEAD_IGNORE ? step(0, mismatch + 1, mismatch + 1) : undefined

  /** Token `index` and those after it, at `at`. */
  const step = (index: number, at: number, start: number): Match | undefined => {
    const token = tokens[index]
    const atEnd = at >= text.length
    if (token === undefined) return atEnd ? [start, at] : undefined
    switch (token.recur) {
      case TsFsmRecur.SINGLE:
        if (atEnd) return undefined
        return matches(token, at) ? step(index + 1, at + 1, start) : retry(at)
      case TsFsmRecur.PERHAPS:
        return step(index + 1, !atEnd && matches(token, at) ? at + 1 : at, start)
      case TsFsmRecur.MULTI:
        if (atEnd) return undefined
        return matches(token, at) ? repeated(index, at + 1, start) : retry(at)
      case TsFsmRecur.ANY:
        return repeated(index, at, start)
      default: {
        if (atEnd) return step(index + 1, at, start)
        const head = first(tokens[index + 1], at, true)
        if (head > first(token, at, false) || head >= text.length) return undefined
        return step(index + 1, head, head)
      }
    }
  }
  const repeated = (index: number, at: number, start: number): Match | undefined => {
    if (index === tokens.length - 1) return [start, at]
    if (at >= text.length) return step(index + 1, at, start)
    const follower = first(tokens[index + 1], at, true)
    const stranger = first(tokens[index], at, false)
    if (stranger < follower) return retry(stranger)
    return follower < text.length ? step(index + 1, follower, start) : undefined
  }
  return from < text.length ? step(0, from, from) : undefined
}

/** What a stream gives: one search after the other, and one byte further after an empty match. */
export function interpretAll(tokens: readonly FsmToken[], text: Uint8Array): number[] {
  const found: number[] = []
  let match = interpret(tokens, text, 0)
  while (match !== undefined) {
    const [start, end] = match
    found.push(start)
    match = interpret(tokens, text, end === start ? end + 1 : end)
  }
  return found
}

/** A generator of random cases that a seed repeats (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }

  pick<Item>(items: ArrayLike<Item>): Item {
    return items[this.below(items.length)] as Item
  }

  /** Bytes of one of several alphabets: of few bytes, so that much matches, and of all. */
  bytes(length: number, alphabet: Uint8Array): Uint8Array {
    return Uint8Array.from({ length }, () => this.pick(alphabet))
  }

  alphabet(): Uint8Array {
    return this.pick(ALPHABETS)
  }

  /** A text in pieces, some of them empty. */
  pieces(text: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = []
    const longest = 1 + this.below(text.length + 1)
    for (let at = 0; at < text.length; ) {
      const length = this.below(longest + 1)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    return pieces
  }

  tokens(alphabet: Uint8Array): FsmToken[] {
    const junk = this.below(3) > 0
    const length = (junk ? 1 : 0) + 1 + this.below(4)
    return Array.from({ length }, (_, index) => ({
      type: this.below(2) === 0 ? TsFsmType.SPECIFIC : this.below(14),
      recur:
        junk && index === 0
          ? TsFsmRecur.HEAD_IGNORE
          : this.below(2) === 0
            ? TsFsmRecur.SINGLE
            : 1 + this.below(3),
      value: this.pick(alphabet),
    })).map((token, index) =>
      // Junk of one byte only would hardly ever let anything through.
      junk && index === 0 && this.below(4) > 0 ? { ...token, type: TsFsmType.WILDCARD } : token,
    )
  }
}

const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
const ALPHABETS = [
  latin1('a'),
  latin1('ab'),
  latin1('aAb'),
  latin1('ab1 \n'),
  latin1('aAäÄßÿ¿×÷b'),
  Uint8Array.from({ length: 256 }, (_, byte) => byte),
]

/** Another seed repeats what another run has found. */
export const SEED = Number(process.env['KHELPER_TEXTSEARCH_SEED'] ?? 20_240_617)
export const CASES = Number(process.env['KHELPER_TEXTSEARCH_CASES'] ?? 100_000)
