/**
 * Text search: patterns in text that comes in blocks, by algorithms that are modules.
 */
import { kmod } from '../kmod/index.js'
import { perKernel } from '../per-kernel.js'
import { textsearchSymbols } from './symbols.js'
import { TextSearch } from './text-search.js'

export { type FsmToken, TsFsmRecur, TsFsmType } from './algorithms/fsm-tokens.js'
export type { TsConfig } from './config.js'
export { TS_AUTOLOAD, TS_IGNORECASE, UINT_MAX } from './constants.js'
export { type Pattern, patternBytes } from './pattern.js'
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

/** The text search of a kernel; its modules find what they need of it among the kernel's symbols. */
export const textsearch = perKernel(kernel => {
  const modules = kmod(kernel)
  const search = new TextSearch(modules)
  modules.exportSymbols({ ...textsearchSymbols(search) })
  return search
})
