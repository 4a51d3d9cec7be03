/**
 * The system calls of a kernel: a public door at a path, for operators, and a private one for the helpers that the
 * kernel has given an authority. Neither depends on the other.
 *
 * Whoever comes in can stop nothing: messages, connections and calls are bounded, each connection has one call at a time,
 * and one that sends what is no request is told so and closed.
 */
import { existsSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { SystemError } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { temporaryPlace } from '../../kernel/safe-places.js'
import {
  makeServiceFolder,
  pathLength,
  removeFolder,
  removeLeftFolders,
} from '../../kernel/service-folders.js'
import { isTrustedUser } from '../../kernel/trusted-path.js'
import { Authorities, OPERATOR, type Subject } from './authority.js'
import { Door, type DoorHost, type DoorLimits } from './door.js'
import { peerUid } from './listener.js'
import type { Request } from './protocol.js'
import { LONGEST_SOCKET_PATH } from './socket-file.js'
import type { SystemCallTable } from './table.js'

/** Of each of the two doors. */
export const DEFAULT_LIMITS: DoorLimits = {
  connections: 256,
  calls: 256,
  silence: 5_000,
  message: 30_000,
  unread: 64 * 1024 * 1024,
  beat: 1_000,
}
const FOLDER_KIND = 'socket'
/** Behind the private folder, and what making the socket adds. */
const LONGEST_IN_FOLDER = '/socket-XXXXXX/s'

export interface Grant {
  /** For the helper's environment: where the socket is, and the authority. */
  readonly envp: readonly string[]
  revoke(): void
}

export class SystemCallServer {
  readonly #kernel: Kernel
  readonly #authorities = new Authorities()
  readonly #limits: DoorLimits
  readonly #doors = new Set<Door>()
  #public: Promise<Door> | undefined
  #private: Promise<Door> | undefined
  #closed = false

  constructor(kernel: Kernel, limits: Partial<DoorLimits> = {}) {
    this.#kernel = kernel
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    kernel.onShutdown(() => this.close())
  }

  /**
   * Opens the socket for operators at a path. What is left there of a service that has died is replaced.
   * @returns the path, once calls can be made
   * @throws SystemError EALREADY if it is open; ENAMETOOLONG; EACCES in a folder of another user, or that others can write
   *   to; EADDRINUSE if another service has it or it is no socket,
   *   and what making it met, after which it can be tried again
   */
  async listen(path: string): Promise<string> {
    if (this.#public !== undefined) {
      throw new SystemError('EALREADY', 'the socket of system calls is open already', { path })
    }
    const opening = this.#admit(Door.open(this.#host(OPERATOR), path))
    this.#public = opening
    try {
      return (await opening).path
    } catch (error) {
      this.#public = undefined
      throw error
    }
  }

  /**
   * Gives a helper the means to make calls, over a socket in a private folder.
   * @throws what making it met; it is tried again for the next helper
   */
  async grant(calls: Iterable<string>, context?: unknown): Promise<Grant> {
    const { path } = await this.#privateDoor()
    const { token, revoke } = this.#authorities.grant(calls, context)
    return { envp: [`KHELPER_SOCKET=${path}`, `KHELPER_AUTHORITY=${token}`], revoke }
  }

  /** How many authorities are out. */
  get granted(): number {
    return this.#authorities.size
  }

  close(): void {
    this.#closed = true
    // One that is still being opened is closed by `#admit`.
    for (const door of this.#doors) door.close()
    this.#doors.clear()
  }

  async #privateDoor(): Promise<Door> {
    this.#private ??= this.#openPrivately()
    const opening = this.#private
    try {
      const door = await opening
      // Its folder is one for temporary files, which may have been cleaned up.
      if (this.#closed || existsSync(door.path)) return door
    } catch (error) {
      if (this.#private === opening) this.#private = undefined
      throw error
    }
    if (this.#private === opening) this.#private = undefined
    return this.#privateDoor()
  }

  async #openPrivately(): Promise<Door> {
    const longest = LONGEST_SOCKET_PATH - LONGEST_IN_FOLDER.length
    const place = temporaryPlace(candidate => pathLength(candidate, FOLDER_KIND) <= longest)
    removeLeftFolders(place, FOLDER_KIND)
    const folder = makeServiceFolder(place, FOLDER_KIND)
    try {
      return await this.#admit(Door.open(this.#host(undefined), join(folder, 'socket'), folder))
    } catch (error) {
      removeFolder(folder, [])
      throw error
    }
  }

  /** Those of a kernel that has been shut down meanwhile are closed at once. */
  async #admit(opening: Promise<Door>): Promise<Door> {
    const door = await opening
    if (this.#closed) door.close()
    else this.#doors.add(door)
    return door
  }

  /** @param withoutAuthority whom those who name no authority act for; undefined: they are refused */
  #host(withoutAuthority: Subject | undefined): DoorHost {
    return {
      limits: this.#limits,
      knows: socket => this.#knows(socket),
      caller: async () => {
        // Whoever is not called needs none of it.
        const { systemCallTable } = await import('./table.js')
        return (request, signal) => this.#call(systemCallTable, request, signal, withoutAuthority)
      },
    }
  }

  #knows(socket: Socket): boolean | undefined {
    const user = peerUid(socket, this.#kernel.libc)
    return user === undefined ? undefined : isTrustedUser(user)
  }

  #call(
    table: SystemCallTable,
    { call, args, authority }: Request,
    signal: AbortSignal,
    withoutAuthority: Subject | undefined,
  ): unknown {
    const subject = this.#authorities.subject(authority, call, withoutAuthority)
    const entry = Object.hasOwn(table, call) ? table[call] : undefined
    if (entry === undefined)
      throw new SystemError('ENOSYS', `there is no system call ${call}`, { syscall: call })
    return entry(this.#kernel, args, { subject, signal })
  }
}
