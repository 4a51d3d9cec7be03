/**
 * Who is at the other end of a socket, and whether what listens at a path is to be trusted with a token or a secret.
 *
 * The system is asked who has listened (SO_PEERCRED) of the very connection. Where it cannot be, the file tells: nobody
 * but its owner and root can have made it, it is looked at before and after the connection is made, and nobody else can
 * have put another in its place meanwhile.
 */
import type { BigIntStats } from 'node:fs'
import type { Socket } from 'node:net'
import { outOfRange, SystemError, wrongType } from '../../kernel/errors.js'
import { type Distrusted, isTrustedUser, walkPath } from '../../kernel/trusted-path.js'
import { type Libc, libcOfThisThread } from '../../libc/libc.js'

const LARGEST_UID = 2 ** 32 - 2

/** Whose service may be asked at a path, besides root's and our own. */
export interface Wanted {
  readonly socket: string
  readonly uid?: number | undefined
}

/** As whom the other end was connected, or listened; undefined where the system does not tell. */
export function peerUid(socket: Socket, libc: Libc | undefined): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } }
  const { fd } = handle ?? {}
  const peer = fd === undefined ? undefined : libc?.peerCredentials(fd)
  return typeof peer === 'object' ? peer.uid : undefined
}

/** @throws TypeError, RangeError */
export function checkWanted({ socket, uid }: Wanted): void {
  checkSocketPath(socket)
  if (uid !== undefined && !(Number.isInteger(uid) && uid >= 0 && uid <= LARGEST_UID)) {
    throw outOfRange('options.uid', `an integer from 0 to ${LARGEST_UID}`, uid)
  }
}

/** @throws TypeError */
export function checkSocketPath(path: unknown): asserts path is string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw wrongType('options.socket', 'the path of a socket', path)
  }
}

/**
 * What is at a path, which nobody but those who are trusted can have put there.
 * @throws SystemError EACCES; the error of the file system
 */
export function lookAtListener({ socket, uid }: Wanted): BigIntStats {
  const found = walkPath(socket, uid)
  if (found.distrusted !== undefined) throw distrustedPath(socket, found.distrusted)
  return found.end
}

/**
 * Whether a connection leads to who is wanted.
 * @param before what was there when it was made
 * @throws SystemError EACCES; the error of the file system
 */
export function checkListener(connection: Socket, wanted: Wanted, before: BigIntStats): void {
  const user = peerUid(connection, libcOfThisThread())
  if (user !== undefined) {
    if (!isTrustedUser(user, wanted.uid)) throw anotherUsers(wanted.socket, user)
    return
  }
  const { dev, ino } = lookAtListener(wanted)
  if (dev !== before.dev || ino !== before.ino) {
    throw refused(wanted.socket, 'another service has just come there; connect again', wanted.socket)
  }
}

function distrustedPath(socket: string, { path, reason, owner }: Distrusted): SystemError {
  const remedy = owner === undefined ? 'take that from them (chmod go-w)' : asAnother(owner)
  return refused(socket, `${reason}; ${remedy}`, path)
}

const anotherUsers = (socket: string, user: number): SystemError =>
  refused(socket, `it is the service of another user (uid ${user}); ${asAnother(user)}`, socket)

const asAnother = (user: number): string =>
  `connect as that user, or with { uid: ${user} } if it is to be trusted`

const refused = (socket: string, why: string, path: string): SystemError =>
  new SystemError('EACCES', `nothing was sent to ${socket}: ${why}`, { syscall: 'connect', path })
