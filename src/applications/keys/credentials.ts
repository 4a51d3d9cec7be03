/**
 * Whose keyrings are searched: a user and the thread, process and session keyrings of one caller (struct cred). A service
 * has one of its own, and one for each tenant or request that is to have keys of its own.
 */
import type { AuthorityKey } from './authority.js'
import { KEY_POS_ALL, KEY_POS_SETATTR, KEY_USR_ALL, Need, permissions } from './constants.js'
import { keyError } from './errors.js'
import type { Key } from './key.js'
import { linkKey } from './keyring.js'
import type { KeyStore, Owner } from './store.js'

export interface Identity extends Owner {
  readonly groups: readonly number[]
}

const PRIVATE = KEY_POS_ALL | permissions('USER', Need.VIEW)
export const SESSION = KEY_POS_ALL | permissions('USER', Need.VIEW, Need.READ)
export const NAMED_SESSION = SESSION | permissions('USER', Need.LINK)
const USERS = (KEY_POS_ALL & ~KEY_POS_SETATTR) | KEY_USR_ALL

/** The keyrings that every user has: `_uid.N`, and `_uid_ses.N` that holds it. */
export class UserKeyrings {
  readonly #store: KeyStore
  readonly #user = new Map<number, Key>()
  readonly #session = new Map<number, Key>()

  constructor(store: KeyStore) {
    this.#store = store
  }

  /** The user's session keyring, if anybody has asked for it yet. */
  session(uid: number): Key | undefined {
    return this.#session.get(uid)
  }

  /** Makes both if they are not there (look_up_user_keyrings). */
  install(owner: Owner): { readonly user: Key; readonly session: Key } {
    const user = this.#get(this.#user, `_uid.${owner.uid}`, owner)
    const known = this.#session.get(owner.uid)
    const session = known ?? this.#get(this.#session, `_uid_ses.${owner.uid}`, owner)
    if (known === undefined) linkKey(this.#store, session, user)
    return { user, session }
  }

  #get(keyrings: Map<number, Key>, name: string, owner: Owner): Key {
    const known = keyrings.get(owner.uid)
    if (known !== undefined) return known
    const keyring = this.#store.allocKeyring(name, owner, USERS, 'in-quota')
    keyrings.set(owner.uid, keyring)
    return keyring
  }
}

export class KeyCredentials implements Owner {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly #store: KeyStore
  readonly #users: UserKeyrings
  #thread: Key | undefined
  #process: Key | undefined
  #session: Key | undefined
  #closed = false
  /** @internal The key that a helper with these was started for. */
  making: Key | undefined
  /** @internal The authority that was assumed: these act for whoever asked for its key. */
  authority: AuthorityKey | undefined

  /** @internal `keys.joinSessionKeyring` and `keys.createCredentials` make credentials. */
  constructor(store: KeyStore, users: UserKeyrings, identity: Identity, session?: Key) {
    this.uid = identity.uid
    this.gid = identity.gid
    this.groups = identity.groups
    this.#store = store
    this.#users = users
    this.#session = session === undefined ? undefined : store.hold(session)
  }

  isMember(gid: number): boolean {
    return gid === this.gid || this.groups.includes(gid)
  }

  get threadKeyring(): Key | undefined {
    return this.#thread
  }

  get processKeyring(): Key | undefined {
    return this.#process
  }

  get sessionKeyring(): Key | undefined {
    return this.#session
  }

  /**
   * @internal What is searched where there is no session keyring. Closed credentials have none either, and are not to see
   * what all of their user share for that reason.
   */
  get userSessionKeyring(): Key | undefined {
    return this.#closed ? undefined : this.#users.session(this.uid)
  }

  /** @internal */
  get userKeyrings(): { readonly user: Key; readonly session: Key } {
    this.checkOpen()
    return this.#users.install(this)
  }

  /** @internal Whoever has waited asks again. @throws SystemError EKEYREVOKED */
  checkOpen(syscall?: string): void {
    if (this.#closed) {
      throw keyError(
        'EKEYREVOKED',
        'these credentials have been closed; joinSessionKeyring and createCredentials give others',
        syscall,
      )
    }
  }

  /** @internal */
  installThreadKeyring(): Key {
    this.checkOpen()
    this.#thread ??= this.#store.allocKeyring('_tid', this, PRIVATE, 'overrun')
    return this.#thread
  }

  /** @internal */
  installProcessKeyring(): Key {
    this.checkOpen()
    this.#process ??= this.#store.allocKeyring('_pid', this, PRIVATE, 'overrun')
    return this.#process
  }

  /**
   * @internal The session keyring, made if there is none or only the user's (KEY_SPEC_SESSION_KEYRING).
   * @param create give it one of its own
   */
  useSessionKeyring(create: boolean): Key {
    const users = this.userKeyrings
    if (this.#session !== undefined && !(create && this.#session === users.session)) return this.#session
    if (!create) return this.setSessionKeyring(users.session)
    const keyring = newSessionKeyring(this.#store, this, this.#session === undefined)
    this.setSessionKeyring(keyring)
    this.#store.drop(keyring)
    return keyring
  }

  /** @internal */
  setSessionKeyring(keyring: Key): Key {
    this.checkOpen()
    const old = this.#session
    this.#session = this.#store.hold(keyring)
    if (old !== undefined) this.#store.drop(old)
    return keyring
  }

  /**
   * Ends these credentials, as the end of a process ends its own: keyrings that nobody else has go, with their keys. What
   * is asked with them afterwards is EKEYREVOKED, and so is what was asked before and has not been answered yet.
   */
  close(): void {
    this.#closed = true
    for (const keyring of [this.#thread, this.#process, this.#session]) {
      if (keyring !== undefined) this.#store.drop(keyring)
    }
    this.#thread = undefined
    this.#process = undefined
    this.#session = undefined
    this.authority = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** An anonymous session keyring, which the caller holds. */
export const newSessionKeyring = (store: KeyStore, owner: Owner, first: boolean): Key =>
  store.allocKeyring('_ses', owner, SESSION, first ? 'overrun' : 'in-quota')
