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
  readonly #users = new Map<number, KeyUser>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
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
    const user = this.of(uid)
    const limits = this.limits(uid)
    if (overrun || (user.quotaKeys < limits.keys && user.quotaBytes + bytes <= limits.bytes)) return
    throw tooMuch(uid)
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
    const more = bytes - key.dataBytes
    if (key.inQuota && more !== 0) {
      const user = this.of(key.uid)
      if (more > 0 && user.quotaBytes + more > this.limits(key.uid).bytes) throw tooMuch(key.uid)
      user.quotaBytes += more
      key.quotaBytes += more
    }
    key.dataBytes = bytes
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
