/**
 * What goes over the socket of system calls: JSON, one message a line.
 *
 *   request  { "id": 1, "call": "init_module", "args": ["/srv/m.js", ""], "authority": "…" }
 *   answer   { "id": 1, "result": … }  or  { "id": 1, "error": { "code": "EEXIST", "message": "…", "retval": -17 } }
 *
 * An argument is a string, a number, a boolean, null, or bytes, which are { "$bytes": "<base64>" }; bytes stand nowhere
 * else but there and as a result. While a call is under way there may be spaces before its answer.
 * Either side takes what comes from the other for hostile until it is parsed.
 */
import { knownName } from '../../libc/errno.js'

/** The longest request in bytes: a key's largest payload (32 767) in base64, and room for the rest. */
export const LONGEST_REQUEST = 64 * 1024
/** The longest answer in bytes: what /proc has to tell may be long. */
export const LONGEST_ANSWER = 2 * 1024 * 1024
const LONGEST_NAME = 64
const MOST_ARGUMENTS = 16
const LINE_FEED = 0x0a
const SPACE = 0x20

export interface Request {
  readonly id: number
  readonly call: string
  readonly args: readonly unknown[]
  /** What a helper was given to act for the kernel. */
  readonly authority: string | undefined
}

export interface CallFailure {
  readonly code: string
  readonly message: string
  readonly retval: number
}

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: CallFailure }

/** A message that is none. */
export class ProtocolError extends Error {}

/** Cuts a stream into lines, without the spaces before them, and never holds more than the longest one. */
export class LineReader {
  readonly #longest: number
  #pieces: Buffer[] = []
  #length = 0

  /** @param longest bytes */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** Whether a message has begun and not ended. */
  get halfway(): boolean {
    return this.#length > 0
  }

  /** @throws ProtocolError for a message that is too long */
  *push(chunk: Buffer): Generator<string> {
    let rest = chunk
    for (;;) {
      if (this.#length === 0) rest = withoutLeadingSpaces(rest)
      const end = rest.indexOf(LINE_FEED)
      const piece = end < 0 ? rest : rest.subarray(0, end)
      if (this.#length + piece.byteLength > this.#longest) {
        throw new ProtocolError(`a message has at most ${this.#longest} bytes`)
      }
      if (piece.byteLength > 0) this.#pieces.push(piece)
      this.#length += piece.byteLength
      if (end < 0) return
      const line = Buffer.concat(this.#pieces).toString('utf8')
      this.#pieces = []
      this.#length = 0
      rest = rest.subarray(end + 1)
      yield line
    }
  }
}

function withoutLeadingSpaces(bytes: Buffer): Buffer {
  let start = 0
  while (bytes[start] === SPACE) start += 1
  return bytes.subarray(start)
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/** @throws ProtocolError for what is no request */
export function parseRequest(line: string): Request {
  const message = parse(line)
  if (!isObject(message)) throw new ProtocolError('a request is an object')
  const { id, call, args = [], authority } = message
  if (!isId(id)) throw new ProtocolError('a request has a number as its id')
  if (typeof call !== 'string' || call.length > LONGEST_NAME) {
    throw new ProtocolError('a request names its call')
  }
  if (!Array.isArray(args) || args.length > MOST_ARGUMENTS) {
    throw new ProtocolError(`args is an array of at most ${MOST_ARGUMENTS}`)
  }
  if (authority !== undefined && (typeof authority !== 'string' || authority.length > LONGEST_NAME)) {
    throw new ProtocolError('authority is a string')
  }
  return { id, call, args: args.map(parseArgument), authority }
}

function parseArgument(argument: unknown): unknown {
  const value = withBytes(argument)
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  throw new ProtocolError('an argument is a string, a number, a boolean, null or bytes')
}

/** @throws ProtocolError for what is no answer */
export function parseAnswer(line: string): Answer {
  const message = parse(line)
  if (!isObject(message) || !isId(message['id'])) throw new ProtocolError('not an answer')
  const { id, error } = message
  if (error === undefined) return { id, result: withBytes(message['result']) }
  if (!isObject(error) || typeof error['message'] !== 'string' || typeof error['retval'] !== 'number') {
    throw new ProtocolError('not an answer')
  }
  const code = knownName(String(error['code'])) ?? 'EPROTO'
  return { id, error: { code, message: error['message'], retval: error['retval'] } }
}

/** Without a reviver: one for each of a hostile message's elements costs more than all the rest. */
function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    throw new ProtocolError('not JSON')
  }
}

function withBytes(value: unknown): unknown {
  if (!isObject(value) || typeof value['$bytes'] !== 'string') return value
  return Object.keys(value).length === 1 ? Buffer.from(value['$bytes'], 'base64') : value
}

export const format = (message: Request | Answer): string => `${JSON.stringify(message, bytesAsText)}\n`

/** A Buffer comes here as what its toJSON has made of it. */
function bytesAsText(this: unknown, key: string, value: unknown): unknown {
  const original = isObject(this) || Array.isArray(this) ? (this as Record<string, unknown>)[key] : undefined
  if (original instanceof Uint8Array) return { $bytes: Buffer.from(original).toString('base64') }
  return typeof value === 'bigint' ? String(value) : value
}
