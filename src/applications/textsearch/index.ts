/**
 * Text search: patterns in text that comes in blocks, by algorithms that are modules.
 */
import { perKernel } from '../per-kernel.js'
import { builtInModules } from './autoload.js'
import { textsearchSymbols } from './symbols.js'
import { TextSearch } from './text-search.js'

export { type FsmToken, TsFsmRecur, TsFsmType } from './algorithms/fsm-tokens.js'
export type { TsConfig } from './config.js'
export { TS_AUTOLOAD, TS_IGNORECASE, UINT_MAX } from './constants.js'
export type { Pattern } from './pattern.js'
export { type ByteStream, type StreamSearch, searchStream } from './search-stream.js'
export { textsearchSymbols } from './symbols.js'
export { TextSearch, type TextSearchOptions } from './text-search.js'
export {
  type Finish,
  type GetNextBlock,
  type ModuleOwner,
  NEED_CHUNK,
  OVER,
  type StreamMatcher,
  type TextSearchModuleContext,
  type TextSearchOps,
  type TextSearchSymbols,
  type TsState,
} from './types.js'

/** The text search of a kernel. */
export const textsearch = perKernel(() => {
  const search: TextSearch = new TextSearch(builtInModules(() => ({ symbols: textsearchSymbols(search) })))
  return search
})
