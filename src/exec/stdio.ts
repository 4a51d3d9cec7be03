/**
 * What a khelper opens for a helper's descriptors 0, 1 and 2, and closes again after the launch.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { Stdio } from '../kernel/memory.js'
import { errnoOf } from '../libc/index.js'

const MODE_OF_NEW_FILES = 0o666

const OPEN_FLAGS: Readonly<Record<number, number>> = {
  [Stdio.READ_FILE]: constants.O_RDONLY,
  [Stdio.WRITE_FILE]: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  [Stdio.APPEND_FILE]: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
}

/** Opens the file of a stdio entry; gives `-errno` where it cannot be. */
export function openStdioFile(kind: number, path: string): number {
  try {
    return openSync(path, OPEN_FLAGS[kind] ?? constants.O_RDONLY, MODE_OF_NEW_FILES)
  } catch (error) {
    return -errnoOf(error, 'EIO')
  }
}

/** Closes what `openStdioFile` opened. */
export function closeStdioFile(fd: number): void {
  closeSync(fd)
}
