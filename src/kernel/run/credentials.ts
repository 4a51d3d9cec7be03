/**
 * As whom a helper is to run, checked at the door: numbers and names become numbers.
 */
import { readFileSync } from 'node:fs'
import type { Credentials } from '../call-spec.js'
import { outOfRange, unknownCredential, wrongType, wrongValue } from '../errors.js'
import type { RunOptions } from './types.js'

/** The largest but one: -1 means no change to the system. */
const LARGEST_ID = 2 ** 32 - 2
const MOST_GROUPS = 65_536
const LARGEST_UMASK = 0o777
const LOWEST_NICE = -20
const HIGHEST_NICE = 19
const LARGEST_PROCESSOR = 1_023
/** Of /etc/passwd and /etc/group. */
const ID_COLUMN = 2
/** Of /etc/passwd. */
const PRIMARY_GROUP_COLUMN = 3
/** Of /etc/group. */
const MEMBERS_COLUMN = 3

/** Gives up nothing of its own: the group stays the service's. */
const KEEP = 'keep'

/** @returns undefined if nothing was asked for */
export function checkCredentials(options: RunOptions): Credentials | undefined {
  const { umask, nice, noNewPrivs, affinity } = options
  const credentials: Credentials = {
    ...checkIdentity(options),
    ...(umask !== undefined && { umask: checkInteger(umask, 'umask', 0, LARGEST_UMASK) }),
    ...(nice !== undefined && { nice: checkInteger(nice, 'nice', LOWEST_NICE, HIGHEST_NICE) }),
    ...(affinity !== undefined && { affinity: checkAffinity(affinity) }),
    ...(noNewPrivs !== undefined && checkFlag(noNewPrivs, 'noNewPrivs') && { noNewPrivs: true }),
  }
  return Object.keys(credentials).length > 0 ? credentials : undefined
}

/**
 * User, group and groups. A user by name brings its groups along, from /etc/passwd and /etc/group; of one by number they
 * are not known, so that its group is to be said.
 */
function checkIdentity({ uid, gid, groups }: RunOptions): Credentials {
  const user = uid === undefined ? undefined : checkUser(uid)
  const keeps = gid === KEEP
  const group =
    gid === undefined || keeps ? undefined : checkId(gid, 'gid', () => rows('/etc/group'), 'Group')
  const own = user?.uid === undefined || isOwn(user.uid, process.getuid?.(), process.geteuid?.())
  if (!own && gid === undefined && user?.gid === undefined) {
    throw wrongValue(
      'options.gid',
      "must be given with a user by number: its group, or 'keep' for the service's own",
    )
  }
  const itsGroup = group ?? (own || keeps ? undefined : user?.gid)
  const sameGroup = itsGroup === undefined || isOwn(itsGroup, process.getgid?.(), process.getegid?.())
  const ofName = typeof uid === 'string' && !own ? groupsOf(uid, itsGroup) : []
  const itsGroups = groups !== undefined ? checkGroups(groups) : own && sameGroup ? undefined : ofName
  return {
    ...(user !== undefined && { uid: user.uid }),
    ...(itsGroup !== undefined && { gid: itsGroup }),
    ...(itsGroups !== undefined && { groups: itsGroups }),
    ...(!own && { another: true }),
  }
}

const isOwn = (id: number, real: number | undefined, effective: number | undefined): boolean =>
  id === real && id === effective

function checkInteger(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number') throw wrongType(`options.${name}`, 'of type number', value)
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(`options.${name}`, `an integer from ${least} to ${most}`, value)
  }
  return value
}

function checkFlag(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(`options.${name}`, 'of type boolean', value)
  return value
}

function checkGroups(groups: unknown): number[] {
  if (!Array.isArray(groups)) throw wrongType('options.groups', 'an array of group ids and names', groups)
  if (groups.length > MOST_GROUPS) {
    throw outOfRange('options.groups', `at most ${MOST_GROUPS} groups`, groups.length)
  }
  let table: Table | undefined
  const read = (): Table => {
    table ??= rows('/etc/group')
    return table
  }
  return groups.map((group, index) => checkId(group, `groups[${index}]`, read, 'Group'))
}

function checkAffinity(affinity: unknown): number[] {
  if (!Array.isArray(affinity) || affinity.length === 0) {
    throw wrongType('options.affinity', 'an array of processor numbers, one at least', affinity)
  }
  return affinity.map((processor, index) =>
    checkInteger(processor, `affinity[${index}]`, 0, LARGEST_PROCESSOR),
  )
}

/** @param table gives where a name's number stands */
function checkId(value: unknown, name: string, table: () => Table, kind: 'User' | 'Group'): number {
  if (typeof value !== 'string') return checkInteger(value, name, 0, LARGEST_ID)
  const id = numberIn(table().get(value)?.[ID_COLUMN])
  if (id === undefined) throw unknownCredential(kind, value)
  return id
}

function checkUser(value: unknown): { readonly uid: number; readonly gid: number | undefined } {
  if (typeof value !== 'string') return { uid: checkInteger(value, 'uid', 0, LARGEST_ID), gid: undefined }
  const columns = rows('/etc/passwd').get(value)
  const uid = numberIn(columns?.[ID_COLUMN])
  if (uid === undefined) throw unknownCredential('User', value)
  return { uid, gid: numberIn(columns?.[PRIMARY_GROUP_COLUMN]) }
}

/** The groups that have a user among their members, and its primary group, as initgroups(3) has them. */
function groupsOf(user: string, primary: number | undefined): number[] {
  const groups = new Set(primary === undefined ? [] : [primary])
  for (const columns of rows('/etc/group').values()) {
    const group = numberIn(columns[ID_COLUMN])
    if (group !== undefined && columns[MEMBERS_COLUMN]?.split(',').includes(user)) groups.add(group)
  }
  return [...groups].slice(0, MOST_GROUPS)
}

/** The lines of a file like /etc/passwd, by columns and by the first of them. */
type Table = ReadonlyMap<string, readonly string[]>

/** The first line of a name counts; none where the file cannot be read. */
function rows(path: string): Table {
  const table = new Map<string, readonly string[]>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return table
  }
  for (const line of text.split('\n')) {
    const columns = line.split(':')
    const [name = ''] = columns
    if (!table.has(name)) table.set(name, columns)
  }
  return table
}

function numberIn(column: string | undefined): number | undefined {
  return column !== undefined && /^\d+$/.test(column) ? Number(column) : undefined
}
