/**
 * A mistake in the command line or in a file named there: told in one line, without a stack.
 */
export class UsageError extends Error {}

/** What Node says of a file that cannot be used, without its syscall. */
export function fileProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'No such file or directory',
    EACCES: 'Permission denied',
    EISDIR: 'Is a directory',
    ENOSPC: 'No space left on device',
    EROFS: 'Read-only file system',
  }
  return reasons[code ?? ''] ?? message
}
