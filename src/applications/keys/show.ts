/**
 * A caller's keyrings as a tree of text, as `keyctl show` draws it. A keyring that several hold is drawn where it is met
 * first: by every path, a few levels that are linked crosswise would fill the memory.
 */
import { KEY_SPEC_SESSION_KEYRING, Need, SEARCH_MAX_DEPTH, Shift } from './constants.js'
import type { KeyCredentials } from './credentials.js'
import type { Key } from './key.js'
import { findKey } from './lookup.js'
import { isPermitted } from './permissions.js'
import type { KeyStore } from './store.js'

const LETTERS = [
  [Need.SETATTR, 'a'],
  [Need.LINK, 'l'],
  [Need.SEARCH, 's'],
  [Need.WRITE, 'w'],
  [Need.READ, 'r'],
  [Need.VIEW, 'v'],
] as const

const SERIAL = 11
const NUMBER = 5

/** Characters, beyond which no line is begun. */
const LONGEST = 2 ** 20

export function showKeys(store: KeyStore, credentials: KeyCredentials): string {
  const { key } = findKey(store, KEY_SPEC_SESSION_KEYRING, credentials)
  return new Drawing(credentials).of(key)
}

class Drawing {
  readonly #credentials: KeyCredentials
  readonly #drawn = new Set<Key>()
  #text = 'Session Keyring\n'

  constructor(credentials: KeyCredentials) {
    this.#credentials = credentials
  }

  of(keyring: Key): string {
    const whole = this.#draw(keyring, '', '', 0)
    return whole ? this.#text : `${this.#text}…\n`
  }

  /** @returns whether there was room for all of it */
  #draw(key: Key, branch: string, indent: string, depth: number): boolean {
    if (this.#text.length >= LONGEST) return false
    const number = String(key.serial).padStart(SERIAL)
    if (!isPermitted({ key, possessed: true }, this.#credentials, Need.VIEW)) {
      this.#text += `${number}: key inaccessible (EACCES)\n`
      return true
    }
    const below = [...(key.links?.values() ?? [])]
    const elsewhere = below.length === 0 ? '' : this.#elsewhere(key, depth)
    this.#text += `${number} --${rights(key)} ${owner(key)}  ${branch}${key.type.name}: ${description(key)}${elsewhere}\n`
    if (elsewhere !== '') return true
    this.#drawn.add(key)
    return below.every((child, index) => {
      const side = index + 1 < below.length ? ' |  ' : '    '
      return this.#draw(child, `${indent} \\_ `, `${indent}${side}`, depth + 1)
    })
  }

  /** Why what a keyring holds does not stand below it, if so. */
  #elsewhere(keyring: Key, depth: number): string {
    if (this.#drawn.has(keyring)) return ' (see above)'
    return depth > SEARCH_MAX_DEPTH ? ' (too deep to be searched)' : ''
  }
}

function rights(key: Key): string {
  const granted = key.permissions >> Shift.POSSESSOR
  return LETTERS.map(([need, letter]) => ((granted & need) === 0 ? '-' : letter)).join('')
}

const owner = (key: Key) => `${String(key.uid).padStart(NUMBER)} ${String(key.gid).padStart(NUMBER)}`

/** A description is to stay on its line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const description = (key: Key) => key.description.replace(/[\x00-\x1f\x7f]/g, '?')
