/**
 * What the other end is told of an error.
 */
import { isSystemError, SystemError } from '../../kernel/errors.js'
import type { ErrnoName } from '../../libc/errno.js'
import { type CallFailure, format } from './protocol.js'

/** What is about the connection, and answers no request. */
const NO_REQUEST = 0

/** What went wrong, without what is nobody's business. */
export function failureOf(error: unknown): CallFailure {
  if (isSystemError(error)) return { code: error.code, message: error.message, retval: error.retval }
  const { code, message } = error as NodeJS.ErrnoException
  const invalid = typeof code === 'string' && /^ERR_(INVALID|OUT_OF_RANGE)/.test(code)
  return failureOf(new SystemError(invalid ? 'EINVAL' : 'EIO', message))
}

/** The last that a connection is told. */
export const farewell = (code: ErrnoName, message: string): string =>
  format({ id: NO_REQUEST, error: failureOf(new SystemError(code, message)) })
