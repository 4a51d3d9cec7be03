/**
 * /proc/keys and /proc/key-users, line by line as Linux has them (security/keys/proc.c). They show what the service
 * itself may see, and never a payload.
 */
import type { ProcTree } from '../../kernel/proc/tree.js'
import { authorityOf } from './authority.js'
import { Need } from './constants.js'
import type { KeyCredentials } from './credentials.js'
import { type Key, UNINSTANTIATED } from './key.js'
import { authorityType } from './key-types.js'
import { isPermitted } from './permissions.js'
import type { KeyUser } from './quota.js'
import { isHit, requestForKey, searchCredentials } from './search.js'
import type { KeyStore } from './store.js'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const WEEK = 7 * DAY
/** Columns, as they are in Linux. */
const SERIAL = 8
const NUMBER = 5
const TIMEOUT = 4
const TYPE = 9

/** @returns takes the files away */
export function defineKeyFiles(proc: ProcTree, store: KeyStore, viewer: KeyCredentials): () => void {
  const files = [
    proc.define('/proc/keys', {
      read: () =>
        store
          .all()
          .filter(key => isVisible(key, viewer))
          .map(line)
          .join(''),
    }),
    proc.define('/proc/key-users', {
      read: () => [...store.users].map(user => userLine(store, user)).join(''),
    }),
  ]
  return () => {
    for (const remove of files) remove()
  }
}

function isVisible(key: Key, viewer: KeyCredentials): boolean {
  const possessed = isHit(searchCredentials(viewer, requestForKey(key)))
  return isPermitted({ key, possessed }, viewer, Need.VIEW)
}

const hexadecimal = (number: number) => (number >>> 0).toString(16).padStart(SERIAL, '0')

function line(key: Key): string {
  const flag = (letter: string, set: boolean) => (set ? letter : '-')
  const flags = [
    flag('I', key.state !== UNINSTANTIATED),
    flag('R', key.isRevoked),
    flag('D', key.dead),
    flag('Q', key.inQuota),
    flag('U', key.isUnderConstruction),
    flag('N', key.state < 0),
    flag('i', key.invalidated),
  ].join('')
  const columns = [
    hexadecimal(key.serial),
    flags,
    String(key.usage).padStart(NUMBER),
    timeout(key).padStart(TIMEOUT),
    hexadecimal(key.permissions),
    String(key.uid).padStart(NUMBER),
    String(key.gid).padStart(NUMBER),
    key.type.name.slice(0, TYPE).padEnd(TYPE),
    oneLine(summary(key)),
  ]
  return `${columns.join(' ')}\n`
}

function timeout(key: Key): string {
  const seconds = key.timeout
  if (seconds === undefined) return 'perm'
  if (key.isExpired) return 'expd'
  if (seconds < MINUTE) return `${seconds}s`
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m`
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)}h`
  if (seconds < WEEK) return `${Math.floor(seconds / DAY)}d`
  return `${Math.floor(seconds / WEEK)}w`
}

function summary(key: Key): string {
  if (key.type === authorityType) return authoritySummary(key)
  if (key.state <= UNINSTANTIATED) return key.description
  if (key.links === undefined) return `${key.description}: ${key.dataBytes}`
  return `${key.description}: ${key.links.size === 0 ? 'empty' : key.links.size}`
}

function authoritySummary(key: Key): string {
  if (authorityOf(key) === undefined) return `key:${key.description}`
  return `key:${key.description} pid:${process.pid} ci:${key.dataBytes}`
}

/** Nobody's description can pass for a line of its own. */
const oneLine = (text: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  text.replace(/[\x00-\x1f\\\x7f]/g, character => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)

function userLine(store: KeyStore, user: KeyUser): string {
  const limits = store.users.limits(user.uid)
  return `${String(user.uid).padStart(NUMBER)}: ${String(user.keys).padStart(NUMBER)} ${user.keys}/${user.instantiated} ${user.quotaKeys}/${limits.keys} ${user.quotaBytes}/${limits.bytes}\n`
}
