/**
 * What an algorithm and a user of the text search have to do with each other.
 */
import type { TsConfig } from './config.js'

/** Where a search stands. Each search has its own; a config may be shared. */
export interface TsState {
  /** Where `next` goes on, in bytes from the start of the text. */
  offset: number
  /** The searcher's own, for `getNextBlock` and `finish`. */
  cb?: unknown
}

/**
 * Gives the text from byte `consumed` on, as many bytes as are at hand; an empty array: the text ends there.
 * @param consumed any offset, not only the end of a block that was given: after a match a search goes on in mid-block
 */
export type GetNextBlock = (consumed: number, conf: TsConfig, state: TsState) => Uint8Array

/** Called after every `find` and `next`, to let go of what `getNextBlock` took. */
export type Finish = (conf: TsConfig, state: TsState) => void

/** What an algorithm comes from, a module; it cannot go as long as it has been got more often than put. */
export interface ModuleOwner {
  /** Takes a reference; false if the module is about to go. */
  tryGet(): boolean
  put(): void
}

/** An algorithm (struct ts_ops). */
export interface TextSearchOps<Private = unknown> {
  readonly name: string
  /**
   * Prepares a pattern.
   * @param pattern never empty, and the algorithm's to keep
   * @returns what the algorithm wants to find in `conf.priv`, or `-errno`; may throw as well
   */
  init(pattern: Uint8Array, flags: number): Private | number
  /** The offset of the first match from `state.offset` on, or UINT_MAX; sets `state.offset` to where to go on. */
  find(conf: TsConfig<Private>, state: TsState): number
  destroy?(conf: TsConfig<Private>): void
  getPattern(conf: TsConfig<Private>): Uint8Array
  /** In bytes. */
  getPatternLen(conf: TsConfig<Private>): number
  /** Makes what `searchStream` needs; without it the algorithm cannot be used for streams. Not in Linux. */
  stream?(conf: TsConfig<Private>): StreamMatcher
  readonly owner?: ModuleOwner | undefined
}

/** A `StreamMatcher` has no further match in what it was given. */
export const NEED_CHUNK = -1
/** A `StreamMatcher` will not match any more, whatever follows. */
export const OVER = -2

/** Finds the matches in a text that is given to it in pieces. */
export interface StreamMatcher {
  /** Gives it more text, once `next` has said NEED_CHUNK, and before it is called the first time. */
  push(chunk: Uint8Array): void
  /** The next match's offset in the whole text, NEED_CHUNK, or OVER. After NEED_CHUNK the chunk is not held any more. */
  next(): number
  /** The text has ended after the last chunk: the offset of a match that this makes, or OVER. */
  end(): number
}

/** The symbols that modules with algorithms call. Both give 0 or `-errno`, as in Linux. */
export interface TextSearchSymbols {
  textsearch_register(ops: TextSearchOps): number
  textsearch_unregister(ops: TextSearchOps): number
}

/** What a module with an algorithm is given in its init. */
export interface TextSearchModuleContext {
  readonly symbols: TextSearchSymbols
  /** The module itself. */
  readonly module?: ModuleOwner | undefined
}
