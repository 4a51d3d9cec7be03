/**
 * The patterns of fsm: tokens of four bytes, as in Linux 6.17, include/linux/textsearch_fsm.h (struct ts_fsm_token).
 * Pure: modules import it.
 */
import { CharacterClass, CLASSES } from './latin1.js'

/** Which bytes a token matches. */
export const TsFsmType = {
  /** The byte `value`. */
  SPECIFIC: 0,
  WILDCARD: 1,
  DIGIT: 2,
  XDIGIT: 3,
  PRINT: 4,
  ALPHA: 5,
  ALNUM: 6,
  ASCII: 7,
  CNTRL: 8,
  GRAPH: 9,
  LOWER: 10,
  UPPER: 11,
  PUNCT: 12,
  SPACE: 13,
} as const

/** How many bytes a token matches. */
export const TsFsmRecur = {
  SINGLE: 0,
  /** None or one. */
  PERHAPS: 1,
  /** Any number, none included. */
  ANY: 2,
  /** One or more. */
  MULTI: 3,
  /** Any number in front of the match, which may then begin anywhere; for the first token only. */
  HEAD_IGNORE: 4,
} as const

export interface FsmToken {
  /** One of `TsFsmType`. */
  readonly type: number
  /** One of `TsFsmRecur`. */
  readonly recur: number
  /** For SPECIFIC: the byte. */
  readonly value?: number
}

/** sizeof(struct ts_fsm_token). */
const TOKEN_BYTES = 4
const RECUR_AT = 2
const VALUE_AT = 3

/** A pattern that an algorithm cannot take. */
export class PatternError extends Error {
  override readonly name = 'PatternError'
}

/** Tokens as fsm takes them: type (16 bits, least byte first), recur, value. */
export function encodeTokens(tokens: readonly FsmToken[]): Uint8Array {
  const bytes = new Uint8Array(tokens.length * TOKEN_BYTES)
  const view = new DataView(bytes.buffer)
  tokens.forEach(({ type, recur, value = 0 }, index) => {
    view.setUint16(index * TOKEN_BYTES, type, true)
    view.setUint8(index * TOKEN_BYTES + RECUR_AT, recur)
    view.setUint8(index * TOKEN_BYTES + VALUE_AT, value)
  })
  return bytes
}

/**
 * The tokens that some bytes stand for.
 * @throws PatternError for what Linux refuses with -EINVAL
 */
export function decodeTokens(bytes: Uint8Array): Required<FsmToken>[] {
  if (bytes.length === 0 || bytes.length % TOKEN_BYTES !== 0) {
    throw new PatternError(
      `a pattern of fsm is tokens of ${TOKEN_BYTES} bytes; these are ${bytes.length} bytes`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tokens: Required<FsmToken>[] = []
  for (let at = 0; at < bytes.length; at += TOKEN_BYTES) {
    const token = {
      type: view.getUint16(at, true),
      recur: view.getUint8(at + RECUR_AT),
      value: view.getUint8(at + VALUE_AT),
    }
    const index = tokens.length
    if (token.type > TsFsmType.SPACE) throw new PatternError(`token ${index}: there is no type ${token.type}`)
    if (token.recur > TsFsmRecur.HEAD_IGNORE) {
      throw new PatternError(`token ${index}: there is no recur ${token.recur}`)
    }
    if (token.recur === TsFsmRecur.HEAD_IGNORE && index > 0) {
      throw new PatternError(`token ${index}: only the first token can be HEAD_IGNORE`)
    }
    tokens.push(token)
  }
  if (tokens.length === 1 && tokens[0]?.recur === TsFsmRecur.HEAD_IGNORE) {
    throw new PatternError('a token must follow after HEAD_IGNORE')
  }
  return tokens
}

const { UPPER, LOWER, DIGIT, HEX_LETTER, PUNCT, SPACE, CNTRL, BLANK, ASCII } = CharacterClass

/** For each type but SPECIFIC and WILDCARD: in one of which classes a byte must be. */
const ACCEPTED: Readonly<Record<number, number>> = {
  [TsFsmType.DIGIT]: DIGIT,
  [TsFsmType.XDIGIT]: DIGIT | HEX_LETTER,
  [TsFsmType.PRINT]: UPPER | LOWER | DIGIT | PUNCT | BLANK,
  [TsFsmType.ALPHA]: UPPER | LOWER,
  [TsFsmType.ALNUM]: UPPER | LOWER | DIGIT,
  [TsFsmType.ASCII]: ASCII,
  [TsFsmType.CNTRL]: CNTRL,
  [TsFsmType.GRAPH]: UPPER | LOWER | DIGIT | PUNCT,
  [TsFsmType.LOWER]: LOWER,
  [TsFsmType.UPPER]: UPPER,
  [TsFsmType.PUNCT]: PUNCT,
  [TsFsmType.SPACE]: SPACE,
}

/** For each byte: 1 if the token matches it, else 0. */
export function acceptedBytes({ type, value }: Required<FsmToken>): Uint8Array {
  return Uint8Array.from(CLASSES, (classes, byte) => {
    if (type === TsFsmType.WILDCARD) return 1
    if (type === TsFsmType.SPECIFIC) return byte === value ? 1 : 0
    return (classes & (ACCEPTED[type] ?? 0)) === 0 ? 0 : 1
  })
}
