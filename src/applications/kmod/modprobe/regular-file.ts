/**
 * Reads what lies in folders that others fill: what is no regular file, such as a FIFO that nobody writes to, could keep
 * its reader for ever.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { SystemError } from '../../../kernel/errors.js'

/** @throws SystemError EINVAL for what is no regular file; what open(2) says */
export function readRegularFile(path: string): string {
  // To open a FIFO would wait for its writer without O_NONBLOCK.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!fstatSync(fd).isFile()) throw new SystemError('EINVAL', `not a regular file: ${path}`, { path })
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}
