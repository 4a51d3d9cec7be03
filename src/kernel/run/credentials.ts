/**
 * As whom a helper is to run, checked at the door: numbers and names become numbers.
 */
import { readFileSync } from 'node:fs'
import type { Credentials } from '../call-spec.js'
import { outOfRange, unknownCredential, wrongType } from '../errors.js'
import type { RunOptions } from './types.js'

/** The largest but one: -1 means no change to the system. */
const LARGEST_ID = 2 ** 32 - 2
const MOST_GROUPS = 65_536
const LARGEST_UMASK = 0o777
const LOWEST_NICE = -20
const HIGHEST_NICE = 19
const LARGEST_PROCESSOR = 1_023
const ID_COLUMN = 2

/** @returns undefined if nothing was asked for */
export function checkCredentials(options: RunOptions): Credentials | undefined {
  const { uid, gid, groups, umask, nice, noNewPrivs, affinity } = options
  const credentials: Credentials = {
    ...(uid !== undefined && { uid: checkId(uid, 'uid', '/etc/passwd', 'User') }),
    ...(gid !== undefined && { gid: checkId(gid, 'gid', '/etc/group', 'Group') }),
    ...(groups !== undefined && { groups: checkGroups(groups) }),
    ...(umask !== undefined && { umask: checkInteger(umask, 'umask', 0, LARGEST_UMASK) }),
    ...(nice !== undefined && { nice: checkInteger(nice, 'nice', LOWEST_NICE, HIGHEST_NICE) }),
    ...(affinity !== undefined && { affinity: checkAffinity(affinity) }),
    ...(noNewPrivs !== undefined && checkFlag(noNewPrivs) && { noNewPrivs: true }),
  }
  return Object.keys(credentials).length > 0 ? credentials : undefined
}

function checkInteger(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number') throw wrongType(`options.${name}`, 'of type number', value)
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(`options.${name}`, `an integer from ${least} to ${most}`, value)
  }
  return value
}

function checkFlag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw wrongType('options.noNewPrivs', 'of type boolean', value)
  return value
}

function checkGroups(groups: unknown): number[] {
  if (!Array.isArray(groups)) throw wrongType('options.groups', 'an array of group ids and names', groups)
  if (groups.length > MOST_GROUPS) {
    throw outOfRange('options.groups', `at most ${MOST_GROUPS} groups`, groups.length)
  }
  return groups.map((group, index) => checkId(group, `groups[${index}]`, '/etc/group', 'Group'))
}

function checkAffinity(affinity: unknown): number[] {
  if (!Array.isArray(affinity) || affinity.length === 0) {
    throw wrongType('options.affinity', 'an array of processor numbers, one at least', affinity)
  }
  return affinity.map((processor, index) =>
    checkInteger(processor, `affinity[${index}]`, 0, LARGEST_PROCESSOR),
  )
}

/** @param table the file where a name's number stands */
function checkId(value: unknown, name: string, table: string, kind: 'User' | 'Group'): number {
  if (typeof value !== 'string') return checkInteger(value, name, 0, LARGEST_ID)
  const id = lookUp(value, table)
  if (id === undefined) throw unknownCredential(kind, value)
  return id
}

function lookUp(name: string, table: string): number | undefined {
  let text: string
  try {
    text = readFileSync(table, 'utf8')
  } catch {
    return undefined
  }
  for (const line of text.split('\n')) {
    const columns = line.split(':')
    const id = Number(columns[ID_COLUMN])
    if (columns[0] === name && columns[ID_COLUMN] !== '' && Number.isInteger(id)) return id
  }
  return undefined
}
