/**
 * A door to the kernel: a socket that listens, and those who have come in. Each door has room for so many connections
 * and calls of its own, so that who crowds one does not shut the others.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { SystemError } from '../../kernel/errors.js'
import { removeFolder } from '../../kernel/service-folders.js'
import { Connection, type ConnectionHost, refuse } from './connection.js'
import { failureOf } from './failure.js'
import { type Answer, format, LONGEST_ANSWER, type Request } from './protocol.js'
import { isPrivate, listenAt, removeSocketFile, type SocketFile } from './socket-file.js'

export interface DoorLimits extends Pick<ConnectionHost, 'message' | 'beat'> {
  readonly connections: number
  /** Calls under way, those included whose connection has gone and which cannot be broken off. */
  readonly calls: number
  /** How long a connection may be silent, or leave an answer unread, while others want its place, in milliseconds. */
  readonly silence: number
  /** How much of answers may be unread, of all connections together, before a call is begun, in bytes. */
  readonly unread: number
}

/** Who is behind a door. */
export interface DoorHost {
  readonly limits: DoorLimits
  /** Whether whoever is at the other end may come in at all; undefined where the system does not tell who it is. */
  knows(socket: Socket): boolean | undefined
  /**
   * Resolves with what makes calls, and begins them at once: it gives the result or a promise of it, throws or rejects
   * with what went wrong.
   */
  caller(): Promise<(request: Request, signal: AbortSignal) => unknown>
}

/** Whoever is refused is told so; beyond as many as are served nobody is. */
const REFUSED_TOO = 2
/** For how long calls are begun in one turn of the event loop, in milliseconds. */
const TURN = 10

const open = new Set<Door>()
process.on('exit', () => {
  for (const door of open) door.close()
})

export class Door {
  readonly #server: Server
  readonly #host: DoorHost
  readonly #connections = new Set<Connection>()
  readonly #onConnection: ConnectionHost
  #calls = 0
  #largeTurn: Promise<void> = Promise.resolve()
  #lastCallTurn: Promise<void> = Promise.resolve()
  /** When the turn of the event loop began in which calls are begun. */
  #turnBegan = Number.NEGATIVE_INFINITY
  readonly #file: SocketFile
  /** Is removed with it. */
  readonly #folder: string | undefined

  private constructor(host: DoorHost, server: Server, file: SocketFile, folder: string | undefined) {
    this.#host = host
    this.#server = server
    this.#file = file
    this.#folder = folder
    const { message, beat } = host.limits
    this.#onConnection = {
      message,
      beat,
      answer: (request, signal) => this.#answer(request, signal),
      turn: () => this.#turn(),
    }
    server.on('connection', socket => this.#accept(socket))
    server.unref()
    open.add(this)
  }

  /**
   * @param path where it is
   * @param folder one that goes with it
   * @throws as `listenAt`
   */
  static async open(host: DoorHost, path: string, folder?: string): Promise<Door> {
    const server = createServer({ allowHalfOpen: true })
    server.maxConnections = REFUSED_TOO * host.limits.connections
    return new Door(host, server, await listenAt(server, path), folder)
  }

  get path(): string {
    return this.#file.path
  }

  /** Lets nobody in any more, and ends the connections of those who are. */
  close(): void {
    if (!open.delete(this)) return
    removeSocketFile(this.#file)
    if (this.#folder !== undefined) removeFolder(this.#folder, [])
    this.#server.close()
    for (const connection of this.#connections) connection.destroy()
  }

  #accept(socket: Socket): void {
    socket.unref()
    const known = this.#host.knows(socket)
    if (known === false) {
      refuse(socket, 'EPERM', 'the other end is neither this service’s user nor root')
    } else if (known === undefined && !isPrivate(this.#file)) {
      refuse(
        socket,
        'EPERM',
        'who is at the other end cannot be told here, and the mode of the socket lets others in; chmod 600',
      )
    } else if (this.#connections.size >= this.#host.limits.connections && !this.#makeRoom()) {
      const { connections } = this.#host.limits
      refuse(socket, 'EAGAIN', `too many connections: ${connections} are open; try again when one has gone`)
    } else {
      const connection = new Connection(socket, this.#onConnection)
      this.#connections.add(connection)
      socket.once('close', () => this.#connections.delete(connection))
    }
  }

  /** The connection that has been silent for longest gives way, if that is long enough. */
  #makeRoom(): boolean {
    const { silence } = this.#host.limits
    let silent: Connection | undefined
    for (const connection of this.#connections) {
      if (connection.silence > (silent?.silence ?? silence)) silent = connection
    }
    if (silent === undefined) return false
    this.#connections.delete(silent)
    silent.refuse('EAGAIN', 'too many connections: this one was silent while others waited; connect again')
    return true
  }

  async #answer(request: Request, signal: AbortSignal): Promise<Buffer> {
    const { id, call } = request
    try {
      return answerTo(call, { id, result: (await this.#call(request, signal)) ?? null })
    } catch (error) {
      return Buffer.from(format({ id, error: failureOf(error) }))
    }
  }

  async #call(request: Request, signal: AbortSignal): Promise<unknown> {
    const makeCall = await this.#host.caller()
    await this.#callTurn()
    signal.throwIfAborted()
    if (this.#calls >= this.#host.limits.calls) {
      throw new SystemError('EAGAIN', `too many calls: ${this.#calls} are under way; try again later`)
    }
    this.#makeRoomForAnswers()
    this.#calls += 1
    try {
      return await makeCall(request, signal)
    } finally {
      this.#calls -= 1
    }
  }

  /** Those whose answers have not been read for longest are closed, until there is room for one more answer. */
  #makeRoomForAnswers(): void {
    const lagging = [...this.#connections].filter(({ unread }) => unread > 0)
    let unread = lagging.reduce((sum, connection) => sum + connection.unread, 0)
    if (unread <= this.#host.limits.unread) return
    for (const connection of lagging.sort((a, b) => b.silence - a.silence)) {
      if (unread <= this.#host.limits.unread) return
      unread -= connection.unread
      connection.destroy()
    }
  }

  #turn(): Promise<void> {
    this.#largeTurn = this.#largeTurn.then(() => setImmediate())
    return this.#largeTurn
  }

  /** Resolves when a call may begin: many that take long, of as many connections, do not add up to one long stop. */
  #callTurn(): Promise<void> {
    this.#lastCallTurn = this.#lastCallTurn.then(async () => {
      if (performance.now() - this.#turnBegan < TURN) return
      await setImmediate()
      this.#turnBegan = performance.now()
    })
    return this.#lastCallTurn
  }
}

/** @throws SystemError EMSGSIZE if it is longer than what the other end takes */
function answerTo(call: string, answer: Answer): Buffer {
  // Of a string that is not read at once Node would hold three times as much.
  const bytes = Buffer.from(format(answer))
  if (bytes.byteLength <= LONGEST_ANSWER) return bytes
  throw new SystemError(
    'EMSGSIZE',
    `what ${call} gives has ${bytes.byteLength} bytes, and an answer at most ${LONGEST_ANSWER}; the service itself can read all of it (kernel.proc)`,
    { syscall: call },
  )
}
