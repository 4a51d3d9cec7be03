/**
 * A key: a type and a description that it is found by, permissions, a time when it ends, and a payload (struct key).
 *
 * Its state is 0 until it is instantiated, 1 afterwards, and a negative error number if it was made to say no.
 */
import type { SystemError } from '../../kernel/errors.js'
import { keyError, numberedError, shownDescription } from './errors.js'
import type { KeyType } from './key-types.js'

export type KeySerial = number & { readonly __brand: 'KeySerial' }

export const UNINSTANTIATED = 0
export const POSITIVE = 1

/** What a key is born with. */
export interface KeyBirth {
  readonly serial: KeySerial
  readonly type: KeyType
  readonly description: string
  readonly uid: number
  readonly gid: number
  readonly permissions: number
  readonly inQuota: boolean
  /** Milliseconds on the clock that expiries are counted on. */
  readonly now: () => number
}

/** A keyring finds its links by these. */
export const indexOf = (type: KeyType, description: string): string => `${type.name}\0${description}`

export class Key {
  readonly serial: KeySerial
  readonly type: KeyType
  readonly description: string
  readonly uid: number
  readonly gid: number
  /** @internal */
  readonly inQuota: boolean
  /** @internal */
  readonly now: () => number
  /** @internal */
  permissions: number
  /** @internal */
  state: number = UNINSTANTIATED
  /** @internal When it ends, in milliseconds on its clock. */
  expiry = Number.POSITIVE_INFINITY
  /** @internal When it was revoked. */
  revokedAt = Number.POSITIVE_INFINITY
  /** @internal */
  invalidated = false
  /** @internal Its type has been taken away. */
  dead = false
  /** @internal Links to it, and others who need it to stay. */
  usage = 1
  /** @internal What it takes of its user's quota: with its description, and for the payload alone. */
  quotaBytes = 0
  /** @internal */
  dataBytes = 0
  /** @internal Those who wait until it has been constructed; undefined if it is not under construction. */
  waiters: Set<() => void> | undefined
  /** @internal Why it was made to say no, for the reader of an error. */
  reason: string | undefined
  /** @internal What a keyring holds, by index; undefined for other types. */
  readonly links: Map<string, Key> | undefined
  /** @internal Those of its links that are keyrings. */
  readonly nested: Set<Key> | undefined
  /** @internal Keyrings that hold it. */
  readonly parents = new Set<Key>()
  #payload: Buffer | undefined

  /** @internal */
  constructor(birth: KeyBirth, keyring: boolean) {
    this.serial = birth.serial
    this.type = birth.type
    this.description = birth.description
    this.uid = birth.uid
    this.gid = birth.gid
    this.inQuota = birth.inQuota
    this.now = birth.now
    this.permissions = birth.permissions
    this.links = keyring ? new Map() : undefined
    this.nested = keyring ? new Set() : undefined
  }

  get index(): string {
    return indexOf(this.type, this.description)
  }

  get isRevoked(): boolean {
    return this.revokedAt !== Number.POSITIVE_INFINITY
  }

  get isExpired(): boolean {
    return this.now() >= this.expiry
  }

  get isUnderConstruction(): boolean {
    return this.waiters !== undefined
  }

  /** Seconds until it expires, rounded up; `undefined` if it does not. */
  get timeout(): number | undefined {
    if (this.expiry === Number.POSITIVE_INFINITY) return undefined
    return Math.max(0, Math.ceil((this.expiry - this.now()) / 1_000))
  }

  /** Why it cannot be used, if so (key_validate). */
  problem(): 'ENOKEY' | 'EKEYREVOKED' | 'EKEYEXPIRED' | undefined {
    if (this.invalidated) return 'ENOKEY'
    if (this.isRevoked || this.dead) return 'EKEYREVOKED'
    return this.isExpired ? 'EKEYEXPIRED' : undefined
  }

  /** @throws SystemError ENOKEY, EKEYREVOKED, EKEYEXPIRED, in this order, if it cannot be used */
  validate(syscall = 'keyctl'): void {
    const problem = this.problem()
    if (problem !== undefined) throw keyError(problem, `${this}: ${PROBLEMS[problem]}`, syscall)
  }

  /** @internal What a key that says no says, and nothing for others. */
  rejection(syscall: string): SystemError | undefined {
    if (this.state >= 0) return undefined
    return numberedError(this.state, `${this}: ${this.reason ?? 'no key is to be had for it'}`, syscall)
  }

  /**
   * The payload, for code inside this process, whatever the permissions: this is how a `logon` key is used.
   * @returns a copy
   * @throws SystemError ENOKEY (also after the kernel's shutdown), EKEYREVOKED, EKEYEXPIRED, or what a negative key says
   */
  payload(): Buffer {
    const rejection = this.rejection('payload')
    if (rejection !== undefined) throw rejection
    this.validate('payload')
    if (this.#payload === undefined) throw keyError('ENOKEY', `${this} ${this.#lack()}`, 'payload')
    return Buffer.from(this.#payload)
  }

  /** Why a key that says neither no nor that it has ended has no payload. */
  #lack(): string {
    if (this.links !== undefined) return 'is a keyring: read gives the numbers of its keys'
    return this.state === UNINSTANTIATED
      ? 'has not been instantiated'
      : 'has gone with its kernel, which has been shut down'
  }

  /** @internal The key's own bytes, not a copy. */
  get held(): Buffer {
    return this.#payload ?? Buffer.alloc(0)
  }

  /** @internal Takes the place of what there was. The bytes are the key's from here on. */
  attach(payload: Buffer): void {
    this.wipe()
    this.#payload = payload
  }

  /** @internal */
  wipe(): void {
    this.#payload?.fill(0)
    this.#payload = undefined
  }

  toString(): string {
    return shownDescription(this.type.name, this.description)
  }
}

/** Why a key cannot be used, in words. */
export const PROBLEMS = {
  ENOKEY: 'has been invalidated',
  EKEYREVOKED: 'has been revoked',
  EKEYEXPIRED: 'has expired',
} as const
