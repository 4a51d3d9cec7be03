/**
 * How this room says no. Descriptions are shown, payloads and callout infos never.
 */
import { SystemError } from '../../kernel/errors.js'
import { type ErrnoName, errno, errnoName } from '../../libc/errno.js'

/** What Linux's functions give where they fail, as a name: searches weigh these against each other. */
export type ErrorCode = ErrnoName

export const keyError = (code: ErrorCode, message: string, syscall = 'keyctl', cause?: unknown) =>
  new SystemError(code, message, { syscall, ...(cause === undefined ? {} : { cause }) })

/** An error for a number that somebody else chose, which may have no name on this platform. */
export function numberedError(number: number, message: string, syscall: string): SystemError {
  const name = errnoName(number)
  return isErrorName(name)
    ? new SystemError(name, message, { syscall })
    : new SystemError('EIO', `${message} (error ${number})`, { syscall, retval: -Math.abs(number) })
}

export function isErrorName(name: string): name is ErrorCode {
  try {
    return errno(name as ErrorCode) > 0
  } catch {
    return false
  }
}

/** Types whose names begin with a dot are not for whoever is outside. */
export const ownType = (name: string, syscall: string) =>
  keyError('EPERM', `keys of type ${name} are the kernel's own`, syscall)

/** What a description looks like in a message. */
export const shownDescription = (type: string, description: string): string =>
  `${type} '${description.length > 128 ? `${description.slice(0, 128)}…` : description}'`
