/**
 * A word in a text in memory: how fast each algorithm goes through it, all at once and as a stream of chunks.
 */
import {
  type Pattern,
  type StreamSearch,
  searchStream,
  TS_AUTOLOAD,
  TsFsmRecur,
  TsFsmType,
  type TsState,
  textsearch,
  UINT_MAX,
} from '../../src/applications/textsearch/index.js'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { type Contender, scaled, takeTurns } from '../../src/cli/bench/measure.js'
import { boot, type Kernel } from '../../src/index.js'
import type { Suite } from '../suite.js'

const MEGABYTES = { full: 64, quick: 16 }
const ROUNDS = { full: 11, quick: 3 }
const MEGABYTE = 2 ** 20
/** As files are read. */
const CHUNK = 2 ** 16
const WORD = Buffer.from('needle in a haystack')
/** For the text with matches: one so often, in bytes. */
const DISTANCE = 1000
const SEED = 12_345

/** fsm needs a last token that may be repeated, so that a match need not end with the text. */
const TOKENS = [
  { type: TsFsmType.WILDCARD, recur: TsFsmRecur.HEAD_IGNORE },
  ...[...WORD].map(value => ({ type: TsFsmType.SPECIFIC, recur: TsFsmRecur.SINGLE, value })),
  { type: TsFsmType.WILDCARD, recur: TsFsmRecur.ANY },
]

/** Small letters and spaces, the same each time. */
function haystack(length: number, withMatches: boolean): Buffer {
  const text = Buffer.alloc(length)
  const alphabet = Buffer.from('abcdefghijklmnopqrstuvwxyz    ')
  let state = SEED
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + SEED) >>> 0
    text[at] = alphabet[(state >>> 16) % alphabet.length] ?? 0
  }
  // A letter n in front of a word would start a match of fsm, which does not go back.
  const spaced = Buffer.concat([Buffer.from(' '), WORD])
  if (withMatches) for (let at = DISTANCE; at < length; at += DISTANCE) spaced.copy(text, at)
  return text
}

/** All matches are found, and as many as there are. */
function counting(name: string, expected: number, count: () => number | Promise<number>): Contender {
  return {
    name,
    async run(times) {
      for (let time = 0; time < times; time += 1) {
        const found = await count()
        if (found !== expected) throw new Error(`${name} has found ${found} matches of ${expected}`)
      }
      return undefined
    },
  }
}

function indexOfs(text: Buffer): number {
  let found = 0
  for (let at = text.indexOf(WORD); at >= 0; at = text.indexOf(WORD, at + WORD.length)) found += 1
  return found
}

async function streamed(search: StreamSearch, chunks: readonly Buffer[]): Promise<number> {
  let found = 0
  for await (const _ of searchStream(search, chunks)) found += 1
  return found
}

/** textsearch_find_continuous, and textsearch_next as long as there is a match. */
async function continuous(kernel: Kernel, algo: string, pattern: Pattern, text: Buffer) {
  const search = textsearch(kernel)
  const conf = await search.prepare(algo, pattern, TS_AUTOLOAD)
  return () => {
    const state: TsState = { offset: 0 }
    let found = 0
    for (let at = search.findContinuous(conf, state, text); at !== UINT_MAX; at = search.next(conf, state)) {
      found += 1
      // bm leaves it to its caller to go on.
      if (algo === 'bm') state.offset = at + WORD.length
    }
    return found
  }
}

async function contenders(kernel: Kernel, text: Buffer): Promise<Contender[]> {
  const chunks: Buffer[] = []
  for (let at = 0; at < text.length; at += CHUNK) chunks.push(text.subarray(at, at + CHUNK))
  const expected = indexOfs(text)
  const entered = [
    counting(SUBJECT, expected, () => streamed({ pattern: WORD }, chunks)),
    counting('stream, kmp', expected, () => streamed({ pattern: WORD, algorithm: 'kmp' }, chunks)),
    counting('stream, fsm', expected, () => streamed({ pattern: TOKENS, algorithm: 'fsm' }, chunks)),
    counting('stream, bm, any case', expected, () => streamed({ pattern: WORD, ignoreCase: true }, chunks)),
    counting('Buffer.indexOf', expected, () => indexOfs(text)),
  ]
  for (const algo of ['kmp', 'bm', 'fsm']) {
    const count = await continuous(kernel, algo, algo === 'fsm' ? TOKENS : WORD, text)
    entered.push(counting(`find_continuous, ${algo}`, expected, count))
  }
  return entered
}

export const suite: Suite = {
  title: 'textsearch',
  async run({ quick, add }) {
    const kernel = boot()
    const size = quick ? 'quick' : 'full'
    const megabytes = MEGABYTES[size]
    for (const withMatches of [false, true]) {
      const rows = await takeTurns(await contenders(kernel, haystack(megabytes * MEGABYTE, withMatches)), {
        rounds: ROUNDS[size],
        batch: 0,
        warmUp: 1,
        count: 2,
      })
      add({
        kind: 'comparison',
        suite: 'textsearch',
        id: withMatches ? 'textsearch/matches' : 'textsearch/none',
        title: `${WORD.length} letters in ${megabytes} MB of text, ${withMatches ? `there every ${DISTANCE} bytes` : 'not there'}`,
        unit: 'MB/s',
        better: 'more',
        rows: scaled(rows, megabytes),
        note: `${SUBJECT} is searchStream with bm, in chunks of 64 KiB; Buffer.indexOf and find_continuous have all of the text at once.`,
      })
    }
    await kernel.shutdown()
  },
}
