/**
 * The matches in a stream of any size.
 */
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import { compileBoyerMoore } from './algorithms/boyer-moore.js'
import { compileFsm } from './algorithms/finite-state-machine.js'
import { PatternError } from './algorithms/fsm-tokens.js'
import { compileKmp } from './algorithms/kmp.js'
import { TsConfig } from './config.js'
import { type Pattern, patternBytes } from './pattern.js'
import { BoyerMooreStream, FsmStream, KmpStream } from './stream-matchers.js'
import { NEED_CHUNK, OVER, type StreamMatcher } from './types.js'

export interface StreamSearch {
  readonly pattern: Pattern
  /** Default `'bm'`. */
  readonly algorithm?: 'kmp' | 'bm' | 'fsm' | undefined
  /** Capital and small letters are the same, those of Latin-1 included; not with fsm. Default `false`. */
  readonly ignoreCase?: boolean | undefined
}

/** Anything that gives bytes: a Readable, a ReadableStream, an async generator, an array of Buffers. */
export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

const MATCHERS: Readonly<Record<string, (pattern: Uint8Array, ignoreCase: boolean) => StreamMatcher>> = {
  kmp: (pattern, ignoreCase) => new KmpStream(compileKmp(pattern, ignoreCase)),
  bm: (pattern, ignoreCase) => new BoyerMooreStream(compileBoyerMoore(pattern, ignoreCase)),
  fsm: (pattern, ignoreCase) => {
    if (ignoreCase) throw new PatternError('it cannot ignore case; use the types UPPER, LOWER and ALPHA')
    return new FsmStream(compileFsm(pattern))
  },
}

/**
 * Finds every match in a stream, those across its chunks included, in order and non-overlapping. It reads a chunk when
 * it is asked for a match that the chunks before do not have, and keeps less of them than the pattern's length.
 *
 * fsm gives what `find` and then `next` give for the whole text. Where its rules say that nothing can match any more, the
 * search is over, and the rest of the stream is not read.
 *
 * The stream is read by `for await`: leaving the loop, and the search's end before the stream's, destroy it.
 * @param search a config, or what to search for. The config may be destroyed once this has returned
 * @returns the matches' offsets, in bytes from where the stream is read first
 * @throws SystemError EINVAL: the pattern is empty, or none that the algorithm takes; EOPNOTSUPP: the config's algorithm
 *   cannot search streams. TypeError for wrong arguments. What the stream fails with comes out of the iterator
 */
export function searchStream(
  search: TsConfig | StreamSearch,
  readable: ByteStream,
): AsyncGenerator<number, void> {
  const matcher = search instanceof TsConfig ? matcherOf(search) : matcherFor(search)
  checkReadable(readable)
  return offsets(matcher, readable)
}

async function* offsets(matcher: StreamMatcher, readable: ByteStream): AsyncGenerator<number, void> {
  for await (const chunk of readable) {
    if (!(chunk instanceof Uint8Array)) {
      throw wrongType('readable', 'a stream of Buffers or Uint8Arrays, without an encoding', chunk)
    }
    matcher.push(chunk)
    for (let offset = matcher.next(); offset !== NEED_CHUNK; offset = matcher.next()) {
      if (offset === OVER) return
      yield offset
    }
  }
  const offset = matcher.end()
  if (offset !== OVER) yield offset
}

function matcherOf(conf: TsConfig): StreamMatcher {
  if (conf.destroyed) throw wrongValue('search', 'has been destroyed; prepare() gives a new one')
  const { ops } = conf
  if (ops.stream === undefined) {
    throw new SystemError(
      'EOPNOTSUPP',
      `text search algorithm ${ops.name} has no stream() to search streams with`,
    )
  }
  return ops.stream(conf)
}

function matcherFor(search: StreamSearch): StreamMatcher {
  if (typeof search !== 'object' || search === null) {
    throw wrongType('search', 'a config that prepare() has given, or an object with a pattern', search)
  }
  const { pattern, algorithm = 'bm', ignoreCase = false } = search
  if (typeof ignoreCase !== 'boolean') throw wrongType('search.ignoreCase', 'a boolean', ignoreCase)
  const matcher = Object.hasOwn(MATCHERS, algorithm) ? MATCHERS[algorithm] : undefined
  if (matcher === undefined) {
    throw wrongValue('search.algorithm', `must be one of ${Object.keys(MATCHERS).join(', ')}`)
  }
  const bytes = patternBytes(pattern)
  if (bytes.length === 0) throw new SystemError('EINVAL', 'an empty pattern cannot be searched for')
  try {
    return matcher(bytes, ignoreCase)
  } catch (error) {
    if (error instanceof PatternError) throw new SystemError('EINVAL', `${algorithm}: ${error.message}`)
    throw error
  }
}

function checkReadable(readable: unknown): void {
  const iterable =
    typeof readable === 'object' &&
    readable !== null &&
    (Symbol.asyncIterator in readable || Symbol.iterator in readable)
  if (!iterable || readable instanceof Uint8Array) {
    throw wrongType(
      'readable',
      'a stream or another iterable of chunks; put a single chunk into an array',
      readable,
    )
  }
}
