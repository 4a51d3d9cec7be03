/**
 * A new key in a keyring, or a new payload for the one that is there (key_create_or_update, key_update).
 */
import { Need } from './constants.js'
import { instantiateInto, waitForConstruction } from './construction.js'
import type { KeyCredentials } from './credentials.js'
import { keyError } from './errors.js'
import { indexOf, type Key, POSITIVE } from './key.js'
import { beginLink, linksOf } from './keyring.js'
import { demand, type KeyReference } from './permissions.js'
import { defaultPermissions } from './request-key.js'
import type { KeyStore } from './store.js'
import { waitingFor } from './waits.js'

export async function addKey(
  store: KeyStore,
  keyring: KeyReference,
  typeName: string,
  description: string,
  payload: Buffer,
  credentials: KeyCredentials,
  signal: AbortSignal | undefined,
): Promise<Key> {
  const type = store.types.get(typeName)
  if (type === undefined) {
    throw keyError('ENODEV', `there is no key type ${typeName}; keys.registerKeyType adds types`, 'add_key')
  }
  const links = linksOf(keyring.key, 'add_key')
  const held = type.instantiate?.(payload, undefined) ?? payload
  if (description === '') throw keyError('EINVAL', 'a key needs a description', 'add_key')
  const there = links.get(indexOf(type, description))
  if (type.update !== undefined && there !== undefined && !there.invalidated && !there.isRevoked) {
    // It may be unlinked while it is waited for.
    store.hold(there)
    try {
      if (there.isUnderConstruction) {
        await waitingFor(credentials.making, there, () =>
          waitForConstruction(store, there, signal, 'add_key'),
        )
      }
      credentials.checkOpen('add_key')
      demand({ key: there, possessed: keyring.possessed }, credentials, Need.WRITE, 'add_key')
      updateKey(store, there, payload)
      return there
    } finally {
      store.drop(there)
    }
  }
  const edit = beginLink(store, keyring.key, type, description, 'add_key')
  let key: Key
  try {
    key = store.alloc(type, description, credentials, defaultPermissions(type), 'in-quota')
  } catch (error) {
    edit.cancel()
    throw error
  }
  try {
    instantiateInto(store, key, held, edit)
    return key
  } finally {
    store.drop(key)
  }
}

/** @throws SystemError EOPNOTSUPP, EDQUOT, what its type says of the payload */
export function updateKey(store: KeyStore, key: Key, payload: Buffer): void {
  store.checkOpen()
  if (key.type.update === undefined) {
    throw keyError('EOPNOTSUPP', `${key}: keys of this type cannot be updated`, 'update')
  }
  const held = key.type.update(payload, key)
  store.users.reserve(key, held.byteLength)
  key.attach(held)
  key.reason = undefined
  store.markInstantiated(key, POSITIVE)
  store.setExpiry(key, Number.POSITIVE_INFINITY)
}
