/**
 * From what a caller names a key by, a serial number or a KEY_SPEC_*, to the key and whether the caller may use it so
 * (lookup_user_key).
 */
import { wrongType } from '../../kernel/errors.js'
import {
  KEY_SPEC_GROUP_KEYRING,
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_REQKEY_AUTH_KEY,
  KEY_SPEC_REQUESTOR_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
  KEY_SPEC_USER_KEYRING,
  KEY_SPEC_USER_SESSION_KEYRING,
  type Need,
} from './constants.js'
import { waitForConstruction } from './construction.js'
import type { KeyCredentials } from './credentials.js'
import { keyError } from './errors.js'
import { Key, UNINSTANTIATED } from './key.js'
import { demand, type KeyReference } from './permissions.js'
import { isHit, requestForKey, searchProcess } from './search.js'
import type { KeyStore } from './store.js'
import { waitingFor } from './waits.js'

/** A key, its serial number, or a KEY_SPEC_*. */
export type KeyId = Key | number

export interface LookupRules {
  /** Make the thread's, process's or session's keyring if it is not there. */
  readonly create?: boolean
  /** Keys under construction will do. */
  readonly partial?: boolean
  /** What the caller wants to do; undefined: that is looked at later. */
  readonly need: Need | undefined
}

/** Finds a key by its name, without a look at permissions and state. @throws SystemError EINVAL, ENOKEY, EKEYREVOKED */
export function findKey(
  store: KeyStore,
  id: KeyId,
  credentials: KeyCredentials,
  create = false,
): KeyReference {
  if (!(id instanceof Key)) {
    if (typeof id !== 'number') throw wrongType('id', 'a Key or of type number', id)
    if (!Number.isInteger(id)) throw keyError('EINVAL', `a key's number is an integer: ${id}`)
    if (id < 0) return { key: specialKey(id, credentials, create), possessed: true }
  }
  const serial = id instanceof Key ? id.serial : id
  if (serial === 0) throw keyError('EINVAL', 'no key has the number 0')
  const key = store.lookup(serial)
  if (key === undefined || (id instanceof Key && key !== id)) {
    throw keyError('ENOKEY', `there is no key ${id instanceof Key ? `${serial}, ${id}` : serial}`)
  }
  const found = searchProcess(credentials, requestForKey(key))
  return isHit(found) ? found : { key, possessed: false }
}

function specialKey(id: number, credentials: KeyCredentials, create: boolean): Key {
  switch (id) {
    case KEY_SPEC_THREAD_KEYRING:
      if (create) return credentials.installThreadKeyring()
      return present(credentials.threadKeyring, 'no thread keyring')
    case KEY_SPEC_PROCESS_KEYRING:
      if (create) return credentials.installProcessKeyring()
      return present(credentials.processKeyring, 'no process keyring')
    case KEY_SPEC_SESSION_KEYRING:
      return credentials.useSessionKeyring(create)
    case KEY_SPEC_USER_KEYRING:
      return credentials.userKeyrings.user
    case KEY_SPEC_USER_SESSION_KEYRING:
      return credentials.userKeyrings.session
    case KEY_SPEC_GROUP_KEYRING:
      throw keyError('EINVAL', 'there are no group keyrings')
    case KEY_SPEC_REQKEY_AUTH_KEY:
      return present(credentials.authority?.key, 'no authority has been assumed')
    case KEY_SPEC_REQUESTOR_KEYRING: {
      const { authority } = credentials
      if (authority?.key.isRevoked === true) throw keyError('EKEYREVOKED', 'the assumed authority has ended')
      return present(authority?.destination, 'no authority has been assumed')
    }
    default:
      throw keyError('EINVAL', `no special keyring has the number ${id}`)
  }
}

function present(key: Key | undefined, otherwise: string): Key {
  if (key === undefined) throw keyError('ENOKEY', `the caller has ${otherwise}`)
  return key
}

/** @throws SystemError also what the state and the permissions say; ENOTDIR for a key under construction */
export function lookupNow(
  store: KeyStore,
  id: KeyId,
  credentials: KeyCredentials,
  rules: LookupRules,
): KeyReference {
  const reference = findKey(store, id, credentials, rules.create)
  const { key } = reference
  if (rules.partial !== true) {
    // Only keyrings are looked up so, and a keyring is never under construction.
    if (key.isUnderConstruction) throw keyError('ENOTDIR', `${key} is not a keyring`)
    const rejection = key.rejection('keyctl')
    if (rejection !== undefined) throw rejection
  }
  key.validate()
  if (rules.need !== undefined) demand(reference, credentials, rules.need)
  return reference
}

/** The same, and waits for a key that is under construction. */
export async function lookup(
  store: KeyStore,
  id: KeyId,
  credentials: KeyCredentials,
  rules: LookupRules,
  signal: AbortSignal | undefined,
): Promise<KeyReference> {
  const reference = findKey(store, id, credentials, rules.create)
  const { key } = reference
  // It may be unlinked while it is waited for.
  store.hold(key)
  try {
    await waitingFor(credentials.making, key, () => waitForConstruction(store, key, signal, 'keyctl'))
  } catch (error) {
    if (rules.need !== undefined || (error as { code?: unknown }).code === 'ERESTARTSYS') throw error
  } finally {
    store.drop(key)
  }
  store.checkOpen()
  credentials.checkOpen()
  if (key.state === UNINSTANTIATED) throw keyError('EIO', `${key} has not been instantiated`)
  if (rules.need !== undefined) demand(reference, credentials, rules.need)
  return reference
}
