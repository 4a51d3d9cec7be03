/**
 * A door to the kernel: a socket that listens, and those who have come in. Each door has room for so many connections
 * and calls of its own, so that who crowds one does not shut the others.
 */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { SystemError } from '../../kernel/errors.js'
import { Connection, type ConnectionHost, refuse } from './connection.js'
import { failureOf } from './failure.js'
import { format, type Request } from './protocol.js'
import { listenAt, removeSocketFile, type SocketFile } from './socket-file.js'

export interface DoorLimits extends Pick<ConnectionHost, 'message' | 'beat'> {
  readonly connections: number
  /** Calls under way, those included whose connection has gone and which cannot be broken off. */
  readonly calls: number
  /** How long a connection may be silent while others want its place, in milliseconds. */
  readonly silence: number
}

/** Who is behind a door. */
export interface DoorHost {
  readonly limits: DoorLimits
  /** Whether whoever is at the other end may come in at all. */
  knows(socket: Socket): boolean
  /** @returns the result of a call; rejects with what went wrong */
  call(request: Request, signal: AbortSignal): Promise<unknown>
}

/** Whoever is refused is told so; beyond as many as are served nobody is. */
const REFUSED_TOO = 2

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
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
    this.#server.close()
    for (const connection of this.#connections) connection.destroy()
  }

  #accept(socket: Socket): void {
    socket.unref()
    if (!this.#host.knows(socket)) {
      refuse(socket, 'EPERM', 'the other end is neither this service’s user nor root')
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

  async #answer(request: Request, signal: AbortSignal): Promise<string> {
    const { id } = request
    if (this.#calls >= this.#host.limits.calls) {
      const error = new SystemError('EAGAIN', `too many calls: ${this.#calls} are under way; try again later`)
      return format({ id, error: failureOf(error) })
    }
    this.#calls += 1
    try {
      return format({ id, result: (await this.#host.call(request, signal)) ?? null })
    } catch (error) {
      return format({ id, error: failureOf(error) })
    } finally {
      this.#calls -= 1
    }
  }

  #turn(): Promise<void> {
    this.#largeTurn = this.#largeTurn.then(() => setImmediate())
    return this.#largeTurn
  }
}
