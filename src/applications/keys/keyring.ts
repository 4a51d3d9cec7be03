/**
 * Keyrings: links to keys, one for each type and description; a link to another key of the same takes its place
 * (security/keys/keyring.c).
 */
import { LINK_BYTES, SEARCH_MAX_DEPTH } from './constants.js'
import { keyError } from './errors.js'
import { indexOf, type Key } from './key.js'
import { type KeyType, keyringType } from './key-types.js'
import type { KeyStore } from './store.js'

type Links = Map<string, Key>

export function linksOf(keyring: Key, syscall: string): Links {
  if (keyring.links === undefined) throw keyError('ENOTDIR', `${keyring} is not a keyring`, syscall)
  return keyring.links
}

/** Room for a link, to be used or given back. */
export interface LinkEdit {
  readonly replaces: Key | undefined
  commit(key: Key): void
  cancel(): void
}

/**
 * Makes room for a link (__key_link_begin).
 * @throws SystemError ENOTDIR, EKEYREVOKED, EDQUOT
 */
export function beginLink(
  store: KeyStore,
  keyring: Key,
  type: KeyType,
  description: string,
  syscall: string,
): LinkEdit {
  const links = linksOf(keyring, syscall)
  if (keyring.isRevoked) throw keyError('EKEYREVOKED', `${keyring} has been revoked`, syscall)
  const index = indexOf(type, description)
  const replaces = links.get(index)
  if (replaces === undefined) store.users.reserveMore(keyring, LINK_BYTES)
  return {
    replaces,
    commit: key => {
      const there = links.get(index)
      if (key === there) return
      store.hold(key)
      links.set(index, key)
      if (type === keyringType) keyring.nested?.add(key)
      key.parents.add(keyring)
      if (there !== undefined) forget(store, keyring, there)
      // It had ended, and went with its room while room was made for something else.
      else if (replaces !== undefined) store.users.take(keyring, LINK_BYTES)
    },
    cancel: () => {
      if (replaces === undefined) store.users.take(keyring, -LINK_BYTES)
    },
  }
}

function forget(store: KeyStore, keyring: Key, key: Key): void {
  keyring.nested?.delete(key)
  key.parents.delete(keyring)
  store.drop(key)
}

/**
 * Puts a key into a keyring (key_link).
 * @throws SystemError ENOTDIR, EKEYREVOKED, EDQUOT, EDEADLK, ELOOP, in this order, with nothing changed
 */
export function linkKey(store: KeyStore, keyring: Key, key: Key, syscall = 'key_link'): void {
  const edit = beginLink(store, keyring, key.type, key.description, syscall)
  try {
    checkCycle(keyring, key, syscall)
  } catch (error) {
    edit.cancel()
    throw error
  }
  edit.commit(key)
}

/** Takes a key out of a keyring (key_unlink). @throws SystemError ENOTDIR, ENOENT */
export function unlinkKey(store: KeyStore, keyring: Key, key: Key, syscall = 'key_unlink'): void {
  const links = linksOf(keyring, syscall)
  if (links.get(key.index) !== key) throw keyError('ENOENT', `${key} is not in ${keyring}`, syscall)
  unlinkFrom(store, keyring, key)
}

export function unlinkFrom(store: KeyStore, keyring: Key, key: Key): void {
  if (keyring.links?.get(key.index) !== key) return
  keyring.links.delete(key.index)
  store.users.take(keyring, -LINK_BYTES)
  forget(store, keyring, key)
}

/**
 * Moves a link from one keyring to another, or does nothing at all (key_move).
 * @param exclusive refuse to take another key's place
 * @throws SystemError ENOTDIR, ENOENT, EKEYREVOKED, EDQUOT, EEXIST, EDEADLK, ELOOP
 */
export function moveKey(store: KeyStore, key: Key, from: Key, to: Key, exclusive: boolean): void {
  if (from === to) return
  const source = linksOf(from, 'key_move')
  linksOf(to, 'key_move')
  if (source.get(key.index) !== key) throw keyError('ENOENT', `${key} is not in ${from}`, 'key_move')
  const edit = beginLink(store, to, key.type, key.description, 'key_move')
  try {
    if (exclusive && edit.replaces !== undefined) {
      throw keyError('EEXIST', `${to} holds a key of that type and description: ${key}`, 'key_move')
    }
    checkCycle(to, key, 'key_move')
  } catch (error) {
    edit.cancel()
    throw error
  }
  edit.commit(key)
  unlinkFrom(store, from, key)
}

export function clearLinks(store: KeyStore, keyring: Key): void {
  const keys = [...(keyring.links?.values() ?? [])]
  keyring.links?.clear()
  store.users.reserve(keyring, 0)
  for (const key of keys) forget(store, keyring, key)
}

/** Whether `keyring` would come to be inside itself, or what hangs below `key` is too deep to be searched. */
function checkCycle(keyring: Key, key: Key, syscall: string): void {
  if (key.links === undefined) return
  switch (nesting(key, keyring, 0, new Map())) {
    case 'cycle':
      throw keyError('EDEADLK', `${key} holds ${keyring}, or is the same`, syscall)
    case 'too-deep':
      throw keyError('ELOOP', `${key} holds keyrings more than ${SEARCH_MAX_DEPTH} deep`, syscall)
    case 'none':
  }
}

/** @param fine keyrings that nothing was found in, with the greatest depth at which they were entered */
function nesting(
  tree: Key,
  wanted: Key,
  depth: number,
  fine: Map<Key, number>,
): 'none' | 'cycle' | 'too-deep' {
  if (tree === wanted) return 'cycle'
  // One that was revoked or invalidated is never entered, and has been emptied.
  if (tree.isRevoked || tree.invalidated) return 'none'
  // Come to by another path before, at least as deep: what hangs below it was not too deep even then.
  if (depth <= (fine.get(tree) ?? -1)) return 'none'
  if (tree.links?.get(wanted.index) === wanted) return 'cycle'
  for (const nested of tree.nested ?? []) {
    if (depth >= SEARCH_MAX_DEPTH) return 'too-deep'
    const found = nesting(nested, wanted, depth + 1, fine)
    if (found !== 'none') return found
  }
  fine.set(tree, depth)
  return 'none'
}
