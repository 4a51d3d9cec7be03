/**
 * Text search algorithm fsm: Finite state machine.
 */
import {
  compileFsm,
  type FsmProgram,
  FsmRun,
  NO_MATCH,
} from '../applications/textsearch/algorithms/finite-state-machine.js'
import { PatternError } from '../applications/textsearch/algorithms/fsm-tokens.js'
import { TS_IGNORECASE, UINT_MAX } from '../applications/textsearch/constants.js'
import { FsmStream } from '../applications/textsearch/stream-matchers.js'
import type {
  TextSearchModuleContext,
  TextSearchOps,
  TextSearchSymbols,
} from '../applications/textsearch/types.js'

export const license = 'GPL'
export const description = 'Finite state machine text search'

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

const algorithm = ({ module }: TextSearchModuleContext): TextSearchOps<FsmProgram> => ({
  name: 'fsm',
  owner: module,
  init(pattern, flags) {
    if ((flags & TS_IGNORECASE) !== 0) throw new PatternError('it cannot ignore case')
    return compileFsm(pattern)
  },
  find(conf, state) {
    const run = new FsmRun(conf.priv)
    let consumed = state.offset
    for (;;) {
      const block = conf.nextBlock(consumed, state)
      if (block.length === 0) break
      const end = run.scan(block, consumed, 0)
      if (end >= 0) {
        state.offset = consumed + end
        return run.start
      }
      if (end === NO_MATCH) return UINT_MAX
      consumed += block.length
    }
    if (!run.end()) return UINT_MAX
    state.offset = consumed
    return run.start
  },
  getPattern: ({ priv }) => priv.bytes.slice(),
  getPatternLen: ({ priv }) => priv.bytes.length,
  stream: ({ priv }) => new FsmStream(priv),
})
