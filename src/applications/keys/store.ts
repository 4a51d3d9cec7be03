/**
 * All keys of one kernel, by serial number, and what holds each of them. A key that nothing holds is gone.
 */
import { randomInt } from 'node:crypto'
import { shutDown } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { DESCRIPTION_BYTES, LARGEST_SERIAL, SECOND } from './constants.js'
import { keyError } from './errors.js'
import { GarbageCollector } from './gc.js'
import { Key, type KeySerial } from './key.js'
import { type KeyType, KeyTypes, keyringType } from './key-types.js'
import { clearLinks, unlinkFrom } from './keyring.js'
import { KeyUsers } from './quota.js'

/** Serial numbers below this are never given out. */
const LEAST_SERIAL = 3

/** Whose a new key is. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** How a new key counts in its owner's quota; `'overrun'`: it counts, but is made even if there is no room. */
export type QuotaRule = 'in-quota' | 'overrun' | 'not-in-quota'

export class KeyStore {
  readonly kernel: Kernel
  readonly now: () => number
  readonly types = new KeyTypes()
  readonly users: KeyUsers
  readonly gc: GarbageCollector
  readonly #keys = new Map<number, Key>()
  /** Keys that nothing holds any more, while they are being taken away. */
  readonly #unheld: Key[] = []
  /** Break off what makes keys. */
  readonly #constructions = new Set<(reason: Error) => void>()
  #closed = false

  constructor(kernel: Kernel, now: () => number) {
    this.kernel = kernel
    this.now = now
    this.users = new KeyUsers(kernel, (uid, spared) => this.gc.reclaim(uid, spared))
    this.gc = new GarbageCollector({
      now,
      delay: () => Number(readSysctl(kernel, 'kernel/keys/gc_delay')),
      all: () => this.#keys.values(),
      reap: key => this.unlinkEverywhere(key),
    })
  }

  /**
   * Makes a key that is not instantiated yet (key_alloc). The caller holds it, and drops it once it is linked.
   * @throws SystemError EINVAL, EDQUOT
   */
  alloc(type: KeyType, description: string, owner: Owner, permissions: number, quota: QuotaRule): Key {
    const bytes = checkDescription(description)
    type.vetDescription?.(description)
    if (quota !== 'not-in-quota') this.users.admit(owner.uid, bytes, quota === 'overrun')
    const key = new Key(
      {
        serial: this.#serial(),
        type,
        description,
        uid: owner.uid,
        gid: owner.gid,
        permissions,
        inQuota: quota !== 'not-in-quota',
        now: this.now,
      },
      type === keyringType,
    )
    this.users.added(key, bytes)
    this.#keys.set(key.serial, key)
    return key
  }

  /** Makes a keyring, empty and ready to be used (keyring_alloc). The caller holds it. */
  allocKeyring(description: string, owner: Owner, permissions: number, quota: QuotaRule): Key {
    const keyring = this.alloc(keyringType, description, owner, permissions, quota)
    this.markInstantiated(keyring, 1)
    return keyring
  }

  /** Random, so that nobody learns from one number what others do. */
  #serial(): KeySerial {
    for (;;) {
      const serial = randomInt(LEAST_SERIAL, LARGEST_SERIAL + 1)
      if (!this.#keys.has(serial)) return serial as KeySerial
    }
  }

  lookup(serial: number): Key | undefined {
    return this.#keys.get(serial)
  }

  all(): Key[] {
    return [...this.#keys.values()].sort((a, b) => a.serial - b.serial)
  }

  /** @param state 1, or a negative error number */
  markInstantiated(key: Key, state: number): void {
    if (key.state === 0) this.users.instantiated(key)
    key.state = state
  }

  hold(key: Key): Key {
    key.usage += 1
    return key
  }

  drop(key: Key): void {
    key.usage -= 1
    if (key.usage > 0 || this.#keys.get(key.serial) !== key) return
    this.#keys.delete(key.serial)
    // A keyring drops what it holds, and so on down: in a row, because it may be deeper than the stack.
    this.#unheld.push(key)
    if (this.#unheld.length > 1) return
    for (const gone of this.#unheld) {
      // Code of this process may have the key still, and may use its payload as long as the key is valid.
      this.users.removed(gone)
      if (gone.links !== undefined) clearLinks(this, gone)
    }
    this.#unheld.length = 0
  }

  /** Ends a key: whoever uses it is told so, and its payload goes at once (key_revoke). */
  revoke(key: Key): void {
    if (key.isRevoked) return
    key.revokedAt = this.now()
    this.#empty(key)
    this.gc.schedule(key.revokedAt)
  }

  /** Takes a key away at once (key_invalidate). */
  invalidate(key: Key): void {
    if (key.invalidated) return
    key.invalidated = true
    this.#empty(key)
    this.unlinkEverywhere(key)
  }

  #empty(key: Key): void {
    key.wipe()
    if (key.links !== undefined) clearLinks(this, key)
    else this.users.reserve(key, 0)
  }

  /** @param end on this store's clock */
  setExpiry(key: Key, end: number): void {
    key.expiry = end
    this.gc.schedule(end)
  }

  /** @param seconds 0: never */
  setTimeout(key: Key, seconds: number): void {
    this.setExpiry(key, seconds > 0 ? this.now() + seconds * SECOND : Number.POSITIVE_INFINITY)
  }

  unlinkEverywhere(key: Key): void {
    this.hold(key)
    for (const parent of [...key.parents]) unlinkFrom(this, parent, key)
    this.drop(key)
  }

  /** The type has gone, and with it all keys of that type. */
  unregister(type: KeyType): void {
    this.types.unregister(type)
    for (const key of this.all()) {
      if (key.type !== type) continue
      key.dead = true
      key.permissions = 0
      this.#empty(key)
      this.unlinkEverywhere(key)
    }
  }

  /** @throws Error ERR_KHELPER_SHUT_DOWN if the kernel has ended: no key comes to a payload any more */
  checkOpen(): void {
    if (this.#closed) throw shutDown()
  }

  /**
   * Waits for what makes a key, but not beyond the kernel's end: it may never come to its own.
   * @throws Error ERR_KHELPER_SHUT_DOWN
   */
  unlessClosed(make: () => Promise<void>): Promise<void> {
    this.checkOpen()
    return new Promise((resolve, reject) => {
      this.#constructions.add(reject)
      const ended = () => this.#constructions.delete(reject)
      make().finally(ended).then(resolve, reject)
    })
  }

  /** The kernel ends: no secret outlives it here, and nobody waits for one any more. */
  close(): void {
    this.#closed = true
    this.gc.close()
    for (const key of this.#keys.values()) key.wipe()
    for (const breakOff of this.#constructions) breakOff(shutDown())
    this.#constructions.clear()
  }
}

/** @returns the bytes that it takes of the quota */
export function checkDescription(description: string): number {
  const bytes = Buffer.byteLength(description) + 1
  if (bytes === 1) throw keyError('EINVAL', 'a key needs a description', 'add_key')
  if (bytes > DESCRIPTION_BYTES) {
    throw keyError('EINVAL', `a description has at most ${DESCRIPTION_BYTES - 1} bytes`, 'add_key')
  }
  if (description.includes('\0')) throw keyError('EINVAL', 'a description has no NUL', 'add_key')
  return bytes
}
