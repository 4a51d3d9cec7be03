/**
 * The algorithms against the plainest search, on many generated cases, each kept to what it promises.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  type FsmToken,
  searchStream,
  type TextSearch,
  TS_AUTOLOAD,
  TS_IGNORECASE,
  type TsConfig,
  type TsState,
  textsearch,
  UINT_MAX,
} from '../../../src/applications/textsearch/index.js'
import { boot } from '../../../src/index.js'
import { CASES, folded, interpret, interpretAll, naive, naiveAll, Random, SEED } from './reference.js'

const shown = (bytes: Uint8Array): string => JSON.stringify(Buffer.from(bytes).toString('latin1'))

/** Where blocks end: each piece is one, and where a search goes on in the middle of one, the rest of it. */
function blocksOf(pieces: readonly Uint8Array[]): number[] {
  let end = 0
  return pieces.filter(({ length }) => length > 0).map(({ length }) => (end += length))
}

function inBlocks(conf: TsConfig, text: Uint8Array, ends: readonly number[]): void {
  conf.getNextBlock = consumed => text.subarray(consumed, ends.find(end => end > consumed) ?? consumed)
}

describe(`${CASES} generated cases`, () => {
  const kernel = boot()
  after(() => kernel.shutdown())
  let search: TextSearch
  before(() => {
    search = textsearch(kernel)
  })

  test('kmp finds what a naive search finds, in blocks of any size', async () => {
    const random = new Random(SEED)
    for (let serial = 0; serial < CASES; serial += 1) {
      const alphabet = random.alphabet()
      const pattern = random.bytes(1 + random.below(6), alphabet)
      const text = random.bytes(random.below(40), alphabet)
      const ignoreCase = random.below(2) === 1
      const conf = await search.prepare('kmp', pattern, TS_AUTOLOAD | (ignoreCase ? TS_IGNORECASE : 0))
      const pieces = random.pieces(text)
      inBlocks(conf, text, blocksOf(pieces))
      const state: TsState = { offset: 77 }
      const found: number[] = []
      for (let at = search.find(conf, state); at !== UINT_MAX; at = search.next(conf, state)) found.push(at)
      const what = `seed ${SEED}, case ${serial}: ${shown(pattern)} in ${pieces.map(shown)}, ${ignoreCase}`
      assert.deepEqual(found, naiveAll(folded(text, ignoreCase), folded(pattern, ignoreCase)), what)
      assert.deepEqual(search.getPattern(conf), folded(pattern, ignoreCase), what)
    }
  })

  test('bm finds the first match that lies in one block, again and again', async () => {
    const random = new Random(SEED + 1)
    for (let serial = 0; serial < CASES; serial += 1) {
      const alphabet = random.alphabet()
      const pattern = random.bytes(1 + random.below(8), alphabet)
      const text = random.bytes(random.below(60), alphabet)
      const ignoreCase = random.below(2) === 1
      const conf = await search.prepare('bm', pattern, TS_AUTOLOAD | (ignoreCase ? TS_IGNORECASE : 0))
      const pieces = random.pieces(text)
      const ends = blocksOf(pieces)
      inBlocks(conf, text, ends)
      const from = random.below(text.length + 1)
      const expected = (offset: number): number => {
        let start = offset
        for (const end of ends) {
          if (end <= start) continue
          const at = naive(folded(text, ignoreCase), folded(pattern, ignoreCase), start, end)
          if (at >= 0) return at
          start = end
        }
        return UINT_MAX
      }
      const what = `seed ${SEED}, case ${serial}: ${shown(pattern)} in ${pieces.map(shown)}, ${ignoreCase}`
      const state: TsState = { offset: 77 }
      assert.equal(search.find(conf, state), expected(0), what)
      assert.equal(search.next(conf, state), expected(0), what)
      state.offset = from
      assert.equal(search.next(conf, state), expected(from), `${what} from ${from}`)
      assert.equal(state.offset, from)
    }
  })

  test('fsm finds what its rules say of the whole text, in blocks of any size', async () => {
    const random = new Random(SEED + 2)
    let matched = 0
    for (let serial = 0; serial < CASES; serial += 1) {
      const alphabet = random.alphabet()
      const tokens = random.tokens(alphabet)
      const text = random.bytes(random.below(12), alphabet)
      const conf = await search.prepare('fsm', tokens, TS_AUTOLOAD)
      const pieces = random.pieces(text)
      inBlocks(conf, text, blocksOf(pieces))
      const what = `seed ${SEED}, case ${serial}: ${JSON.stringify(tokens)} in ${pieces.map(shown)}`
      const state: TsState = { offset: 0 }
      for (let offset = 0, turn = 0; turn < 3; turn += 1) {
        const expected = interpret(tokens, text, offset)
        assert.equal(search.next(conf, state), expected?.[0] ?? UINT_MAX, what)
        assert.equal(state.offset, expected?.[1] ?? offset, what)
        if (expected === undefined) break
        matched += 1
        offset = expected[1]
      }
    }
    assert.ok(matched > CASES / 10, `the cases are worth something: ${matched} matches`)
  })

  test('searchStream finds what a naive search finds, with each algorithm, in chunks of any size', async () => {
    const random = new Random(SEED + 3)
    for (let serial = 0; serial < CASES; serial += 1) {
      const alphabet = random.alphabet()
      const text = random.bytes(random.below(60), alphabet)
      const chunks = random.pieces(text)
      const algorithm = random.pick(['kmp', 'bm', 'fsm'] as const)
      const ignoreCase = algorithm !== 'fsm' && random.below(2) === 1
      let pattern: Uint8Array | FsmToken[]
      let expected: number[]
      if (algorithm === 'fsm') {
        pattern = random.tokens(alphabet)
        expected = interpretAll(pattern, text)
      } else {
        pattern = random.bytes(1 + random.below(random.pick([3, 8, 30])), alphabet)
        expected = naiveAll(folded(text, ignoreCase), folded(pattern, ignoreCase))
      }
      const found: number[] = []
      for await (const offset of searchStream({ algorithm, pattern, ignoreCase }, chunks)) found.push(offset)
      assert.deepEqual(
        found,
        expected,
        `seed ${SEED}, case ${serial}: ${algorithm} ${JSON.stringify(pattern)} in ${chunks.map(shown)}`,
      )
    }
  })
})
