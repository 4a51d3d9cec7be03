/**
 * What each user's keys take: as many, and as many bytes, as the sysctls under kernel/keys allow at the moment of asking.
 */
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { keyError } from './errors.js'
import type { Key } from './key.js'

const ROOT = 0

/** What one user has: keys, instantiated keys, and of those in the quota the number and the bytes. */
export interface KeyUser {
  readonly uid: number
  keys: number
  instantiated: number
  quotaKeys: number
  quotaBytes: number
}

export class KeyUsers {
  readonly #kernel: Kernel
  readonly #reclaim: (uid: number, spared: Key | undefined) => void
  readonly #users = new Map<number, KeyUser>()

  /** @param reclaim takes a user's keys away that have ended, but one that is being worked on */
  constructor(kernel: Kernel, reclaim: (uid: number, spared: Key | undefined) => void) {
    this.#kernel = kernel
    this.#reclaim = reclaim
  }

  /** @throws SystemError EDQUOT if what has ended has to go for it, and that is not enough */
  #demand(uid: number, fits: () => boolean, spared?: Key): void {
    if (fits()) return
    this.#reclaim(uid, spared)
    if (!fits()) throw tooMuch(uid)
  }

  limits(uid: number): { readonly keys: number; readonly bytes: number } {
    const root = uid === ROOT ? 'root_' : ''
    return {
      keys: Number(readSysctl(this.#kernel, `kernel/keys/${root}maxkeys`)),
      bytes: Number(readSysctl(this.#kernel, `kernel/keys/${root}maxbytes`)),
    }
  }

  /** @throws SystemError EDQUOT if one more key of so many bytes is too much, unless it may overrun */
  admit(uid: number, bytes: number, overrun: boolean): void {
    if (overrun) return
    const limits = this.limits(uid)
    this.#demand(uid, () => {
      const user = this.of(uid)
      return user.quotaKeys < limits.keys && user.quotaBytes + bytes <= limits.bytes
    })
  }

  /** A key has been made. */
  added(key: Key, bytes: number): void {
    const user = this.of(key.uid)
    user.keys += 1
    if (!key.inQuota) return
    key.quotaBytes = bytes
    user.quotaKeys += 1
    user.quotaBytes += bytes
  }

  instantiated(key: Key): void {
    this.of(key.uid).instantiated += 1
  }

  /** A key has gone. */
  removed(key: Key): void {
    const user = this.of(key.uid)
    user.keys -= 1
    if (key.state !== 0) user.instantiated -= 1
    if (key.inQuota) {
      user.quotaKeys -= 1
      user.quotaBytes -= key.quotaBytes
    }
    if (user.keys === 0) this.#users.delete(key.uid)
  }

  /**
   * Makes a key's payload take so many bytes of the quota (key_payload_reserve).
   * @throws SystemError EDQUOT, with nothing changed
   */
  reserve(key: Key, bytes: number): void {
    this.reserveMore(key, bytes - key.dataBytes)
  }

  /**
   * The same by a difference: a keyring may have lost links by the time that there is room.
   * @throws SystemError EDQUOT, with nothing changed
   */
  reserveMore(key: Key, more: number): void {
    if (key.inQuota && more > 0) {
      const limit = this.limits(key.uid).bytes
      this.#demand(key.uid, () => this.of(key.uid).quotaBytes + more <= limit, key)
    }
    this.take(key, more)
  }

  /** Counts bytes for which there is room. */
  take(key: Key, more: number): void {
    if (key.inQuota && more !== 0) {
      this.of(key.uid).quotaBytes += more
      key.quotaBytes += more
    }
    key.dataBytes += more
  }

  of(uid: number): KeyUser {
    const known = this.#users.get(uid)
    if (known !== undefined) return known
    const user = { uid, keys: 0, instantiated: 0, quotaKeys: 0, quotaBytes: 0 }
    this.#users.set(uid, user)
    return user
  }

  *[Symbol.iterator](): Iterator<KeyUser> {
    yield* [...this.#users.values()].filter(user => user.keys > 0).sort((a, b) => a.uid - b.uid)
  }
}

const tooMuch = (uid: number) =>
  keyError(
    'EDQUOT',
    `user ${uid} has no room for more keys; unlink some, or raise kernel/keys/maxkeys and maxbytes (for root: root_maxkeys, root_maxbytes)`,
    'add_key',
  )
