/**
 * What may be given as a pattern, and the bytes it stands for.
 */
import { outOfRange, wrongType } from '../../kernel/errors.js'
import { encodeTokens, type FsmToken } from './algorithms/fsm-tokens.js'

/**
 * A string stands for its UTF-8; `Buffer.from(text, 'latin1')` gives it in Latin-1. Tokens are for fsm.
 */
export type Pattern = string | Uint8Array | readonly number[] | readonly FsmToken[]

function checkRange(name: string, value: unknown, most: number): number {
  if (typeof value !== 'number') throw wrongType(name, 'a number', value)
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw outOfRange(name, `a whole number from 0 to ${most}`, value)
  }
  return value
}

const areTokens = (pattern: readonly (number | FsmToken)[]): pattern is readonly FsmToken[] =>
  pattern.every(item => typeof item === 'object' && item !== null)

/** @internal For the C names, which count its bytes. @returns a copy that nobody else has */
export function patternBytes(pattern: Pattern): Uint8Array {
  if (typeof pattern === 'string') return Uint8Array.from(Buffer.from(pattern, 'utf8'))
  if (pattern instanceof Uint8Array) return Uint8Array.from(pattern)
  if (!Array.isArray(pattern)) {
    throw wrongType('pattern', 'a string, a Buffer or Uint8Array, or an array of tokens', pattern)
  }
  const items: readonly (number | FsmToken)[] = pattern
  if (areTokens(items)) {
    items.forEach(({ type, recur, value = 0 }, index) => {
      checkRange(`pattern[${index}].type`, type, 0xffff)
      checkRange(`pattern[${index}].recur`, recur, 0xff)
      checkRange(`pattern[${index}].value`, value, 0xff)
    })
    return encodeTokens(items)
  }
  return Uint8Array.from(items, (byte, index) => checkRange(`pattern[${index}]`, byte, 0xff))
}
