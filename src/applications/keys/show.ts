/**
 * A caller's keyrings as a tree of text, as `keyctl show` draws it.
 */
import { KEY_SPEC_SESSION_KEYRING, Need, Shift } from './constants.js'
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

export function showKeys(store: KeyStore, credentials: KeyCredentials): string {
  const { key } = findKey(store, KEY_SPEC_SESSION_KEYRING, credentials)
  const lines = ['Session Keyring']
  draw(key, '', '', lines)
  return `${lines.join('\n')}\n`

  function draw(key: Key, branch: string, indent: string, lines: string[]): void {
    const number = String(key.serial).padStart(SERIAL)
    if (!isPermitted({ key, possessed: true }, credentials, Need.VIEW)) {
      lines.push(`${number}: key inaccessible (EACCES)`)
      return
    }
    const granted = key.permissions >> Shift.POSSESSOR
    const rights = LETTERS.map(([need, letter]) => ((granted & need) === 0 ? '-' : letter)).join('')
    const owner = `${String(key.uid).padStart(NUMBER)} ${String(key.gid).padStart(NUMBER)}`
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a description is to stay on its line
    const description = key.description.replace(/[\x00-\x1f\x7f]/g, '?')
    lines.push(`${number} --${rights} ${owner}  ${branch}${key.type.name}: ${description}`)
    const below = [...(key.links?.values() ?? [])]
    below.forEach((child, index) => {
      draw(child, `${indent} \\_ `, `${indent}${index + 1 < below.length ? ' |  ' : '    '}`, lines)
    })
  }
}
