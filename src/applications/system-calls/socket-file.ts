/**
 * The file of a Unix socket: how a server comes to listen at a path, and with which rights.
 */
import { type BigIntStats, chmodSync, linkSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname, resolve } from 'node:path'
import { isSystemError, SystemError } from '../../kernel/errors.js'
import { removeFolder } from '../../kernel/service-folders.js'
import { distrustedFolder } from '../../kernel/trusted-path.js'
import { knownName } from '../../libc/errno.js'
import { checkSocketPath } from './listener.js'

/** sockaddr_un has 108 bytes, with a NUL. */
export const LONGEST_SOCKET_PATH = 107
/** What stands behind the path while the socket is being made. */
const MAKING = '-XXXXXX/s'
const SOCKET_MODE = 0o600
const OTHERS = 0o077n

/** A socket's file, to be told from one that has come to its path later. */
export interface SocketFile {
  /** As it is from the root. */
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
}

/**
 * Has a server listen at a path, with mode 0600 from the moment it can be seen. What is left there of a service that has
 * died is replaced.
 * @throws SystemError ENAMETOOLONG; EACCES if others could put something else there; EADDRINUSE if another service has it or it is no socket, and what making it met;
 *   TypeError
 */
export async function listenAt(server: Server, given: string): Promise<SocketFile> {
  checkSocketPath(given)
  const path = resolve(given)
  if (Buffer.byteLength(path + MAKING) > LONGEST_SOCKET_PATH) {
    const most = LONGEST_SOCKET_PATH - MAKING.length
    throw new SystemError('ENAMETOOLONG', `the path of a socket has at most ${most} bytes: ${path}`, {
      syscall: 'listen',
      path,
    })
  }
  let making: string | undefined
  try {
    checkFolder(path)
    // Made where nobody else can look, and put in its place with the mode it is to have.
    making = mkdtempSync(`${path}-`)
    const made = `${making}/s`
    await listening(server, made)
    chmodSync(made, SOCKET_MODE)
    const { dev, ino } = lstatSync(made, { bigint: true })
    await removeLeft(path)
    // Not moved: that would replace the socket of a service that has come here meanwhile.
    linkSync(made, path)
    return { path, dev, ino }
  } catch (error) {
    server.close()
    throw cannotOpen(error, path)
  } finally {
    if (making !== undefined) removeFolder(making, ['s'])
  }
}

/**
 * Takes the file away, if it is this one still: another service may have come to its path. To be called before its server
 * is closed: until then no other file is given its number.
 */
export function removeSocketFile({ path, dev, ino }: SocketFile): void {
  const there = lookAt(path)
  if (there?.dev === dev && there.ino === ino) rmSync(path, { force: true })
}

/** Whether others can be in the way between this socket and who looks for it there. */
function checkFolder(path: string): void {
  const distrusted = distrustedFolder(dirname(path))
  if (distrusted === undefined) return
  const { reason, owner } = distrusted
  const remedy =
    owner === undefined ? 'take that from them (chmod go-w)' : 'use a folder of this user’s or root’s'
  throw new SystemError(
    'EACCES',
    `the socket of system calls is not opened where others can put another in its place: ${path}: ${reason}; ${remedy}`,
    { syscall: 'listen', path: distrusted.path },
  )
}

/**
 * Whether the file is still there, and its mode keeps all others out: what is to be known of who has come in where the
 * system does not tell who that is.
 */
export function isPrivate({ path, dev, ino }: SocketFile): boolean {
  const there = lookAt(path)
  return there?.dev === dev && there.ino === ino && (there.mode & OTHERS) === 0n
}

/** What is at a path; `undefined` where nothing can be seen. */
function lookAt(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

function cannotOpen(error: unknown, path: string): SystemError {
  if (isSystemError(error)) return error
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EEXIST') return inUse(path, 'another service has just come there')
  const message = `the socket of system calls cannot be opened: ${path}`
  return new SystemError(knownName(code) ?? 'EIO', message, { syscall: 'listen', path, cause: error })
}

const inUse = (path: string, what: string) =>
  new SystemError('EADDRINUSE', `the socket of system calls cannot be opened, ${what}: ${path}`, {
    syscall: 'listen',
    path,
  })

/** Takes away the socket of a service that is not there any more. */
async function removeLeft(path: string): Promise<void> {
  const there = lookAt(path)
  if (there === undefined) return
  if (!there.isSocket()) throw inUse(path, 'there is something else')
  if (await answers(path)) throw inUse(path, 'another service answers there')
  removeSocketFile({ path, dev: there.dev, ino: there.ino })
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
