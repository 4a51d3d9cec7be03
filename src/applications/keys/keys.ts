/**
 * The keys of one kernel: the face of this room.
 */
import { wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { errno } from '../../libc/errno.js'
import { addKey, updateKey } from './add-key.js'
import * as checked from './arguments.js'
import { type AuthorityKey, findAuthority } from './authority.js'
import type { HelperEnvironment } from './call-request-key.js'
import {
  KEY_ALL,
  KEY_SPEC_REQKEY_AUTH_KEY,
  KEY_SPEC_REQUESTOR_KEYRING,
  MAX_ERRNO,
  Need,
  RESTART_ERRORS,
} from './constants.js'
import { instantiateAndLink, rejectAndLink } from './construction.js'
import {
  type Identity,
  KeyCredentials,
  NAMED_SESSION,
  newSessionKeyring,
  UserKeyrings,
} from './credentials.js'
import { keyError, ownType, shownDescription } from './errors.js'
import type { Key, KeySerial } from './key.js'
import { authorityType, type KeyType, keyringType } from './key-types.js'
import { keyctl } from './keyctl.js'
import { clearLinks, linkKey, linksOf, moveKey, unlinkKey } from './keyring.js'
import { findKey, type KeyId, lookup, lookupNow } from './lookup.js'
import { demand, isPermitted, type KeyReference } from './permissions.js'
import { defineKeyFiles } from './proc-keys.js'
import { defaultDestination, requestKey } from './request-key.js'
import { isHit, requestFor, searchKeyring } from './search.js'
import { checkDescription, KeyStore } from './store.js'

export interface KeyOptions {
  /** Whose keyrings and rights are used. Default: the service's. */
  readonly credentials?: KeyCredentials
}

/** For what waits while a key is under construction. */
export interface KeyWaitOptions extends KeyOptions {
  /** Aborting it ends the wait with ERESTARTSYS. */
  readonly signal?: AbortSignal
}

export interface RequestKeyOptions extends KeyWaitOptions {
  /** The keyring that the key is linked to. Default: the caller's thread, process, session or user's session keyring. */
  readonly destination?: KeyId
}

export interface AddKeyOptions extends KeyWaitOptions {
  /** The keyring. Default: as with `requestKey`. */
  readonly keyring?: KeyId
}

export interface SearchOptions extends KeyOptions {
  /** A keyring that what is found is linked to. */
  readonly destination?: KeyId
}

export interface MoveOptions extends KeyWaitOptions {
  /** Refuse with EEXIST to take another key's place. */
  readonly exclusive?: boolean
}

export interface KeysSettings {
  /** The clock for expiry, in milliseconds. Default: one that no change of the system's time moves. */
  readonly now?: () => number
}

export class Keys {
  readonly #store: KeyStore
  readonly #users: UserKeyrings
  readonly #service: KeyCredentials
  /** @internal Whatever gives helpers a way to call back: set by the system-call socket. */
  helperEnvironment: HelperEnvironment | undefined

  constructor(kernel: Kernel, settings: KeysSettings = {}) {
    this.#store = new KeyStore(kernel, settings.now ?? (() => performance.now()))
    this.#users = new UserKeyrings(this.#store)
    this.#service = new KeyCredentials(this.#store, this.#users, {
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
      groups: process.getgroups?.() ?? [],
    })
    const undefine = defineKeyFiles(kernel.proc, this.#store, this.#service)
    kernel.onShutdown(() => {
      undefine()
      this.#store.close()
    })
  }

  /** The service's own credentials, which are used where none are given. */
  get credentials(): KeyCredentials {
    return this.#service
  }

  /**
   * Adds a type of key (register_key_type).
   * @returns takes it away again: its keys are dead then, their payloads gone
   * @throws SystemError EEXIST, EINVAL
   */
  registerKeyType(type: KeyType): () => void {
    this.#store.types.register(type)
    return () => this.#store.unregister(type)
  }

  /**
   * Credentials of another user, or of this one with no keyrings of their own yet; for a peer of a socket.
   * Close them when that one has gone.
   */
  createCredentials(identity: Partial<Identity> = {}): KeyCredentials {
    checked.object(identity, 'identity')
    const { uid, gid, groups } = this.#service
    return new KeyCredentials(this.#store, this.#users, {
      uid: identity.uid === undefined ? uid : checked.id(identity.uid, 'identity.uid'),
      gid: identity.gid === undefined ? gid : checked.id(identity.gid, 'identity.gid'),
      groups: identity.groups === undefined ? groups : checked.ids(identity.groups, 'identity.groups'),
    })
  }

  /**
   * Gives credentials with a session keyring of their own, as a process that was forked and has joined it
   * (join_session_keyring): what is found and made with them stays among them. Close them when the session is over.
   * @param name of a keyring that is joined if it is there and may be searched, and else made; none: a new one
   * @throws SystemError EPERM for a name that begins with a dot, EDQUOT
   */
  joinSessionKeyring(name?: string, options: KeyOptions = {}): KeyCredentials {
    const { uid, gid, groups } = this.#credentials(options)
    const credentials = new KeyCredentials(this.#store, this.#users, { uid, gid, groups })
    const keyring =
      name === undefined ? newSessionKeyring(this.#store, credentials, true) : this.#named(name, credentials)
    credentials.setSessionKeyring(keyring)
    this.#store.drop(keyring)
    return credentials
  }

  /** @returns a keyring that the caller holds */
  #named(name: string, credentials: KeyCredentials): Key {
    checked.description(name, 'name')
    if (name.startsWith('.')) throw keyError('EPERM', `keyrings of that name are the kernel's own: ${name}`)
    const found = this.#store.all().find(key => {
      if (key.type !== keyringType || key.description !== name || key.isRevoked) return false
      return isPermitted({ key, possessed: false }, credentials, Need.SEARCH)
    })
    if (found !== undefined) return this.#store.hold(found)
    return this.#store.allocKeyring(name, credentials, NAMED_SESSION, 'in-quota')
  }

  /** Credentials of a helper that may make the key that an authority is for. Close them when it has ended. */
  credentialsOfAuthority(authority: AuthorityKey): KeyCredentials {
    const { uid, gid, groups } = this.#service
    const identity = { uid, gid, groups }
    const credentials = new KeyCredentials(this.#store, this.#users, identity, authority.helperKeyring())
    credentials.making = authority.target
    return credentials
  }

  /**
   * Puts a new key into a keyring, or a new payload into the key of that type and description that is there (add_key).
   * @param payload is copied
   * @throws SystemError ENODEV (no such type), EINVAL, EPERM, ENOTDIR, EKEYREVOKED, EACCES, EDQUOT
   */
  async addKey(
    type: string,
    description: string,
    payload: string | Uint8Array = '',
    options: AddKeyOptions = {},
  ): Promise<Key> {
    const credentials = this.#credentials(options)
    this.#checkTypeName(type, 'add_key')
    checked.description(description, 'description')
    const bytes = checked.payload(payload)
    if (description.startsWith('.') && type === keyringType.name) {
      throw keyError('EPERM', `keyrings of that name are the kernel's own: ${description}`, 'add_key')
    }
    const keyring =
      options.keyring === undefined
        ? { key: defaultDestination(credentials), possessed: true }
        : lookupNow(this.#store, options.keyring, credentials, { create: true, need: Need.WRITE })
    return addKey(this.#store, keyring, type, description, bytes, credentials, checked.signal(options.signal))
  }

  /**
   * Finds a key, or has it made (request_key): however many ask for it, it is made once.
   * @param calloutInfo what the helper is told; `undefined`: nobody is asked for a key that is not there
   * @throws SystemError ENOKEY (no such key or type, or it could not be made), what a negative key says, EACCES, EPERM,
   *   EINVAL, EDQUOT, EKEYREVOKED, ENOTDIR, ERESTARTSYS (`signal`; the construction goes on), EDEADLK (what makes it asked
   *   for it); ERR_KHELPER_SHUT_DOWN, also if the kernel is shut down while it is made
   */
  async requestKey(
    type: string,
    description: string,
    calloutInfo?: string | Uint8Array,
    options: RequestKeyOptions = {},
  ): Promise<Key> {
    const credentials = this.#credentials(options)
    this.#checkTypeName(type, 'request_key')
    checked.description(description, 'description')
    checkDescription(description)
    const callout = calloutInfo === undefined ? undefined : checked.callout(calloutInfo)
    const destination =
      options.destination === undefined
        ? undefined
        : lookupNow(this.#store, options.destination, credentials, { create: true, need: Need.WRITE }).key
    const known = this.#type(type, 'request_key')
    return requestKey(
      { store: this.#store, helperEnvironment: this.helperEnvironment },
      {
        type: known,
        description,
        calloutInfo: callout,
        credentials,
        destination,
        signal: checked.signal(options.signal),
      },
    )
  }

  /** Code of this process may use its own types whose names begin with a dot, though not those of this room. */
  #checkTypeName(name: unknown, syscall: string): asserts name is string {
    checked.typeName(name)
    if (!name.startsWith('.')) return
    const type = this.#store.types.get(name)
    if (type === undefined || type === authorityType) throw ownType(name, syscall)
  }

  #type(name: string, syscall: string): KeyType {
    const type = this.#store.types.get(name)
    if (type === undefined) {
      throw keyError('ENOKEY', `there is no key type ${name}; keys.registerKeyType adds types`, syscall)
    }
    return type
  }

  /** Whose keyrings are used. @throws Error if the kernel has been shut down; SystemError EKEYREVOKED if they were closed */
  #credentials(options: KeyOptions): KeyCredentials {
    checked.object(options, 'options')
    const { credentials = this.#service } = options
    if (!(credentials instanceof KeyCredentials)) {
      throw wrongType('options.credentials', 'an instance of KeyCredentials', credentials)
    }
    this.#store.checkOpen()
    credentials.checkOpen()
    return credentials
  }

  #lookup(id: KeyId, options: KeyWaitOptions, need: Need | undefined, create = false): Promise<KeyReference> {
    const credentials = this.#credentials(options)
    return lookup(this.#store, id, credentials, { create, need }, checked.signal(options.signal))
  }

  #keyring(id: KeyId, options: KeyOptions, need: Need, create: boolean, syscall: string): KeyReference {
    const reference = lookupNow(this.#store, id, this.#credentials(options), { create, need })
    linksOf(reference.key, syscall)
    return reference
  }

  /**
   * Reads a payload; of a keyring the numbers of its keys, 32 bits each.
   * @throws SystemError EOPNOTSUPP for types that do not give it away, EACCES, ENOKEY, EKEYREVOKED, EKEYEXPIRED
   */
  async read(id: KeyId, options: KeyWaitOptions = {}): Promise<Buffer> {
    const { key, possessed } = await this.#lookup(id, options, undefined)
    const rejection = key.rejection('read')
    if (rejection !== undefined) throw rejection
    // Whoever could find it may read it, as in Linux.
    if (!possessed) demand({ key, possessed }, this.#credentials(options), Need.READ, 'read')
    if (key.type.read === undefined) {
      throw keyError(
        'EOPNOTSUPP',
        `${key}: keys of this type cannot be read; key.payload() is for code inside the process`,
        'read',
      )
    }
    key.validate('read')
    return Buffer.from(key.type.read(key.held, key))
  }

  /**
   * Gives a key another payload; it then never expires, and is positive if it was negative.
   * @throws SystemError EOPNOTSUPP, EACCES, EINVAL, EDQUOT, …
   */
  async update(id: KeyId, payload: string | Uint8Array, options: KeyWaitOptions = {}): Promise<void> {
    const bytes = checked.payload(payload)
    const { key } = await this.#lookup(id, options, Need.WRITE)
    updateKey(this.#store, key, bytes)
  }

  /** `type;uid;gid;permissions;description`. @throws SystemError EACCES, ENOKEY, EKEYREVOKED, EKEYEXPIRED */
  describe(id: KeyId, options: KeyOptions = {}): string {
    const { key } = this.#orWithAuthority(id, options, Need.VIEW)
    const mask = (key.permissions >>> 0).toString(16).padStart(8, '0')
    return `${key.type.name};${key.uid};${key.gid};${mask};${key.description}`
  }

  /** Whoever makes a key may look at it, and set its timeout, before it is anybody's. */
  #orWithAuthority(id: KeyId, options: KeyOptions, need: Need): KeyReference {
    const credentials = this.#credentials(options)
    const reference = findKey(this.#store, id, credentials)
    reference.key.validate()
    if (isPermitted(reference, credentials, need)) return reference
    try {
      findAuthority(credentials, reference.key.serial)
    } catch {
      demand(reference, credentials, need)
    }
    return reference
  }

  /** Ends a key: whoever uses it gets EKEYREVOKED. Its payload goes at once, itself after kernel/keys/gc_delay. */
  async revoke(id: KeyId, options: KeyWaitOptions = {}): Promise<void> {
    const { key, possessed } = await this.#lookup(id, options, undefined)
    key.validate('revoke')
    const credentials = this.#credentials(options)
    if (!isPermitted({ key, possessed }, credentials, Need.WRITE)) {
      demand({ key, possessed }, credentials, Need.SETATTR, 'revoke')
    }
    this.#store.revoke(key)
  }

  /** Takes a key away at once: it is as if it had never been. */
  async invalidate(id: KeyId, options: KeyWaitOptions = {}): Promise<void> {
    const { key } = await this.#lookup(id, options, Need.SEARCH)
    this.#store.invalidate(key)
  }

  /** @param seconds from now; 0: it never expires */
  setTimeout(id: KeyId, seconds: number, options: KeyOptions = {}): void {
    checked.timeout(seconds)
    this.#store.setTimeout(this.#orWithAuthority(id, options, Need.SETATTR).key, seconds)
  }

  /** @param mask possessor, user, group, other: 8 bits each. @throws SystemError EINVAL, EACCES */
  setPermissions(id: KeyId, mask: number, options: KeyOptions = {}): void {
    if (typeof mask !== 'number') throw wrongType('permissions', 'of type number', mask)
    if (!Number.isInteger(mask) || (mask & ~KEY_ALL) !== 0 || mask < 0 || mask > KEY_ALL) {
      throw keyError('EINVAL', `no permissions: 0x${mask.toString(16)}`)
    }
    const credentials = this.#credentials(options)
    const reference = lookupNow(this.#store, id, credentials, { partial: true, need: Need.SETATTR })
    if (credentials.uid !== 0 && reference.key.uid !== credentials.uid) {
      throw keyError('EACCES', `${reference.key} belongs to user ${reference.key.uid}`)
    }
    reference.key.permissions = mask
  }

  /**
   * Puts a key into a keyring, in the place of one of the same type and description.
   * @throws SystemError EACCES, ENOTDIR, EKEYREVOKED, EDQUOT, EDEADLK (a keyring inside itself), ELOOP (too deep)
   */
  async link(id: KeyId, keyring: KeyId, options: KeyWaitOptions = {}): Promise<void> {
    const credentials = this.#credentials(options)
    const to = lookupNow(this.#store, keyring, credentials, { create: true, need: Need.WRITE })
    // The keyring may go while the key is waited for: nothing is to be linked into what nobody empties any more.
    this.#store.hold(to.key)
    try {
      const { key } = await this.#lookup(id, options, Need.LINK, true)
      linkKey(this.#store, to.key, key)
    } finally {
      this.#store.drop(to.key)
    }
  }

  /** Takes a key out of a keyring. @throws SystemError ENOENT, ENOTDIR, EACCES, … */
  unlink(id: KeyId, keyring: KeyId, options: KeyOptions = {}): void {
    const credentials = this.#credentials(options)
    const from = lookupNow(this.#store, keyring, credentials, { need: Need.WRITE })
    unlinkKey(this.#store, from.key, findKey(this.#store, id, credentials).key)
  }

  /** Moves a key from one keyring to another. @throws SystemError ENOENT, EEXIST, and what `link` does */
  async move(id: KeyId, from: KeyId, to: KeyId, options: MoveOptions = {}): Promise<void> {
    const credentials = this.#credentials(options)
    const { key } = await this.#lookup(id, options, Need.LINK, true)
    const source = lookupNow(this.#store, from, credentials, { need: Need.WRITE })
    const target = lookupNow(this.#store, to, credentials, { create: true, need: Need.WRITE })
    moveKey(this.#store, key, source.key, target.key, options.exclusive === true)
  }

  /**
   * Searches a keyring and all below it. Nobody is asked for a key that is not there.
   * @throws SystemError EAGAIN (nothing there), what a negative key says, EKEYREVOKED, EKEYEXPIRED, EACCES, ENOTDIR
   */
  search(keyring: KeyId, type: string, description: string, options: SearchOptions = {}): Key {
    const credentials = this.#credentials(options)
    this.#checkTypeName(type, 'keyctl_search')
    checked.description(description, 'description')
    const root = this.#keyring(keyring, options, Need.SEARCH, false, 'keyctl_search')
    const to =
      options.destination === undefined
        ? undefined
        : lookupNow(this.#store, options.destination, credentials, { create: true, need: Need.WRITE })
    const known = this.#type(type, 'keyctl_search')
    const result = searchKeyring(root, credentials, requestFor(known, description, false))
    if (!isHit(result)) {
      const rejection = result.key?.rejection('keyctl_search')
      if (rejection !== undefined) throw rejection
      throw keyError(result.code, `no ${shownDescription(type, description)} in ${root.key}`, 'keyctl_search')
    }
    if (to !== undefined) {
      demand(result, credentials, Need.LINK, 'keyctl_search')
      linkKey(this.#store, to.key, result.key)
    }
    return result.key
  }

  /** Takes all keys out of a keyring. */
  clear(keyring: KeyId, options: KeyOptions = {}): void {
    clearLinks(this.#store, this.#keyring(keyring, options, Need.WRITE, true, 'keyctl_clear').key)
  }

  /** The number of a keyring that was named by a KEY_SPEC_*. @param create make it if it is not there */
  getKeyringId(id: KeyId, create = false, options: KeyOptions = {}): KeySerial {
    const credentials = this.#credentials(options)
    return lookupNow(this.#store, id, credentials, { create, need: Need.SEARCH }).key.serial
  }

  /**
   * Lets credentials act for whoever asked for a key.
   * @param target the number of the key to be made; 0: for nobody any more
   * @returns the number of the authorisation key
   * @throws SystemError EINVAL, ENOKEY, EKEYREVOKED
   */
  assumeAuthority(target: number, options: KeyOptions = {}): KeySerial | 0 {
    const credentials = this.#credentials(options)
    if (typeof target !== 'number') throw wrongType('target', 'of type number', target)
    if (!Number.isInteger(target) || target < 0) throw keyError('EINVAL', `no key has the number ${target}`)
    credentials.authority = target === 0 ? undefined : findAuthority(credentials, target)
    return credentials.authority?.key.serial ?? 0
  }

  /**
   * Gives a key under construction its payload, with the authority that was assumed, which is over then.
   * @param keyring where it is linked, too; KEY_SPEC_REQUESTOR_KEYRING: where it was asked for
   * @throws SystemError EPERM (no authority for it), EBUSY, EINVAL, ENOKEY, EDQUOT, …
   */
  instantiate(
    id: KeyId,
    payload: string | Uint8Array,
    keyring: KeyId | 0 = 0,
    options: KeyOptions = {},
  ): void {
    const credentials = this.#credentials(options)
    const bytes = checked.payload(payload)
    const authority = this.#authority(id, credentials)
    const to = this.#instantiationKeyring(keyring, authority, credentials)
    instantiateAndLink(this.#store, authority.target, bytes, to, authority)
    credentials.authority = undefined
  }

  /** `reject` with ENOKEY. */
  negate(id: KeyId, timeout: number, keyring: KeyId | 0 = 0, options: KeyOptions = {}): void {
    this.reject(id, timeout, errno('ENOKEY'), keyring, options)
  }

  /**
   * Makes a key under construction say no.
   * @param timeout seconds for which it does so
   * @param error a number from 1 to 4094
   * @throws SystemError EINVAL, EPERM, EBUSY, …
   */
  reject(id: KeyId, timeout: number, error: number, keyring: KeyId | 0 = 0, options: KeyOptions = {}): void {
    const credentials = this.#credentials(options)
    checked.timeout(timeout)
    if (!Number.isInteger(error) || error <= 0 || error >= MAX_ERRNO || RESTART_ERRORS.includes(error)) {
      throw keyError('EINVAL', `no error that a key can say: ${error}`)
    }
    const authority = this.#authority(id, credentials)
    const to = this.#instantiationKeyring(keyring, authority, credentials)
    rejectAndLink(this.#store, authority.target, timeout, error, to, authority)
    credentials.authority = undefined
  }

  #authority(id: KeyId, credentials: KeyCredentials): AuthorityKey {
    const { authority } = credentials
    const serial = typeof id === 'number' ? id : id.serial
    if (authority === undefined || authority.target.serial !== serial) {
      throw keyError('EPERM', `no authority to make key ${serial} has been assumed`)
    }
    return authority
  }

  #instantiationKeyring(
    id: KeyId | 0,
    authority: AuthorityKey,
    credentials: KeyCredentials,
  ): Key | undefined {
    if (id === 0) return undefined
    if (typeof id !== 'number' || id > 0) {
      return lookupNow(this.#store, id, credentials, { create: true, need: Need.WRITE }).key
    }
    if (id === KEY_SPEC_REQKEY_AUTH_KEY) throw keyError('EINVAL', 'an authorisation key is no keyring')
    if (id >= KEY_SPEC_REQUESTOR_KEYRING) return authority.destination
    throw keyError('ENOKEY', `no special keyring has the number ${id}`)
  }

  /**
   * Any of this by the name of its operation, with arguments that nobody has looked at: for helpers on a socket.
   * @param signal breaks off a wait for a key under construction, which goes on
   * @throws SystemError EOPNOTSUPP, EINVAL, and what the operation says; never for want of a check
   */
  keyctl(
    operation: string,
    args: unknown[],
    credentials: KeyCredentials,
    signal?: AbortSignal,
  ): unknown | Promise<unknown> {
    return keyctl(this, operation, args, { credentials, ...(signal && { signal }) })
  }

  /** @internal For what shows keys. */
  get store(): KeyStore {
    return this.#store
  }
}
