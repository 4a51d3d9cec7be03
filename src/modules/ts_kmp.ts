/**
 * Text search algorithm kmp: Knuth-Morris-Pratt.
 */
import { compileKmp, type KmpPattern, KmpRun } from '../applications/textsearch/algorithms/kmp.js'
import { TS_IGNORECASE, UINT_MAX } from '../applications/textsearch/constants.js'
import { KmpStream } from '../applications/textsearch/stream-matchers.js'
import type {
  TextSearchModuleContext,
  TextSearchOps,
  TextSearchSymbols,
} from '../applications/textsearch/types.js'

export const license = 'GPL'
export const description = 'Knuth-Morris-Pratt text search'

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

const algorithm = ({ module }: TextSearchModuleContext): TextSearchOps<KmpPattern> => ({
  name: 'kmp',
  owner: module,
  init: (pattern, flags) => compileKmp(pattern, (flags & TS_IGNORECASE) !== 0),
  find(conf, state) {
    const run = new KmpRun(conf.priv)
    let consumed = state.offset
    for (;;) {
      const block = conf.nextBlock(consumed, state)
      if (block.length === 0) return UINT_MAX
      const end = run.scan(block, 0)
      if (end >= 0) {
        state.offset = consumed + end
        return state.offset - conf.priv.bytes.length
      }
      consumed += block.length
    }
  },
  getPattern: ({ priv }) => priv.bytes.slice(),
  getPatternLen: ({ priv }) => priv.bytes.length,
  stream: ({ priv }) => new KmpStream(priv),
})
