/**
 * Which bytes are letters, digits and so on, and how they are folded: ISO 8859-1 as Linux has it (lib/ctype.c and the
 * classes of lib/ts_fsm.c, Linux 6.17). Pure: modules import it.
 */

export const CharacterClass = {
  UPPER: 1,
  LOWER: 2,
  DIGIT: 4,
  /** Letters from a to f, capital and small. */
  HEX_LETTER: 8,
  PUNCT: 16,
  SPACE: 32,
  CNTRL: 64,
  /** What takes room but no ink: the space and the no-break space. */
  BLANK: 128,
  ASCII: 256,
} as const

const { UPPER, LOWER, DIGIT, HEX_LETTER, PUNCT, SPACE, CNTRL, BLANK, ASCII } = CharacterClass

const BYTES = 256
const TO_UPPER = 0x20

/** Ranges with both ends, and what holds of all in them; a byte is in the classes of all ranges it is in. */
const RANGES: readonly (readonly [number, number, number])[] = [
  [0x00, 0x7f, ASCII],
  [0x00, 0x1f, CNTRL],
  [0x7f, 0x7f, CNTRL],
  [0x09, 0x0d, SPACE],
  [0x20, 0x20, SPACE | BLANK],
  [0x21, 0x2f, PUNCT],
  [0x30, 0x39, DIGIT],
  [0x3a, 0x40, PUNCT],
  [0x41, 0x5a, UPPER],
  [0x41, 0x46, HEX_LETTER],
  [0x5b, 0x60, PUNCT],
  [0x61, 0x7a, LOWER],
  [0x61, 0x66, HEX_LETTER],
  [0x7b, 0x7e, PUNCT],
  [0xa0, 0xa0, SPACE | BLANK],
  [0xa1, 0xbf, PUNCT],
  [0xc0, 0xd6, UPPER],
  [0xd7, 0xd7, PUNCT],
  [0xd8, 0xde, UPPER],
  [0xdf, 0xf6, LOWER],
  [0xf7, 0xf7, PUNCT],
  [0xf8, 0xff, LOWER],
]

/** The classes of each byte. */
export const CLASSES = new Uint16Array(BYTES)
for (const [first, last, classes] of RANGES) {
  for (let byte = first; byte <= last; byte += 1) CLASSES[byte] = (CLASSES[byte] ?? 0) | classes
}

/** Each byte as it is. */
const IDENTITY: Uint8Array = Uint8Array.from({ length: BYTES }, (_, byte) => byte)

/**
 * Each byte's capital letter, as Linux's toupper: a small letter less 32. Latin-1 has no capitals of 0xDF (ß) and
 * 0xFF (ÿ), and what they become here is 0xBF (¿) and 0xDF (ß).
 */
const UPPER_CASE: Uint8Array = IDENTITY.map(byte =>
  ((CLASSES[byte] ?? 0) & LOWER) === 0 ? byte : byte - TO_UPPER,
)

/** How bytes are to be compared. */
export const foldTable = (ignoreCase: boolean): Uint8Array => (ignoreCase ? UPPER_CASE : IDENTITY)

/** A pattern as it is stored and given back. */
export const folded = (pattern: Uint8Array, ignoreCase: boolean): Uint8Array =>
  ignoreCase ? pattern.map(byte => UPPER_CASE[byte] ?? byte) : pattern
