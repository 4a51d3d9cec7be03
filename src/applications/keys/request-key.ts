/**
 * request_key: a key is looked for in the caller's keyrings, and made if it is not there (security/keys/request_key.c).
 *
 * Whoever comes while it is made finds the key under construction among its links and waits: one helper runs, however
 * many ask. Linux holds a lock and searches a second time between the first search and the link; here nothing can happen
 * in between, because one thread does both without a pause.
 */
import { AuthorityKey } from './authority.js'
import { callRequestKey, type HelperEnvironment } from './call-request-key.js'
import { Need, permissions } from './constants.js'
import { interrupted, negate, waitForConstruction } from './construction.js'
import type { KeyCredentials } from './credentials.js'
import { type ErrorCode, keyError, shownDescription } from './errors.js'
import type { Key } from './key.js'
import { type KeyType, keyringType } from './key-types.js'
import { beginLink, linkKey, linksOf } from './keyring.js'
import { demand } from './permissions.js'
import { isHit, type Miss, requestFor, searchProcess } from './search.js'
import type { KeyStore } from './store.js'
import { waitingFor } from './waits.js'

/** What all requests of a kernel have in common. */
export interface RequestHost {
  readonly store: KeyStore
  readonly helperEnvironment: HelperEnvironment | undefined
}

export interface KeyRequest {
  readonly type: KeyType
  readonly description: string
  /** What the helper is told; undefined: nobody is asked for a key that is not there. */
  readonly calloutInfo: Buffer | undefined
  readonly credentials: KeyCredentials
  readonly destination: Key | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * Finds or makes a key, and waits for it.
 * @throws SystemError ENOKEY, the error of a negative key, EACCES, EPERM, EDQUOT, ENOTDIR, EKEYREVOKED, ERESTARTSYS, EDEADLK; the
 *   first who asks for a key that could not be made also gets the reason, such as ENOENT for a helper that is not there
 */
export async function requestKey(host: RequestHost, request: KeyRequest): Promise<Key> {
  const { store } = host
  const { key, construction } = findOrConstruct(host, request)
  store.hold(key)
  try {
    await waitingFor(request.credentials.making, key, async () => {
      if (construction !== undefined) await broken(construction, key, request.signal)
      await waitForConstruction(store, key, request.signal)
    })
    request.credentials.checkOpen('request_key')
    return key
  } finally {
    store.drop(key)
  }
}

interface Found {
  readonly key: Key
  /** Rejects with the reason why the key could not be made. */
  readonly construction?: Promise<void>
}

function findOrConstruct(host: RequestHost, request: KeyRequest): Found {
  const { store } = host
  const { type, description, credentials, destination, calloutInfo } = request
  const result = searchProcess(credentials, requestFor(type, description, true))
  if (isHit(result)) {
    if (destination !== undefined) {
      demand(result, credentials, Need.LINK, 'request_key')
      linkKey(store, destination, result.key, 'request_key')
    }
    return { key: result.key }
  }
  if (result.code !== 'EAGAIN') throw missed(request, result)
  if (calloutInfo === undefined) throw missed(request, { code: 'ENOKEY' })
  return construct(host, request, calloutInfo)
}

function missed({ type, description }: KeyRequest, { code, key }: Miss): Error {
  const rejection = key?.rejection('request_key')
  if (rejection !== undefined) return rejection
  return keyError(
    code,
    `${shownDescription(type.name, description)}: ${MISSES[code] ?? 'the search for it failed'}`,
    'request_key',
  )
}

const MISSES: Readonly<Partial<Record<ErrorCode, string>>> = {
  ENOKEY: 'there is no such key; give callout info to have it made',
  EACCES: 'it, or the keyring that holds it, may not be searched',
  EKEYREVOKED: 'has been revoked',
}

/** What a new key permits: all that its type can do to its possessor, a look to its user. */
export function defaultPermissions(type: KeyType): number {
  let mask = permissions('POSSESSOR', Need.VIEW, Need.SEARCH, Need.LINK, Need.SETATTR)
  if (type.read !== undefined) mask |= permissions('POSSESSOR', Need.READ)
  if (type.update !== undefined || type === keyringType) mask |= permissions('POSSESSOR', Need.WRITE)
  return mask | permissions('USER', Need.VIEW)
}

/** construct_key_and_link: everything up to the first pause of the upcall happens at once. */
function construct(host: RequestHost, request: KeyRequest, calloutInfo: Buffer): Found {
  const { store } = host
  const { type, description, credentials } = request
  if (type === keyringType) throw keyError('EPERM', 'a keyring cannot be requested', 'request_key')
  const destination = request.destination ?? defaultDestination(credentials)
  const key = store.alloc(type, description, credentials, defaultPermissions(type), 'in-quota')
  try {
    linksOf(destination, 'request_key')
    key.waiters = new Set()
    beginLink(store, destination, type, description, 'request_key').commit(key)
    const construction = upcall(host, request, key, calloutInfo, destination)
    // Whoever started it may have stopped waiting.
    construction.catch(() => {})
    return { key, construction }
  } finally {
    store.drop(key)
  }
}

async function upcall(
  host: RequestHost,
  { credentials }: KeyRequest,
  key: Key,
  calloutInfo: Buffer,
  destination: Key,
): Promise<void> {
  const { store } = host
  store.hold(key)
  try {
    const authority = AuthorityKey.create(store, key, calloutInfo, credentials, destination)
    await callRequestKey(store, authority, credentials, host.helperEnvironment)
  } catch (error) {
    negate(store, key, undefined)
    throw error
  } finally {
    store.drop(key)
  }
}

/**
 * Where a key goes that was made for somebody (construct_get_dest_keyring): to whom the caller makes a key for, else to
 * its thread, process, session or user's session keyring, the first that there is.
 * @throws SystemError EACCES if it may not be written to
 */
export function defaultDestination(credentials: KeyCredentials): Key {
  const { authority } = credentials
  if (authority?.destination !== undefined && !authority.key.isRevoked && !authority.key.invalidated) {
    return authority.destination
  }
  const keyring =
    credentials.threadKeyring ??
    credentials.processKeyring ??
    credentials.sessionKeyring ??
    credentials.userKeyrings.session
  demand({ key: keyring, possessed: true }, credentials, Need.WRITE, 'request_key')
  return keyring
}

/** Waits for a construction, which goes on if the wait is broken off. */
function broken(construction: Promise<void>, key: Key, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return construction
  return new Promise((resolve, reject) => {
    const interrupt = () => reject(interrupted(key, signal))
    if (signal.aborted) interrupt()
    else signal.addEventListener('abort', interrupt, { once: true })
    construction.then(resolve, reject).finally(() => signal.removeEventListener('abort', interrupt))
  })
}
