/**
 * Files for a helper's descriptors 0, 1 and 2: how they are opened, by the exec step in the helper's own process, or with
 * the launcher child_process by the thread that starts it.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Stdio } from '../kernel/memory.js'

const MODE_OF_NEW_FILES = 0o666

/** Never a controlling terminal. */
const OPEN_FLAGS: Readonly<Record<number, number>> = {
  [Stdio.READ_FILE]: constants.O_RDONLY | constants.O_NOCTTY,
  [Stdio.WRITE_FILE]: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOCTTY,
  [Stdio.APPEND_FILE]: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOCTTY,
}

/** The flags of open(2) for a stdio entry of this kind. */
export const openFlags = (kind: number): number => OPEN_FLAGS[kind] ?? constants.O_RDONLY | constants.O_NOCTTY

/** Opens the file of a stdio entry without waiting on this thread: opening a FIFO waits for its other end. */
export const openStdioFile = (kind: number, path: string): Promise<FileHandle> =>
  open(path, openFlags(kind), MODE_OF_NEW_FILES)
