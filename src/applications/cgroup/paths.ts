/**
 * The paths of groups: '/' and names between slashes. Repeated and trailing slashes mean nothing.
 */
import { SystemError, wrongType } from '../../kernel/errors.js'

/** The folder of a real group has this behind its name, so that no name is one of cgroupfs's own files. */
export const FOLDER_SUFFIX = '.group'

const LONGEST_NAME = 255 - FOLDER_SUFFIX.length
const LONGEST_PATH = 4_095

/**
 * @returns its names, none for the root
 * @throws SystemError EINVAL, ENAMETOOLONG; TypeError
 */
export function namesOf(path: string): string[] {
  if (typeof path !== 'string') throw wrongType('path', 'of type string', path)
  if (!path.startsWith('/')) throw invalid(path, 'the path of a group begins with /')
  if (Buffer.from(path).toString() !== path) throw invalid(path, 'not well-formed text')
  if (Buffer.byteLength(path) > LONGEST_PATH) throw tooLong(path, `a path has at most ${LONGEST_PATH} bytes`)
  const names = path.split('/').filter(name => name !== '')
  for (const name of names) {
    if (name === '.' || name === '..') throw invalid(path, `there is no ${name} in the path of a group`)
    if (/[\n\0]/.test(name)) throw invalid(path, 'no line feed and no NUL may be in the name of a group')
    if (Buffer.byteLength(name) > LONGEST_NAME)
      throw tooLong(path, `a name has at most ${LONGEST_NAME} bytes`)
  }
  return names
}

export const pathOf = (names: readonly string[]): string => `/${names.join('/')}`

const shown = (path: string): string => JSON.stringify(path.length > 80 ? `${path.slice(0, 80)}…` : path)

const invalid = (path: string, what: string) =>
  new SystemError('EINVAL', `${what}: ${shown(path)}`, { syscall: 'mkdir', path })

const tooLong = (path: string, what: string) =>
  new SystemError('ENAMETOOLONG', `${what}: ${shown(path)}`, { syscall: 'mkdir', path })
