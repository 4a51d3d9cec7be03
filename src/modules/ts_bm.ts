/**
 * Text search algorithm bm: Boyer-Moore.
 */
import {
  type BoyerMoorePattern,
  BoyerMooreRun,
  compileBoyerMoore,
} from '../applications/textsearch/algorithms/boyer-moore.js'
import { TS_IGNORECASE, UINT_MAX } from '../applications/textsearch/constants.js'
import { BoyerMooreStream } from '../applications/textsearch/stream-matchers.js'
import type {
  TextSearchModuleContext,
  TextSearchOps,
  TextSearchSymbols,
} from '../applications/textsearch/types.js'

export const license = 'GPL'
export const description = 'Boyer-Moore text search'

let symbols: TextSearchSymbols | undefined
let ops: TextSearchOps | undefined

/** @returns 0, or -errno if the algorithm could not be registered */
export function init(context: TextSearchModuleContext): number {
  symbols = context.symbols
  ops = algorithm(context)
  return symbols.textsearch_register(ops)
}

export function exit(): void {
  if (ops !== undefined) symbols?.textsearch_unregister(ops)
  ops = undefined
  symbols = undefined
}

const algorithm = ({ module }: TextSearchModuleContext): TextSearchOps<BoyerMoorePattern> => ({
  name: 'bm',
  owner: module,
  init: (pattern, flags) => compileBoyerMoore(pattern, (flags & TS_IGNORECASE) !== 0),
  // As in Linux it begins anew in each block, so that it misses what lies across two, and leaves state.offset alone.
  find(conf, state) {
    let consumed = state.offset
    for (;;) {
      const block = conf.nextBlock(consumed, state)
      if (block.length === 0) return UINT_MAX
      const start = new BoyerMooreRun(conf.priv).find(block)
      if (start >= 0) return consumed + start
      consumed += block.length
    }
  },
  getPattern: ({ priv }) => priv.bytes.slice(),
  getPatternLen: ({ priv }) => priv.bytes.length,
  stream: ({ priv }) => new BoyerMooreStream(priv),
})
