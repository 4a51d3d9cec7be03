/**
 * How a key comes to its payload, or to its error, once; and how others wait for it.
 */
import { errno } from '../../libc/errno.js'
import type { AuthorityKey } from './authority.js'
import { NEGATIVE_TIMEOUT_SECONDS, SECOND } from './constants.js'
import { keyError } from './errors.js'
import { type Key, POSITIVE, UNINSTANTIATED } from './key.js'
import { beginLink, type LinkEdit } from './keyring.js'
import type { KeyStore } from './store.js'

/** The state is decided: whoever waits is woken. */
function awaken(key: Key): void {
  const { waiters } = key
  key.waiters = undefined
  for (const wake of waiters ?? []) wake()
}

const busy = (key: Key) => keyError('EBUSY', `${key} has been instantiated already`)

/**
 * Instantiates a key, links it and ends the authority for it (key_instantiate_and_link).
 * @param timeout seconds until it expires, 0: at once; left out: never
 * @throws SystemError what its type says of the payload; ENOTDIR, EKEYREVOKED, EDQUOT of the keyring; EBUSY
 */
export function instantiateAndLink(
  store: KeyStore,
  key: Key,
  payload: Buffer,
  keyring: Key | undefined,
  authority: AuthorityKey | undefined,
  timeout?: number,
): void {
  const held = key.type.instantiate?.(payload, key) ?? payload
  const edit = keyring && beginLink(store, keyring, key.type, key.description, 'instantiate')
  instantiateInto(store, key, held, edit, authority, timeout)
}

/** The same with a payload that was checked, and room for the link. */
export function instantiateInto(
  store: KeyStore,
  key: Key,
  held: Buffer,
  edit: LinkEdit | undefined,
  authority?: AuthorityKey,
  timeout?: number,
): void {
  try {
    store.checkOpen()
    if (key.state !== UNINSTANTIATED) throw busy(key)
    store.users.reserve(key, held.byteLength)
  } catch (error) {
    edit?.cancel()
    throw error
  }
  key.attach(held)
  store.markInstantiated(key, POSITIVE)
  if (timeout !== undefined) store.setExpiry(key, store.now() + timeout * SECOND)
  edit?.commit(key)
  authority?.end()
  awaken(key)
}

/**
 * Makes a key say no for a while (key_reject_and_link).
 * @param timeout seconds; 0: it is expired at once
 * @throws SystemError EBUSY; what stands against the link, with the key negative all the same
 */
export function rejectAndLink(
  store: KeyStore,
  key: Key,
  timeout: number,
  error: number,
  keyring: Key | undefined,
  authority: AuthorityKey | undefined,
  reason?: string,
): void {
  let edit: LinkEdit | undefined
  let unlinkable: unknown
  try {
    edit = keyring && beginLink(store, keyring, key.type, key.description, 'reject')
  } catch (failure) {
    unlinkable = failure
  }
  if (key.state !== UNINSTANTIATED) {
    edit?.cancel()
    throw busy(key)
  }
  key.reason = reason
  store.markInstantiated(key, -error)
  store.setExpiry(key, store.now() + timeout * SECOND)
  edit?.commit(key)
  authority?.end()
  awaken(key)
  if (unlinkable !== undefined) throw unlinkable
}

/** Makes a key that nobody has made say ENOKEY for a minute. */
export function negate(
  store: KeyStore,
  key: Key,
  authority: AuthorityKey | undefined,
  reason?: string,
): void {
  if (key.state === UNINSTANTIATED) {
    rejectAndLink(store, key, NEGATIVE_TIMEOUT_SECONDS, errno('ENOKEY'), undefined, authority, reason)
  }
}

/** Resolves once the key has been constructed, one way or the other. @throws SystemError ERESTARTSYS on `signal` */
function constructed(key: Key, signal: AbortSignal | undefined): Promise<void> {
  const { waiters } = key
  if (waiters === undefined) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const settle = () => {
      waiters.delete(settle)
      signal?.removeEventListener('abort', interrupt)
      resolve()
    }
    const interrupt = () => {
      waiters.delete(settle)
      reject(interrupted(key, signal))
    }
    if (signal?.aborted) {
      interrupt()
      return
    }
    waiters.add(settle)
    signal?.addEventListener('abort', interrupt, { once: true })
  })
}

export const interrupted = (key: Key, signal: AbortSignal | undefined) =>
  keyError(
    'ERESTARTSYS',
    `the wait for ${key} was broken off; its construction goes on`,
    'request_key',
    signal?.reason,
  )

/**
 * Waits, and says what became of it (wait_for_key_construction).
 * @throws SystemError ERESTARTSYS, ENOKEY, …; Error ERR_KHELPER_SHUT_DOWN if the kernel has ended meanwhile
 */
export async function waitForConstruction(
  store: KeyStore,
  key: Key,
  signal: AbortSignal | undefined,
  syscall = 'request_key',
): Promise<void> {
  if (key.isUnderConstruction) await constructed(key, signal)
  store.checkOpen()
  const rejection = key.rejection(syscall)
  if (rejection !== undefined) throw rejection
  key.validate(syscall)
}
