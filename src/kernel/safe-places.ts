/**
 * Where folders of the service may lie: only where nobody but root and the service's user can put something else in their
 * place. So it is asked of a place and of all folders above it whose they are, and who may rename what is in them.
 */
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { SystemError } from './errors.js'

const WRITABLE_BY_OTHERS = 0o022
/** Who may write to it may rename and remove only what is their own. */
const STICKY = 0o1000
const ROOT = 0
/** In memory. */
const SHARED_MEMORY = '/dev/shm'
const OTHER_PLACES = ['/tmp', '/var/tmp', SHARED_MEMORY]

/**
 * Whether what this user makes in a folder stays what is found under its name.
 * @throws what the system says of a folder that cannot be looked at
 */
export function isSafe(folder: string): boolean {
  const self = process.geteuid?.()
  if (self === undefined) return true
  // In a user namespace the owner of the root may have no number of its own.
  const trusted = new Set([ROOT, self, statSync('/').uid])
  for (let path = realpathSync(folder); ; path = dirname(path)) {
    const { uid, mode } = statSync(path)
    if (!trusted.has(uid)) return false
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0) return false
    if (path === dirname(path)) return true
  }
}

/**
 * The first of some folders that is safe and may be written to, else one for temporary files.
 * @throws as `temporaryPlace`
 */
export const safePlace = (preferred: readonly string[]): string =>
  preferred.find(isUsable) ?? temporaryPlace()

/** For secrets: in memory where that can be had. */
export const placeForSecrets = (): string => safePlace([SHARED_MEMORY])

/**
 * The folder for temporary files; where it is not safe, another one.
 * @param fits whether a place will do
 * @throws what the system says of TMPDIR; SystemError EACCES if there is none that is safe
 */
export function temporaryPlace(fits: (place: string) => boolean = () => true): string {
  const first = tmpdir()
  if (isSafe(first) && fits(first)) return first
  const other = OTHER_PLACES.find(place => isUsable(place) && fits(place))
  if (other !== undefined) return other
  throw new SystemError(
    'EACCES',
    `others can exchange what is in the folder for temporary files: ${first}; set TMPDIR to one that belongs to this user or root, as do all above it, and that nobody else can write to, unless it is sticky`,
    { syscall: 'mkdtemp', path: first },
  )
}

function isUsable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return isSafe(folder)
  } catch {
    return false
  }
}
