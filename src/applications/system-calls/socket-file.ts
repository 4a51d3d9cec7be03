/**
 * The file of a Unix socket: how a server comes to listen at a path, and with which rights.
 */
import { chmodSync, mkdtempSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { resolve } from 'node:path'
import { isSystemError, SystemError, wrongType } from '../../kernel/errors.js'
import { knownName } from '../../libc/errno.js'

/** sockaddr_un has 108 bytes, with a NUL. */
export const LONGEST_SOCKET_PATH = 107
/** What stands behind the path while the socket is being made. */
const MAKING = '-XXXXXX/s'
const SOCKET_MODE = 0o600

/**
 * Has a server listen at a path, with mode 0600 from the moment it can be seen. What is left there of a service that has
 * died is replaced.
 * @returns the path, as it is from the root
 * @throws SystemError ENAMETOOLONG, EADDRINUSE if another service has it or it is no socket, and what making it met;
 *   TypeError
 */
export async function listenAt(server: Server, given: string): Promise<string> {
  if (typeof given !== 'string' || given === '' || given.includes('\0')) {
    throw wrongType('options.socket', 'the path of a socket', given)
  }
  const path = resolve(given)
  if (Buffer.byteLength(path + MAKING) > LONGEST_SOCKET_PATH) {
    const most = LONGEST_SOCKET_PATH - MAKING.length
    throw new SystemError('ENAMETOOLONG', `the path of a socket has at most ${most} bytes: ${path}`, {
      syscall: 'listen',
      path,
    })
  }
  await removeLeft(path)
  let making: string | undefined
  try {
    // Made where nobody else can look, and moved to its place with the mode it is to have.
    making = mkdtempSync(`${path}-`)
    const made = `${making}/s`
    await listening(server, made)
    chmodSync(made, SOCKET_MODE)
    renameSync(made, path)
    rmdirSync(making)
    return path
  } catch (error) {
    server.close()
    if (making !== undefined) rmSync(making, { recursive: true, force: true })
    throw cannotOpen(error, path)
  }
}

function cannotOpen(error: unknown, path: string): SystemError {
  if (isSystemError(error)) return error
  const code = knownName((error as NodeJS.ErrnoException).code) ?? 'EIO'
  const message = `the socket of system calls cannot be opened: ${path}`
  return new SystemError(code, message, { syscall: 'listen', path, cause: error })
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
