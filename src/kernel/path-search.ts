/**
 * Finds a program in PATH, as execvp(3) does.
 */
import { accessSync, constants, statSync } from 'node:fs'
import { join } from 'node:path'
import { errno } from '../libc/index.js'

/**
 * @param program a name without a slash
 * @param search directories between colons; an empty one is the working directory
 * @param cwd the helper's working directory, from which relative directories are meant
 * @returns the first file of that name that may be executed; else EACCES if there was one that may not
 *   be, else ENOENT, as a positive number
 */
export function findProgram(program: string, search: string, cwd: string | undefined): string | number {
  let found = errno('ENOENT')
  if (program === '') return found
  for (const directory of search.split(':')) {
    const relative = directory.startsWith('/') ? directory : join(cwd ?? process.cwd(), directory)
    const candidate = join(relative, program)
    try {
      accessSync(candidate, constants.X_OK)
      if (statSync(candidate).isFile()) return candidate
      found = errno('EACCES')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') found = errno('EACCES')
    }
  }
  return found
}
