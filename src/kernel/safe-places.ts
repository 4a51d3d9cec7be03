/**
 * Where folders of the service may lie: only where nobody but root and the service's user can put something else in their
 * place (`trusted-path.ts`).
 */
import { accessSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { SystemError } from './errors.js'
import { distrustedFolder } from './trusted-path.js'

/** In memory. */
const SHARED_MEMORY = '/dev/shm'
const OTHER_PLACES = ['/tmp', '/var/tmp', SHARED_MEMORY]

/**
 * Whether what this user makes in a folder stays what is found under its name.
 * @throws what the system says of a folder that cannot be looked at
 */
export const isSafe = (folder: string): boolean =>
  process.geteuid === undefined || distrustedFolder(folder) === undefined

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
