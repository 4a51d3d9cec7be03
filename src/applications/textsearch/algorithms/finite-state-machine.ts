/**
 * A machine of tokens that reads a text once and never goes back, as in Linux 6.17, lib/ts_fsm.c. Pure: modules import it.
 *
 *   - Without HEAD_IGNORE a match must begin where the search does.
 *   - HEAD_IGNORE skips bytes until one matches the next token. A skipped byte that HEAD_IGNORE's own class does not have
 *     ends the search. After a mismatch further on it skips again, from the byte after the one that did not match.
 *   - ANY and MULTI take bytes until one matches the next token; the text must not end before. As the last token they
 *     take no more than they must, and the match is complete.
 *   - A match whose last token is SINGLE or PERHAPS must end with the text; if it does not, the search is over.
 */
import { acceptedBytes, decodeTokens, type FsmToken, TsFsmRecur } from './fsm-tokens.js'

const { SINGLE, PERHAPS, ANY, MULTI } = TsFsmRecur
const BYTES = 256

interface State {
  readonly recur: number
  /** By byte: 1 if the token matches it. */
  readonly accepts: Uint8Array
  /** By byte: 1 if a run of this token's bytes ends in front of it, as the next token's or as nobody's. */
  readonly stops: Uint8Array
  /** The next token's `accepts`; the last one's own. */
  readonly next: Uint8Array
  /** Whether it is the last token and takes any number. */
  readonly openEnded: boolean
}

export interface FsmProgram {
  /** The pattern as it was given. */
  readonly bytes: Uint8Array
  readonly states: readonly State[]
  readonly anchored: boolean
}

/** @throws PatternError */
export function compileFsm(pattern: Uint8Array): FsmProgram {
  const tokens = decodeTokens(pattern)
  const sets = acceptedSets(tokens)
  const stops = stopTables()
  const states = tokens.map(({ recur }, index): State => {
    const accepts = sets[index] as Uint8Array
    const next = sets[index + 1] ?? accepts
    return {
      recur,
      accepts,
      next,
      stops: stops(accepts, next),
      openEnded: index === tokens.length - 1 && (recur === ANY || recur === MULTI),
    }
  })
  return { bytes: pattern, states, anchored: tokens[0]?.recur !== TsFsmRecur.HEAD_IGNORE }
}

/** What each token matches; tokens that are the same share it, so that a long pattern takes no long time. */
function acceptedSets(tokens: readonly Required<FsmToken>[]): Uint8Array[] {
  const known = new Map<number, Uint8Array>()
  return tokens.map(token => {
    const key = token.type * BYTES + token.value
    const set = known.get(key) ?? acceptedBytes(token)
    known.set(key, set)
    return set
  })
}

/** The same for the bytes that end a run of one token's in front of the next one's. */
function stopTables(): (accepts: Uint8Array, next: Uint8Array) => Uint8Array {
  const known = new Map<Uint8Array, Map<Uint8Array, Uint8Array>>()
  return (accepts, next) => {
    const after = known.get(accepts) ?? new Map<Uint8Array, Uint8Array>()
    known.set(accepts, after)
    const stops = after.get(next) ?? accepts.map((own, byte) => (own === 0 ? 1 : (next[byte] as number)))
    after.set(next, stops)
    return stops
  }
}

/** `scan` has used up its block. */
const NEED_BLOCK = -1
/** There is no match, whatever follows. */
export const NO_MATCH = -2

/** How far the token that it is at has got. */
const Phase = {
  /** It has seen nothing. */
  NEW: 0,
  /** It has what it must have, and has not looked at the byte that follows. */
  SATISFIED: 1,
  /** It has looked at a byte, and needs one that ends its run. */
  RUNNING: 2,
} as const

/** One search, at one place of the text. */
export class FsmRun {
  readonly #program: FsmProgram
  /** Which token it is at; their number: all have matched. */
  #token = 0
  #phase: number = Phase.NEW
  #begun = false
  /** Where the match begins, in the whole text. */
  start = 0

  constructor(program: FsmProgram) {
    this.#program = program
  }

  /** Makes it ready for another search. */
  reset(): void {
    this.#token = 0
    this.#phase = Phase.NEW
    this.#begun = false
  }

  /**
   * Goes on at `block[from]`, where `block[0]` is at byte `base` of the text.
   * @returns the index where the match ends, NEED_BLOCK or NO_MATCH
   */
  scan(block: Uint8Array, base: number, from: number): number {
    const { states, anchored } = this.#program
    const { length } = block
    if (from >= length) return NEED_BLOCK
    let at = from
    let token = this.#token
    let phase = this.#phase
    if (!this.#begun) {
      this.#begun = true
      this.start = base + at
    }
    for (;;) {
      const state = states[token]
      if (state === undefined) {
        if (at < length) return NO_MATCH
        break
      }
      const { recur, accepts, next, stops } = state
      if (state.openEnded && (recur === ANY || phase === Phase.SATISFIED)) return at
      if (at >= length) break

      let mismatch = false
      if (recur === SINGLE || (recur === MULTI && phase === Phase.NEW)) {
        mismatch = accepts[block[at] as number] === 0
        at += 1
        if (recur === SINGLE) token += 1
        else phase = Phase.SATISFIED
      } else if (recur === PERHAPS) {
        at += accepts[block[at] as number] as number
        token += 1
      } else {
        while (at < length && stops[block[at] as number] === 0) at += 1
        phase = Phase.RUNNING
        if (at >= length) break
        mismatch = next[block[at] as number] === 0
        if (recur === TsFsmRecur.HEAD_IGNORE) {
          if (mismatch) return NO_MATCH
          this.start = base + at
        }
        token += 1
        phase = Phase.NEW
        if (mismatch) at += 1
      }
      if (mismatch) {
        if (anchored) return NO_MATCH
        token = 0
        phase = Phase.NEW
        this.start = base + at
      }
    }
    this.#token = token
    this.#phase = phase
    return NEED_BLOCK
  }

  /** The text has ended: whether this completes a match, which ends there. */
  end(): boolean {
    if (!this.#begun) return false
    if (this.#phase === Phase.RUNNING) return false
    const { states } = this.#program
    const satisfied = this.#phase === Phase.SATISFIED ? this.#token + 1 : this.#token
    return states.slice(satisfied).every(({ recur }) => recur !== SINGLE && recur !== MULTI)
  }
}
