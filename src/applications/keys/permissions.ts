/**
 * Who may do what with a key (security/keys/permission.c).
 */
import { KEY_GRP_ALL, type Need, Shift } from './constants.js'
import type { KeyCredentials } from './credentials.js'
import { keyError } from './errors.js'
import type { Key } from './key.js'

/** A key as it was come by: whoever found it through its own keyrings possesses it. */
export interface KeyReference {
  readonly key: Key
  readonly possessed: boolean
}

/** What the permissions give to these credentials: of user, group and others the first that fits, and the possessor's. */
export function isPermitted(
  { key, possessed }: KeyReference,
  credentials: KeyCredentials,
  need: Need,
): boolean {
  let granted: number
  if (key.uid === credentials.uid) granted = key.permissions >> Shift.USER
  else if ((key.permissions & KEY_GRP_ALL) !== 0 && credentials.isMember(key.gid)) {
    granted = key.permissions >> Shift.GROUP
  } else granted = key.permissions
  if (possessed) granted |= key.permissions >> Shift.POSSESSOR
  return (granted & need) === need
}

/** @throws SystemError EACCES */
export function demand(
  reference: KeyReference,
  credentials: KeyCredentials,
  need: Need,
  syscall = 'keyctl',
): void {
  if (isPermitted(reference, credentials, need)) return
  const name = NAMES[need]
  throw keyError('EACCES', `${reference.key} does not permit this caller to ${name} it`, syscall)
}

const NAMES: Readonly<Record<Need, string>> = {
  1: 'view',
  2: 'read',
  4: 'write',
  8: 'search',
  16: 'link',
  32: 'set the attributes of',
}
