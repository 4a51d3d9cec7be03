/**
 * One connection to the socket of system calls: takes its requests one by one, and answers each before it takes the
 * next. Whoever is there may send what they like and go whenever they like; what is theirs goes with them.
 *
 * While a call is under way the socket is read on, up to one piece that is held, so that its end is heard. An end may be
 * only that the other side has no more to ask, and waits for its answer. What tells the one from the other is a write: so
 * a space is sent then, and from time to time, which means nothing before an answer and fails where nobody is.
 */
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import type { ErrnoName } from '../../libc/errno.js'
import { farewell } from './failure.js'
import { LineReader, LONGEST_REQUEST, ProtocolError, parseRequest, type Request } from './protocol.js'

/** How long a message takes to parse is felt from so many characters on. */
const LARGE = 4096
/** How long whoever is refused has to read why, in milliseconds. */
const FAREWELL = 1000

export interface ConnectionHost {
  /**
   * How long a message may take to come in whole, the first one to come at all, and an answer to be read, in
   * milliseconds.
   */
  readonly message: number
  /** How often it is looked whether the other end of a call that is under way is still there, in milliseconds. */
  readonly beat: number
  /**
   * @param signal aborts when the connection has gone
   * @returns the line to be sent
   */
  answer(request: Request, signal: AbortSignal): Promise<Buffer>
  /** Resolves when it is the turn of one more large message: one in each turn of the event loop. */
  turn(): Promise<void>
}

export class Connection {
  readonly #socket: Socket
  readonly #host: ConnectionHost
  readonly #reader = new LineReader(LONGEST_REQUEST)
  readonly #gone = new AbortController()
  /** What has come while a call was under way; the socket is not read on until it is taken. */
  #held: Buffer | undefined
  #working = false
  /** Nothing more will be asked. */
  #ended = false
  #refused = false
  #patience: NodeJS.Timeout | undefined
  /** Since when it is the other end's turn to do something; undefined: it is this end's. */
  #silentSince: number | undefined = performance.now()

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket
    this.#host = host
    this.#expect()
    socket.on('data', chunk => this.#hear(chunk as Buffer))
    socket.on('end', () => this.#hearEnd())
    // Whoever has gone has gone: 'close' follows.
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#stopExpecting()
      this.#gone.abort()
    })
  }

  /** How long nothing has been asked, or an answer not been read, in milliseconds; 0 while a call is under way. */
  get silence(): number {
    return this.#silentSince === undefined ? 0 : performance.now() - this.#silentSince
  }

  /** How much of its answers has not been read, in bytes; without what the system holds. */
  get unread(): number {
    return this.#socket.writableLength
  }

  /** Says why, and closes. */
  refuse(code: ErrnoName, message: string): void {
    this.#refused = true
    this.#stopExpecting()
    refuse(this.#socket, code, message)
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy()
  }

  #expect(): void {
    this.#patience ??= setTimeout(() => this.#socket.destroy(), this.#host.message).unref()
  }

  /** What was expected has come. */
  #stopExpecting(): void {
    clearTimeout(this.#patience)
    this.#patience = undefined
  }

  /** Closes when the last answer has been read. */
  #leave(): void {
    this.#expect()
    this.#socket.destroySoon()
  }

  #hear(chunk: Buffer): void {
    if (this.#refused) return
    this.#socket.pause()
    this.#held = chunk
    if (!this.#working) void this.#work()
  }

  #hearEnd(): void {
    this.#ended = true
    if (this.#working) this.#beat()
    else this.#leave()
  }

  async #work(): Promise<void> {
    this.#working = true
    this.#silentSince = undefined
    try {
      let first = true
      for (let chunk = this.#take(); chunk !== undefined; chunk = this.#take()) {
        for (const line of this.#reader.push(chunk)) {
          // Whoever asks for much at once does not keep the event loop from others.
          if (line.length > LARGE) await this.#host.turn()
          else if (!first) await setImmediate()
          first = false
          await this.#serve(line)
          if (!this.#socket.writable) return
        }
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.refuse('EPROTO', error.message)
      return
    } finally {
      this.#working = false
      this.#silentSince = performance.now()
    }
    if (this.#ended) this.#leave()
    else if (this.#reader.halfway) this.#expect()
  }

  #take(): Buffer | undefined {
    const chunk = this.#held
    this.#held = undefined
    if (chunk !== undefined) this.#socket.resume()
    return chunk
  }

  async #serve(line: string): Promise<void> {
    this.#stopExpecting()
    const answer = await this.#call(parseRequest(line))
    if (answer === undefined || !this.#socket.writable || this.#socket.write(answer)) return
    this.#silentSince = performance.now()
    this.#expect()
    await drained(this.#socket)
    this.#stopExpecting()
    this.#silentSince = undefined
  }

  /** @returns the answer; undefined if there is nobody any more to be told */
  async #call(request: Request): Promise<Buffer | undefined> {
    const beat = setInterval(() => this.#beat(), this.#host.beat).unref()
    try {
      const { signal } = this.#gone
      return await unlessAborted(this.#host.answer(request, signal), signal)
    } finally {
      clearInterval(beat)
    }
  }

  #beat(): void {
    if (this.#socket.writable && this.#socket.writableLength === 0) this.#socket.write(' ')
  }
}

/** Tells the other end why it is not served, and closes when it has read that, or has had the time to. */
export function refuse(socket: Socket, code: ErrnoName, message: string): void {
  socket.on('error', () => {})
  // With something unread a close would take what was said along.
  socket.resume()
  socket.once('end', () => socket.destroySoon())
  const patience = setTimeout(() => socket.destroy(), FAREWELL).unref()
  socket.once('close', () => clearTimeout(patience))
  socket.end(farewell(code, message))
}

/** @returns what a promise gives, `undefined` as soon as the signal aborts */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => resolve(undefined)
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}

function drained(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
  })
}
