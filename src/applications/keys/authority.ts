/**
 * An authorisation key: who has it may make the one key that it names, in the name of whoever asked for that key
 * (security/keys/request_key_auth.c). It ends with the construction.
 */
import { wrongType } from '../../kernel/errors.js'
import { type ErrnoName, errno } from '../../libc/errno.js'
import * as checked from './arguments.js'
import { Need, permissions } from './constants.js'
import { instantiateAndLink, rejectAndLink } from './construction.js'
import { type KeyCredentials, SESSION } from './credentials.js'
import { keyError } from './errors.js'
import type { Key } from './key.js'
import { authorityType } from './key-types.js'
import { linkKey } from './keyring.js'
import { isHit, requestFor, searchProcess } from './search.js'
import type { KeyStore } from './store.js'

const AUTHORITY =
  permissions('POSSESSOR', Need.VIEW, Need.READ, Need.SEARCH, Need.LINK) | permissions('USER', Need.VIEW)

const authorities = new WeakMap<Key, AuthorityKey>()
/** The authority that a key of type .request_key_auth stands for. */
export const authorityOf = (key: Key): AuthorityKey | undefined => authorities.get(key)

export class AuthorityKey {
  /** The authorisation key itself. */
  readonly key: Key
  /** The key that is to be made. */
  readonly target: Key
  /** Who asked for it: the first one, where making a key needed another key. */
  readonly requestor: KeyCredentials
  /** @internal */
  readonly destination: Key | undefined
  readonly #store: KeyStore
  #helperKeyring: Key | undefined

  private constructor(
    store: KeyStore,
    key: Key,
    target: Key,
    requestor: KeyCredentials,
    destination: Key | undefined,
  ) {
    this.#store = store
    this.key = key
    this.target = target
    this.requestor = requestor
    this.destination = destination
  }

  /**
   * @internal Makes the authorisation key for a key under construction (request_key_auth_new).
   * @throws SystemError EKEYREVOKED if the caller's own authority has ended
   */
  static create(
    store: KeyStore,
    target: Key,
    calloutInfo: Buffer,
    credentials: KeyCredentials,
    destination: Key | undefined,
  ): AuthorityKey {
    const theirs = credentials.authority
    if (theirs !== undefined && theirs.key.problem() !== undefined) {
      throw keyError('EKEYREVOKED', `${theirs.target} has been made already`, 'request_key')
    }
    const requestor = theirs?.requestor ?? credentials
    const key = store.alloc(authorityType, target.serial.toString(16), credentials, AUTHORITY, 'not-in-quota')
    key.attach(Buffer.from(calloutInfo))
    key.dataBytes = calloutInfo.byteLength
    store.markInstantiated(key, 1)
    if (destination !== undefined) store.hold(destination)
    store.hold(target)
    const authority = new AuthorityKey(store, key, target, requestor, destination)
    authorities.set(key, authority)
    return authority
  }

  /** What was said by whoever asked for the key. A copy; empty once the authority has ended. */
  get calloutInfo(): Buffer {
    return Buffer.from(this.key.held)
  }

  /** @internal Why it cannot be used, if so. */
  problem() {
    return this.key.problem()
  }

  /**
   * Gives the key its payload; whoever waits for it has it then. The bytes are copied.
   * @param options.timeout seconds until the key expires, rounded down; 0: it is expired at once. Default: never
   * @throws TypeError, RangeError, with the key not made yet; SystemError EBUSY if it has one, or was rejected; EDQUOT; what its type says of the payload
   */
  instantiate(payload: string | Uint8Array, options: { readonly timeout?: number | undefined } = {}): void {
    if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
      throw wrongType('payload', 'a string or an Uint8Array', typeof payload)
    }
    const timeout =
      options.timeout === undefined
        ? undefined
        : Math.floor(checked.seconds(options.timeout, 'options.timeout'))
    instantiateAndLink(this.#store, this.target, Buffer.from(payload as string), undefined, this, timeout)
  }

  /**
   * Says that the key is not to be had; whoever asks for it is told so for a while, and nothing is run meanwhile.
   * @param code for instance `'EKEYREJECTED'`
   * @param timeout seconds; 0: it is expired at once, and ENOKEY
   * @param reason for those who read the error; never a secret
   * @throws TypeError, RangeError, with the key not made yet; SystemError EBUSY
   */
  reject(code: ErrnoName, timeout: number, reason?: string): void {
    checked.errorName(code, 'code')
    checked.seconds(timeout, 'timeout')
    if (reason !== undefined && typeof reason !== 'string')
      throw wrongType('reason', 'of type string', reason)
    rejectAndLink(this.#store, this.target, timeout, errno(code), undefined, this, reason)
  }

  /** @internal The session keyring for a helper, which holds the authorisation key alone. */
  helperKeyring(): Key {
    if (this.#helperKeyring === undefined) {
      const name = `_req.${this.target.serial}`
      const keyring = this.#store.allocKeyring(name, this.key, SESSION, 'overrun')
      this.#helperKeyring = keyring
      linkKey(this.#store, keyring, this.key)
    }
    return this.#helperKeyring
  }

  /** @internal The authorisation is over (key_invalidate). */
  end(): void {
    this.#store.invalidate(this.key)
  }

  /** @internal The construction is over: gives back all that it held. */
  release(): void {
    this.#store.revoke(this.key)
    if (this.#helperKeyring !== undefined) this.#store.drop(this.#helperKeyring)
    if (this.destination !== undefined) this.#store.drop(this.destination)
    this.#store.drop(this.key)
    this.#store.drop(this.target)
  }
}

/**
 * The authority to make a key that is among the caller's keyrings (key_get_instantiation_authkey).
 * @throws SystemError ENOKEY, EKEYREVOKED
 */
export function findAuthority(credentials: KeyCredentials, target: number): AuthorityKey {
  const result = searchProcess(credentials, requestFor(authorityType, target.toString(16), false))
  if (!isHit(result)) {
    const code = result.code === 'EAGAIN' ? 'ENOKEY' : result.code
    throw keyError(code, `no authority to make key ${target}`)
  }
  const authority = authorityOf(result.key)
  if (authority === undefined) throw keyError('EKEYREVOKED', `the authority to make key ${target} has ended`)
  return authority
}
