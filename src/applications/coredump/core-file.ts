/**
 * A dump to a file: never to one that is there, nor through a link, nor readable by others.
 */
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs'
import { SystemError } from '../../kernel/errors.js'

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_WRONLY } = constants
const OWNER_ONLY = 0o600

/**
 * @param path relative to the service's working directory, if it is relative. A file or link that is there is removed
 *   first, as in Linux
 * @throws the error of the step that failed
 */
export function writeCore(path: string, bytes: Uint8Array): void {
  if (path === '') throw new SystemError('ENOENT', 'kernel.core_pattern gives no name', { syscall: 'open' })
  try {
    unlinkSync(path)
  } catch {
    // Nothing is there, or what is there stays, and the open says so.
  }
  const fd = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, OWNER_ONLY)
  try {
    emit(fd, bytes)
  } finally {
    closeSync(fd)
  }
}

/** One write, which writes all or has failed (dump_emit). */
function emit(fd: number, bytes: Uint8Array): void {
  const written = writeSync(fd, bytes)
  if (written !== bytes.byteLength) {
    throw new SystemError('EIO', `only ${written} of ${bytes.byteLength} bytes could be written`, {
      syscall: 'write',
    })
  }
}
