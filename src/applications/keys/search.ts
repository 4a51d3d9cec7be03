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

/**
 * What a caller means who names a type and a description.
 * @throws what the type says of a description that none of its keys can have: before any message quotes it
 */
export function requestFor(type: KeyType, description: string, skipExpired: boolean): SearchRequest {
  const compare = type.matchPreparse?.(description)
  if (compare === undefined) type.vetDescription?.(description)
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

/**
 * One search of one keyring.
 *
 * Linux enters a keyring once for each path that leads to it, which a few levels that are linked crosswise make billions.
 * What a keyring says depends on nothing but how far below the root it is entered: so it is asked once for each depth, and
 * never again deeper once it had nothing at all to say.
 */
class Search {
  readonly #request: SearchRequest
  readonly #credentials: KeyCredentials
  readonly #possessed: boolean
  /** What keyrings have said, by the depth at which they were entered. */
  readonly #said = new Map<Key, Miss[]>()

  constructor(request: SearchRequest, credentials: KeyCredentials, possessed: boolean) {
    this.#request = request
    this.#credentials = credentials
    this.#possessed = possessed
  }

  run(keyring: Key): SearchResult {
    const { index } = this.#request
    const itself = index === undefined || keyring.index === index ? this.#look(keyring) : undefined
    return itself ?? this.#enter(keyring, 0)
  }

  #enter(keyring: Key, depth: number): SearchResult {
    if (keyring.invalidated || keyring.isRevoked) return NOTHING
    const said = this.#said.get(keyring) ?? []
    const known = said.slice(0, depth).includes(NOTHING) ? NOTHING : said[depth]
    if (known !== undefined) return known
    const result = this.#descend(keyring, depth)
    if (!isHit(result)) {
      said[depth] = result
      this.#said.set(keyring, said)
    }
    return result
  }

  /** What is said of a key that was passed over stays until something else is found. */
  #descend(keyring: Key, depth: number): SearchResult {
    let miss = NOTHING
    for (const key of this.#candidates(keyring)) {
      const result = this.#look(key)
      if (result === undefined) continue
      if (isHit(result)) return result
      if (result !== NOTHING) miss = result
    }
    if (depth >= SEARCH_MAX_DEPTH) return miss
    for (const nested of keyring.nested ?? []) {
      const reference = { key: nested, possessed: this.#possessed }
      if (!isPermitted(reference, this.#credentials, Need.SEARCH)) continue
      const result = this.#enter(nested, depth + 1)
      if (isHit(result)) return result
      if (result !== NOTHING) miss = result
    }
    return miss
  }

  #candidates(keyring: Key): Iterable<Key> {
    const { index } = this.#request
    if (index === undefined) return keyring.links?.values() ?? []
    const key = keyring.links?.get(index)
    return key === undefined ? [] : [key]
  }

  /** What a key says to the search, `NOTHING` if it is as if it were not there; `undefined`: it is not looked for. */
  #look(key: Key): SearchResult | undefined {
    const { type, matches, checkState, skipExpired } = this.#request
    if (key.type !== type) return undefined
    // Linux tells the state of keys first where it looks at every one; here a key that does not match says nothing.
    if (!matches(key)) return undefined
    if (checkState) {
      if (key.invalidated || key.isRevoked) return { code: 'EKEYREVOKED', key }
      if (key.isExpired) return skipExpired ? NOTHING : { code: 'EKEYEXPIRED', key }
    }
    const reference = { key, possessed: this.#possessed }
    if (!isPermitted(reference, this.#credentials, Need.SEARCH)) return { code: 'EACCES', key }
    if (checkState && key.state < 0) return { code: errnoName(key.state) as ErrorCode, key }
    return reference
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
