/**
 * Finding a key: in a keyring first among its own links, then in each keyring that it holds, six deep; in the
 * caller's keyrings one after the other (search_nested_keyrings, search_process_keyrings_rcu).
 *
 * A search that finds nothing says why, and what it says decides whether a key is asked for: EAGAIN (nothing there), the
 * error of a negative key, EKEYREVOKED, EKEYEXPIRED, EACCES.
 */
import { errnoName } from '../../libc/errno.js'
import { Need, SEARCH_MAX_DEPTH } from './constants.js'
import type { KeyCredentials } from './credentials.js'
import type { ErrorCode } from './errors.js'
import { indexOf, type Key } from './key.js'
import { authorityType, type KeyType } from './key-types.js'
import { isPermitted, type KeyReference } from './permissions.js'

export interface SearchRequest {
  readonly type: KeyType
  /** The whole description, which leads to at most one key of each keyring; else every key is looked at. */
  readonly index: string | undefined
  matches(key: Key): boolean
  readonly checkState: boolean
  /** Expired keys are as if they were not there. Else they are EKEYEXPIRED. */
  readonly skipExpired: boolean
}

export type Miss = { readonly code: ErrorCode; readonly key?: Key }
export type SearchResult = KeyReference | Miss

export const isHit = (result: SearchResult): result is KeyReference => 'possessed' in result

const NOTHING: Miss = { code: 'EAGAIN' }

/** What a caller means who names a type and a description. */
export function requestFor(type: KeyType, description: string, skipExpired: boolean): SearchRequest {
  const compare = type.matchPreparse?.(description)
  return {
    type,
    index: compare === undefined ? indexOf(type, description) : undefined,
    matches: compare ?? (key => key.description === description),
    checkState: true,
    skipExpired,
  }
}

/** Looks for one certain key, in whatever state it is. */
export const requestForKey = (key: Key): SearchRequest => ({
  type: key.type,
  index: key.index,
  matches: other => other === key,
  checkState: false,
  skipExpired: false,
})

/** One search of one keyring. */
class Search {
  readonly #request: SearchRequest
  readonly #credentials: KeyCredentials
  readonly #possessed: boolean
  result: SearchResult = NOTHING

  constructor(request: SearchRequest, credentials: KeyCredentials, possessed: boolean) {
    this.#request = request
    this.#credentials = credentials
    this.#possessed = possessed
  }

  run(keyring: Key): SearchResult {
    const { index } = this.#request
    const isSought = index === undefined || keyring.index === index
    if (!isSought || this.#look(keyring) === 'other') this.#descend(keyring, 0)
    return this.result
  }

  /** @returns whether it has been found */
  #descend(keyring: Key, depth: number): boolean {
    if (keyring.invalidated || keyring.isRevoked) return false
    const { index } = this.#request
    if (index === undefined) {
      for (const key of keyring.links?.values() ?? []) if (this.#look(key) === 'found') return true
    } else {
      const key = keyring.links?.get(index)
      if (key !== undefined && this.#look(key) === 'found') return true
    }
    if (depth >= SEARCH_MAX_DEPTH) return false
    for (const nested of keyring.nested ?? []) {
      const reference = { key: nested, possessed: this.#possessed }
      if (!isPermitted(reference, this.#credentials, Need.SEARCH)) continue
      if (this.#descend(nested, depth + 1)) return true
    }
    return false
  }

  /** Looks at one key; what is said of one that was passed over stays until something else is found. */
  #look(key: Key): 'found' | 'skipped' | 'other' {
    const { type, matches, checkState, skipExpired } = this.#request
    if (key.type !== type) return 'other'
    // Linux tells the state of keys first where it looks at every one; here a key that does not match says nothing.
    if (!matches(key)) return 'other'
    if (checkState) {
      if (key.invalidated || key.isRevoked) return this.#skip('EKEYREVOKED', key)
      if (key.isExpired) return skipExpired ? 'skipped' : this.#skip('EKEYEXPIRED', key)
    }
    const reference = { key, possessed: this.#possessed }
    if (!isPermitted(reference, this.#credentials, Need.SEARCH)) return this.#skip('EACCES', key)
    if (checkState && key.state < 0) return this.#skip(errnoName(key.state) as ErrorCode, key)
    this.result = reference
    return 'found'
  }

  #skip(code: ErrorCode, key: Key): 'skipped' {
    this.result = { code, key }
    return 'skipped'
  }
}

/** Searches one keyring and all below it (keyring_search_rcu). */
export function searchKeyring(
  reference: KeyReference,
  credentials: KeyCredentials,
  request: SearchRequest,
): SearchResult {
  if (reference.key.links === undefined) return { code: 'ENOTDIR' }
  if (!isPermitted(reference, credentials, Need.SEARCH)) return { code: 'EACCES' }
  return new Search(request, credentials, reference.possessed).run(reference.key)
}

/**
 * Searches the thread's, the process's and the session's keyring, or the user's session keyring where there is no
 * session (search_cred_keyrings_rcu): a hit, else ENOKEY, else EAGAIN, else the last of the other errors.
 */
export function searchCredentials(credentials: KeyCredentials, request: SearchRequest): SearchResult {
  let plain: Miss | undefined
  let error: Miss = NOTHING
  const keyrings = [
    credentials.threadKeyring,
    credentials.processKeyring,
    credentials.sessionKeyring ?? credentials.userSessionKeyring,
  ]
  for (const key of keyrings) {
    if (key === undefined) continue
    const result = searchKeyring({ key, possessed: true }, credentials, request)
    if (isHit(result)) return result
    if (result.code === 'ENOKEY') plain = result
    else if (result.code === 'EAGAIN') plain ??= result
    else error = result
  }
  return plain ?? error
}

/**
 * The same, and where the caller makes a key for somebody, that one's keyrings too (search_process_keyrings_rcu).
 */
export function searchProcess(credentials: KeyCredentials, request: SearchRequest): SearchResult {
  const own = searchCredentials(credentials, request)
  if (isHit(own)) return own
  let theirs: Miss = { code: 'EACCES' }
  const { authority } = credentials
  if (authority !== undefined && request.type !== authorityType && authority.problem() === undefined) {
    const result = searchCredentials(authority.requestor, request)
    if (isHit(result)) return result
    theirs = result
  }
  if (own.code === 'ENOKEY') return own
  if (theirs.code === 'ENOKEY') return theirs
  return own.code === 'EACCES' ? theirs : own
}
