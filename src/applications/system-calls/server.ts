/**
 * The socket on which helper programs and operators make system calls of a kernel.
 *
 * The socket has mode 0600 from the moment it can be seen, and where the system tells who is at the other end, that is
 * the service's own user or root. Whoever is there can stop nothing: messages and connections are bounded, each
 * connection has one call at a time, and one that sends what is no request is told so and closed.
 */
import { chmodSync, mkdtempSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { isSystemError, SystemError, wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { knownName } from '../../libc/errno.js'
import { Authorities } from './authority.js'
import {
  type CallFailure,
  format,
  LineReader,
  ProtocolError,
  parseRequest,
  type Request,
} from './protocol.js'

/** Who waits beyond that is not let in until another has gone. */
const MOST_CONNECTIONS = 256
/** How long a message may take to come in whole, in milliseconds. */
const MESSAGE_TIMEOUT = 30_000
/** sockaddr_un has 108 bytes, with a NUL. */
const LONGEST_SOCKET_PATH = 107
/** What `listen` puts behind the path while the socket is being made. */
const MAKING = '-XXXXXX/s'
const SOCKET_MODE = 0o600
const ROOT = 0

export interface Grant {
  /** For the helper's environment: where the socket is, and the authority. */
  readonly envp: readonly string[]
  revoke(): void
}

export interface ServerLimits {
  readonly connections?: number
  /** Milliseconds. */
  readonly message?: number
}

export class SystemCallServer {
  readonly #kernel: Kernel
  readonly #authorities = new Authorities()
  readonly #connections = new Set<Socket>()
  readonly #limits: Required<ServerLimits>
  #listening: Promise<string> | undefined
  #close: (() => void) | undefined
  #closed = false

  constructor(kernel: Kernel, limits: ServerLimits = {}) {
    this.#kernel = kernel
    this.#limits = { connections: MOST_CONNECTIONS, message: MESSAGE_TIMEOUT, ...limits }
    kernel.onShutdown(() => this.close())
  }

  /**
   * Opens the socket at a path. What is left there of a service that has died is replaced.
   * @returns the path, once calls can be made
   * @throws SystemError ENAMETOOLONG, EADDRINUSE if another service has it or it is no socket, and what making it met
   */
  listen(path: string): Promise<string> {
    if (this.#listening !== undefined) {
      return Promise.reject(
        new SystemError('EALREADY', 'the socket of system calls is open already', { path }),
      )
    }
    this.#listening = this.#open(path)
    return this.#listening
  }

  /** Gives a helper the means to make calls; opens a socket in a private folder if there is none. */
  async grant(calls: Iterable<string>, context?: unknown): Promise<Grant> {
    this.#listening ??= this.#openPrivately()
    const path = await this.#listening
    const { token, revoke } = this.#authorities.grant(calls, context)
    return { envp: [`KHELPER_SOCKET=${path}`, `KHELPER_AUTHORITY=${token}`], revoke }
  }

  /** How many authorities are out. */
  get granted(): number {
    return this.#authorities.size
  }

  close(): void {
    this.#closed = true
    this.#close?.()
    this.#close = undefined
    for (const socket of this.#connections) socket.destroy()
  }

  async #openPrivately(): Promise<string> {
    const long = join(tmpdir(), `khelper-${MAKING}${MAKING}`).length > LONGEST_SOCKET_PATH
    const folder = mkdtempSync(join(long ? '/tmp' : tmpdir(), 'khelper-'))
    try {
      return await this.#open(join(folder, 'socket'), folder)
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  async #open(given: string, folder?: string): Promise<string> {
    if (typeof given !== 'string' || given === '' || given.includes('\0')) {
      throw wrongType('options.socket', 'the path of a socket', given)
    }
    const path = resolve(given)
    const details = { syscall: 'listen', path }
    if (Buffer.byteLength(path + MAKING) > LONGEST_SOCKET_PATH) {
      const most = LONGEST_SOCKET_PATH - MAKING.length
      throw new SystemError(
        'ENAMETOOLONG',
        `the path of a socket has at most ${most} bytes: ${path}`,
        details,
      )
    }
    await removeLeft(path)
    const server = createServer({ pauseOnConnect: false }, socket => this.#accept(socket))
    server.maxConnections = this.#limits.connections
    // Made where nobody else can look, and moved to its place with the mode it is to have.
    const making = this.#makingFolder(path)
    const made = join(making, 's')
    try {
      await listening(server, made)
      chmodSync(made, SOCKET_MODE)
      renameSync(made, path)
      rmdirSync(making)
    } catch (error) {
      server.close()
      rmSync(making, { recursive: true, force: true })
      throw systemError(error, `the socket of system calls cannot be opened: ${path}`, path)
    }
    server.unref()
    const remove = () => {
      rmSync(path, { force: true })
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    }
    process.once('exit', remove)
    this.#close = () => {
      process.off('exit', remove)
      server.close()
      remove()
    }
    if (this.#closed) this.close()
    return path
  }

  #makingFolder(path: string): string {
    try {
      return mkdtempSync(`${path}-`)
    } catch (error) {
      throw systemError(error, `the socket of system calls cannot be opened: ${path}`, path)
    }
  }

  #accept(socket: Socket): void {
    socket.unref()
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    // Whoever has gone has gone.
    socket.on('error', () => socket.destroy())
    if (!this.#known(socket)) {
      const message = 'the other end is neither this service’s user nor root'
      socket.end(format({ id: 0, error: { code: 'EPERM', message, retval: -1 } }))
      return
    }
    void this.#serve(socket)
  }

  #known(socket: Socket): boolean {
    const peer = this.#kernel.peerOf(socket)
    return peer === undefined || peer.uid === ROOT || peer.uid === process.geteuid?.()
  }

  async #serve(socket: Socket): Promise<void> {
    const reader = new LineReader()
    let patience: NodeJS.Timeout | undefined
    try {
      // Left open by the end of the loop: what was wrong is still to be told.
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
        for (const line of reader.push(chunk as Buffer)) {
          clearTimeout(patience)
          patience = undefined
          const request = parseRequest(line)
          const answer = await this.#answer(request)
          if (!socket.writable) return
          if (!socket.write(answer)) await drained(socket)
        }
        if (reader.halfway) patience ??= setTimeout(() => socket.destroy(), this.#limits.message).unref()
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) return
      socket.end(
        format({ id: 0, error: { code: 'EPROTO', message: `EPROTO: ${error.message}`, retval: -71 } }),
      )
    } finally {
      clearTimeout(patience)
      socket.destroySoon()
    }
  }

  async #answer({ id, call, args, authority }: Request): Promise<string> {
    try {
      const subject = this.#authorities.subject(authority, call)
      const { systemCallTable } = await import('./table.js')
      const entry = Object.hasOwn(systemCallTable, call) ? systemCallTable[call] : undefined
      if (entry === undefined)
        throw new SystemError('ENOSYS', `there is no system call ${call}`, { syscall: call })
      return format({ id, result: (await entry(this.#kernel, args, subject)) ?? null })
    } catch (error) {
      return format({ id, error: failureOf(error) })
    }
  }
}

/** What went wrong, without what is nobody's business. */
function failureOf(error: unknown): CallFailure {
  if (isSystemError(error)) return { code: error.code, message: error.message, retval: error.retval }
  const { code, message } = error as NodeJS.ErrnoException
  const invalid = typeof code === 'string' && /^ERR_(INVALID|OUT_OF_RANGE)/.test(code)
  return invalid
    ? { code: 'EINVAL', message: `EINVAL: ${message}`, retval: -22 }
    : { code: 'EIO', message: `EIO: ${message}`, retval: -5 }
}

function systemError(error: unknown, what: string, path: string): SystemError {
  if (isSystemError(error)) return error
  const code = knownName((error as NodeJS.ErrnoException).code) ?? 'EIO'
  return new SystemError(code, what, { syscall: 'listen', path, cause: error })
}

/** Takes away the socket of a service that is not there any more. */
async function removeLeft(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined)
  if (there === undefined) return
  if (!there.isSocket() || (await answers(path))) {
    const what = there.isSocket() ? 'another service answers there' : 'there is something else'
    throw new SystemError('EADDRINUSE', `the socket of system calls cannot be opened, ${what}: ${path}`, {
      syscall: 'listen',
      path,
    })
  }
  rmSync(path, { force: true })
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
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
