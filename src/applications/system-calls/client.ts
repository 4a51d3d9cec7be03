/**
 * The other end of the socket: makes system calls of a service's kernel.
 */
import { connect, type Socket } from 'node:net'
import { isSystemError, SystemError } from '../../kernel/errors.js'
import { knownName } from '../../libc/errno.js'
import { checkListener, checkWanted, lookAtListener } from './listener.js'
import { type Answer, format, LineReader, LONGEST_ANSWER, ProtocolError, parseAnswer } from './protocol.js'

export interface ClientOptions {
  /** The socket. */
  readonly socket: string
  /** What a helper was given; without it the calls are an operator's. */
  readonly authority?: string | undefined
  /**
   * The user whose service it is, by number; our own unless given. Root's are always taken. What is another's is sent
   * nothing.
   */
  readonly uid?: number | undefined
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

export class SystemCallClient {
  readonly #socket: Socket
  readonly #path: string
  readonly #authority: string | undefined
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  #failure: SystemError | undefined

  private constructor(socket: Socket, { socket: path, authority }: ClientOptions) {
    this.#socket = socket
    this.#path = path
    this.#authority = authority
    void this.#read()
  }

  /**
   * Connects to a service of root or of our own user, or of `uid`; nothing is sent before it is known to be one.
   * @throws SystemError ENOENT, ECONNREFUSED if there is no service; EACCES if it is not for us, or what is there, or on
   *   the way there, is not to be trusted; TypeError, RangeError
   */
  static async connect(options: ClientOptions): Promise<SystemCallClient> {
    checkWanted(options)
    const { socket: path } = options
    try {
      const there = lookAtListener(options)
      const socket = connect(path)
      return await new Promise((resolve, reject) => {
        socket.once('error', reject)
        socket.once('connect', () => {
          try {
            checkListener(socket, options, there)
            resolve(new SystemCallClient(socket, options))
          } catch (error) {
            socket.destroy()
            reject(error)
          }
          socket.off('error', reject)
        })
      })
    } catch (error) {
      throw cannotConnect(error, path)
    }
  }

  /** @throws SystemError what the kernel refuses, or that the connection has ended */
  call(call: string, ...args: readonly unknown[]): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#last += 1
    const id = this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#socket.write(format({ id, call, args, authority: this.#authority }))
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #read(): Promise<void> {
    const reader = new LineReader(LONGEST_ANSWER)
    let cause: unknown
    try {
      for await (const chunk of this.#socket) {
        for (const line of reader.push(chunk as Buffer)) this.#settle(parseAnswer(line))
      }
    } catch (error) {
      cause = error
    }
    this.#failure ??= this.#ended(cause)
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
  }

  #ended(cause: unknown): SystemError {
    const details = { path: this.#path, cause }
    return cause instanceof ProtocolError
      ? new SystemError(
          'EPROTO',
          `what answers at ${this.#path} is not understood: ${cause.message}`,
          details,
        )
      : new SystemError('ECONNRESET', `the service has closed the connection: ${this.#path}`, details)
  }

  #settle(answer: Answer): void {
    const error =
      'error' in answer
        ? new SystemError(knownName(answer.error.code) ?? 'EPROTO', withoutCode(answer.error.message), {
            retval: answer.error.retval,
          })
        : undefined
    // What answers no request is about the connection.
    if (answer.id === 0) this.#failure = error
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (error !== undefined) waiting?.reject(error)
    else waiting?.resolve('result' in answer ? answer.result : undefined)
  }
}

function cannotConnect(error: unknown, path: string): SystemError {
  if (isSystemError(error)) return error
  const code = knownName((error as NodeJS.ErrnoException).code) ?? 'EIO'
  const message = `no service answers at ${path}; it is opened by boot({ socket })`
  return new SystemError(code, message, { syscall: 'connect', path, cause: error })
}

/** The error puts its code before its message itself. */
const withoutCode = (message: string): string => message.replace(/^E[A-Z0-9]+: /, '')
