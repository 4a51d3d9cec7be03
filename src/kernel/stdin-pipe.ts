/**
 * The pipes between this thread's streams and its helpers: made before the exec, so that the stream is there
 * at once. With posix_spawn a pipe(2); else a socket in the kernel's scratch folder, to which the khelper
 * connects and whose other end is the helper's.
 */
import { createServer, Socket } from 'node:net'
import { join } from 'node:path'
import { PassThrough, pipeline, type Readable, type Writable } from 'node:stream'
import { asFd, errno, errnoName, type Fd, type Libc } from '../libc/index.js'
import { unsupported } from './errors.js'
import { closeOwned } from './launch-descriptors.js'
import { type Memory, type SlotIndex, Stdio } from './memory.js'

export interface PipeEnd {
  readonly kind: Stdio
  /** The helper's end. */
  readonly fd: number
  /** The socket to connect to. */
  readonly path?: string
  /** The helper was not started and will not connect: brings the stream to its end. */
  abandon?(): void
}

let serial = 0

export class StdinPipes {
  readonly #libc: Libc | undefined
  readonly #scratch: string | undefined

  constructor(libc: Libc | undefined, scratch: string | undefined) {
    this.#libc = libc
    this.#scratch = scratch
  }

  /** A stream to a helper's standard input, of which the descriptor's stdio entry is told. */
  create(): PipeEnd & { readonly writable: Writable } {
    if (this.#libc === undefined) {
      throw unsupported(
        'a pipe to a call that is set up needs posix_spawn; kernel.run has stdin: "pipe" everywhere',
      )
    }
    const { read, write } = this.#pipe(this.#libc)
    return { kind: Stdio.OWNED_FD, fd: read, writable: stream(write, 'write') }
  }

  /**
   * A stream to a helper.
   * @param much whether much is known to come: a larger pipe then takes it in fewer turns. Not for every pipe, as
   *   what a user's pipes may hold together is limited; where there is no more, this one stays as it is.
   */
  toHelper(much: boolean): PipeEnd & { readonly writable: Writable } {
    if (this.#libc !== undefined) {
      const end = this.create()
      if (much) this.#libc.setPipeSize(asFd(end.fd), LARGE_PIPE_BYTES)
      return end
    }
    const through = new PassThrough()
    return {
      ...this.#listen(socket => pipeline(through, socket.resume(), () => {}), through),
      writable: through,
    }
  }

  /** A stream from a helper. */
  fromHelper(): PipeEnd & { readonly readable: Readable } {
    if (this.#libc !== undefined) {
      const { read, write } = this.#pipe(this.#libc)
      return { kind: Stdio.OWNED_FD, fd: write, readable: stream(read, 'read') }
    }
    const through = new PassThrough()
    return {
      ...this.#listen(socket => pipeline(socket.end(), through, () => {}), through),
      readable: through,
    }
  }

  /** A pipe that holds `input` and nothing more; undefined if it does not fit into one. */
  filled(input: string | Uint8Array): PipeEnd | undefined {
    if (this.#libc === undefined || input.length > PIPE_BYTES) return undefined
    const bytes = typeof input === 'string' ? Buffer.from(input) : input
    if (bytes.byteLength > PIPE_BYTES) return undefined
    const { read, write } = this.#pipe(this.#libc)
    const written = bytes.byteLength === 0 ? 0 : this.#libc.write(asFd(write), bytes)
    this.#libc.close(asFd(write))
    if (written === bytes.byteLength) return { kind: Stdio.OWNED_FD, fd: read }
    this.#libc.close(asFd(read))
    return undefined
  }

  /**
   * A pipe for a caller that blocks: it holds as much of `bytes` as it takes, the rest is to be fed while the helper
   * reads. Only with posix_spawn.
   * @returns `-errno` if it cannot be had
   */
  feeding(bytes: Uint8Array): { readonly end: PipeEnd; readonly feeder: PipeFeeder | undefined } | number {
    const filled = this.filled(bytes)
    if (filled !== undefined) return { end: filled, feeder: undefined }
    if (this.#libc === undefined) return -errno('ENOSYS')
    const pipe = this.#libc.pipe()
    if (typeof pipe === 'number') return pipe
    this.#libc.setPipeSize(pipe.write, LARGE_PIPE_BYTES)
    this.#libc.setNonblocking(pipe.write)
    return {
      end: { kind: Stdio.OWNED_FD, fd: pipe.read },
      feeder: new PipeFeeder(this.#libc, pipe.write, bytes),
    }
  }

  /** Closes the helper's end of a call that has ended, or was not queued, where its khelper has not. */
  release(memory: Memory, slot: SlotIndex): void {
    if (this.#libc !== undefined) closeOwned(memory, this.#libc, slot)
  }

  /** Closes the helper's end of a pipe that no call was given. */
  discard({ kind, fd }: PipeEnd): void {
    if (kind === Stdio.OWNED_FD) this.#libc?.close(asFd(fd))
  }

  #pipe(libc: Libc): { readonly read: number; readonly write: number } {
    const pipe = libc.pipe()
    if (typeof pipe !== 'number') return pipe
    throw Object.assign(new Error(`${errnoName(pipe)}: no pipe to a helper could be made`), {
      code: errnoName(pipe),
      errno: pipe,
      syscall: 'pipe2',
    })
  }

  /** A socket that takes one connection, the helper's. */
  #listen(connected: (socket: Socket) => void, through: PassThrough): PipeEnd {
    serial += 1
    const path = join(this.#scratch ?? '', `${process.pid}.${serial}.socket`)
    const server = createServer({ allowHalfOpen: true }, socket => {
      server.close()
      // What goes wrong while it is used is told by the stream; a helper that left without having read all comes later.
      socket.on('error', () => {})
      // Nobody wants it any more: the helper was given up while it started.
      if (through.destroyed) socket.destroy()
      else connected(socket)
    })
    server.on('error', error => through.destroy(error))
    // Holds the event loop open, as the stream will: when the helper has been started, nothing else may.
    server.listen({ path, exclusive: true })
    const abandon = () => {
      server.close()
      through.end().resume()
    }
    return { kind: Stdio.SOCKET, fd: 0, path, abandon }
  }
}

/** What a pipe takes without a reader. */
const PIPE_BYTES = 65_536
/** What Linux lets anyone have at most (/proc/sys/fs/pipe-max-size). */
const LARGE_PIPE_BYTES = 2 ** 20

function stream(fd: number, direction: 'read' | 'write'): Socket {
  return new Socket({ fd, readable: direction === 'read', writable: direction === 'write' })
}

/** The rest of an input, which its owner writes in between; has the pipe's write end until all is written. */
export class PipeFeeder {
  readonly #libc: Libc
  readonly #bytes: Uint8Array
  #fd: Fd | undefined
  #at = 0

  constructor(libc: Libc, fd: Fd, bytes: Uint8Array) {
    this.#libc = libc
    this.#fd = fd
    this.#bytes = bytes
  }

  /** Writes what the pipe takes. @returns whether there is more to come */
  feed(): boolean {
    while (this.#fd !== undefined) {
      const written = this.#libc.write(this.#fd, this.#bytes.subarray(this.#at))
      if (written === -errno('EAGAIN')) return true
      this.#at += Math.max(0, written)
      // A helper that does not read on has enough.
      if (written < 0 || this.#at >= this.#bytes.byteLength) this.close()
    }
    return false
  }

  close(): void {
    if (this.#fd !== undefined) this.#libc.close(this.#fd)
    this.#fd = undefined
  }
}
