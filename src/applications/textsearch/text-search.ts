/**
 * The algorithms of a kernel, and searches with them, as in Linux 6.17, lib/textsearch.c.
 */

import { outOfRange, SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import { type ErrnoName, errnoName } from '../../libc/errno.js'
import { TsConfig } from './config.js'
import { TS_AUTOLOAD } from './constants.js'
import { type Pattern, patternBytes } from './pattern.js'
import type { GetNextBlock, TextSearchOps, TsState } from './types.js'

export interface TextSearchOptions {
  /** Asked for `ts_<algorithm>` by TS_AUTOLOAD. What becomes of it does not matter: the algorithm is looked up again. */
  requestModule(name: string): Promise<unknown>
}

const NO_BYTES = new Uint8Array(0)

const REQUIRED = ['find', 'init', 'getPattern', 'getPatternLen'] as const

export class TextSearch {
  readonly #requestModule: (name: string) => Promise<unknown>
  readonly #algorithms = new Map<string, TextSearchOps>()

  constructor(options: TextSearchOptions) {
    this.#requestModule = name => options.requestModule(name)
  }

  /**
   * Makes an algorithm known (textsearch_register).
   * @throws SystemError EINVAL: it has no name, find, init, getPattern or getPatternLen; EEXIST: the name is taken
   */
  register(ops: TextSearchOps): void {
    checkObject('ops', ops)
    const lacking = REQUIRED.find(method => typeof ops[method] !== 'function')
    if (typeof ops.name !== 'string' || ops.name === '' || lacking !== undefined) {
      throw new SystemError('EINVAL', `a text search algorithm must have ${lacking ?? 'name'}`, {
        syscall: 'textsearch_register',
      })
    }
    if (this.#algorithms.has(ops.name)) {
      throw new SystemError(
        'EEXIST',
        `there is a text search algorithm ${ops.name} already; unregister it, or take another name`,
        { syscall: 'textsearch_register' },
      )
    }
    this.#algorithms.set(ops.name, ops)
  }

  /**
   * Makes an algorithm unknown (textsearch_unregister); configs that it has prepared stay usable.
   * @param ops the object that was registered, not one that is like it
   * @throws SystemError ENOENT: it is not registered
   */
  unregister(ops: TextSearchOps): void {
    checkObject('ops', ops)
    for (const [name, registered] of this.#algorithms) {
      if (registered === ops) {
        this.#algorithms.delete(name)
        return
      }
    }
    throw new SystemError('ENOENT', `this text search algorithm is not registered: ${ops.name}`, {
      syscall: 'textsearch_unregister',
    })
  }

  /**
   * Makes a pattern ready (textsearch_prepare). The config takes a reference to the algorithm's module, until `destroy`.
   * @param algo an algorithm's name: 'kmp', 'bm', 'fsm', or one that was registered
   * @param pattern copied
   * @param flags TS_AUTOLOAD, TS_IGNORECASE
   * @throws SystemError EINVAL: the pattern is empty, or none that the algorithm takes; ENOENT: there is no such
   *   algorithm; what else the algorithm's init gives
   */
  async prepare(algo: string, pattern: Pattern, flags = 0): Promise<TsConfig> {
    const bytes = patternBytes(pattern)
    if (bytes.length === 0) {
      throw new SystemError('EINVAL', 'an empty pattern cannot be searched for', {
        syscall: 'textsearch_prepare',
      })
    }
    if (typeof algo !== 'string') throw wrongType('algo', 'a string', algo)
    if (!Number.isInteger(flags)) throw wrongType('flags', 'TS_AUTOLOAD, TS_IGNORECASE, both or 0', flags)

    const ops = this.#get(algo) ?? (await this.#load(algo, flags))
    try {
      return new TsConfig(ops, flags, initialise(ops, bytes, flags))
    } catch (error) {
      ops.owner?.put()
      throw error
    }
  }

  /** Frees a config (textsearch_destroy). It cannot be used any more. */
  destroy(conf: TsConfig): void {
    checkConfig(conf)
    conf[Symbol.dispose]()
  }

  /**
   * Searches from the text's start (textsearch_find).
   * @param state is left where `next` goes on
   * @returns the offset of the first match, UINT_MAX if there is none
   */
  find(conf: TsConfig, state: TsState): number {
    checkConfig(conf)
    checkObject('state', state)
    state.offset = 0
    return this.next(conf, state)
  }

  /**
   * Searches from `state.offset` (textsearch_next), and calls `conf.finish`, if set, in any case. bm does not advance
   * `state.offset`, so that it finds the same match again, as in Linux.
   * @returns the offset of the next match, UINT_MAX if there is none
   */
  next(conf: TsConfig, state: TsState): number {
    checkConfig(conf)
    checkObject('state', state)
    if (!Number.isSafeInteger(state.offset) || state.offset < 0) {
      throw outOfRange('state.offset', 'a whole number, 0 or more', state.offset)
    }
    try {
      return conf.ops.find(conf, state)
    } finally {
      conf.finish?.(conf, state)
    }
  }

  /**
   * Searches a text that is all there (textsearch_find_continuous). It sets the config's `getNextBlock`, as in Linux: with
   * a config that is shared, searches in blocks have to set theirs again.
   * @param state its `cb` keeps the text, for `next`
   */
  findContinuous(conf: TsConfig, state: TsState, data: Uint8Array): number {
    checkConfig(conf)
    checkObject('state', state)
    if (!(data instanceof Uint8Array)) throw wrongType('data', 'a Buffer or Uint8Array', data)
    conf.getNextBlock = linearBlock
    state.cb = data
    return this.find(conf, state)
  }

  /** The pattern as the algorithm has it: in capitals with TS_IGNORECASE (textsearch_get_pattern). */
  getPattern(conf: TsConfig): Uint8Array {
    checkConfig(conf)
    return conf.ops.getPattern(conf)
  }

  /** In bytes (textsearch_get_pattern_len). */
  getPatternLen(conf: TsConfig): number {
    checkConfig(conf)
    return conf.ops.getPatternLen(conf)
  }

  /** The algorithm with a reference to its module; undefined, too, if its module is about to go. */
  #get(algo: string): TextSearchOps | undefined {
    const ops = this.#algorithms.get(algo)
    return ops?.owner === undefined || ops.owner.tryGet() ? ops : undefined
  }

  async #load(algo: string, flags: number): Promise<TextSearchOps> {
    let cause: unknown
    if ((flags & TS_AUTOLOAD) !== 0) {
      try {
        await this.#requestModule(`ts_${algo}`)
      } catch (error) {
        cause = error
      }
      const ops = this.#get(algo)
      if (ops !== undefined) return ops
    }
    throw new SystemError(
      'ENOENT',
      (flags & TS_AUTOLOAD) === 0
        ? `there is no text search algorithm ${algo}; TS_AUTOLOAD loads module ts_${algo}`
        : `there is no text search algorithm ${algo}, and module ts_${algo} has brought none`,
      { syscall: 'textsearch_prepare', cause },
    )
  }
}

const linearBlock: GetNextBlock = (consumed, _conf, state) => {
  const { cb } = state
  return cb instanceof Uint8Array && consumed < cb.length ? cb.subarray(consumed) : NO_BYTES
}

function initialise(ops: TextSearchOps, pattern: Uint8Array, flags: number): unknown {
  const syscall = 'textsearch_prepare'
  let made: unknown
  try {
    made = ops.init(pattern, flags)
  } catch (error) {
    // By its name, as a module may have come with a copy of its own of the room's code.
    if (!(error instanceof Error) || error.name !== 'PatternError') throw error
    throw new SystemError('EINVAL', `${ops.name}: ${error.message}`, { syscall })
  }
  if (typeof made === 'number' && made < 0) {
    const code = errnoName(made) as ErrnoName
    throw new SystemError(code, `${ops.name} does not take this pattern with these flags`, { syscall })
  }
  return made
}

function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw wrongType(name, 'an object', value)
}

function checkConfig(conf: TsConfig): void {
  if (!(conf instanceof TsConfig)) throw wrongType('conf', 'a config that prepare() has given', conf)
  if (conf.destroyed) throw wrongValue('conf', 'has been destroyed; prepare() gives a new one')
}
