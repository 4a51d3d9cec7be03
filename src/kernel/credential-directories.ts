/**
 * The convention of systemd: a helper finds its secrets as files in $CREDENTIALS_DIRECTORY.
 *
 * A folder for each call, mode 0700, and its files, mode 0400, belong to the user that the helper runs as; they lie in
 * memory where there is such a place. Above them is one of the service's, which others may pass but not list. Its name
 * tells the service, so that the next boot finds what one that was killed has left (`service-folders.ts`).
 */
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Keyring } from './keyring.js'
import { startOf } from './process-tree.js'
import { hasGone, makeServiceFolder, removeLeftFolders } from './service-folders.js'

const IN_MEMORY = '/dev/shm'
const KIND = 'credentials'
const PREFIX = 'helper-'
const PASSABLE = 0o711
const READABLE = 0o400
const UNCHANGED = -1
/** How often it is looked whether helpers that nobody waits for have ended. */
const LOOK_MS = 500

const CREDENTIALS_DIRECTORY = 'CREDENTIALS_DIRECTORY'

/** An environment that tells the folder. */
export const withDirectory = (envp: readonly string[], path: string): string[] => [
  ...envp.filter(entry => !entry.startsWith(`${CREDENTIALS_DIRECTORY}=`)),
  `${CREDENTIALS_DIRECTORY}=${path}`,
]

interface Helper {
  readonly pid: number
  readonly start: number | undefined
}

const own = new Set<CredentialDirectories>()
process.on('exit', () => {
  for (const directories of own) directories.close()
})

export class CredentialDirectories {
  #root: string | undefined
  /** Folders of helpers that nobody waits for, and those of helpers that have gone which could not be removed. */
  readonly #left = new Map<string, Helper | undefined>()
  #look: NodeJS.Timeout | undefined

  /**
   * Writes a keyring's secrets for one helper.
   * @throws what the system says; nothing is left then
   */
  create(keyring: Keyring, uid: number | undefined, gid: number | undefined): string {
    const path = this.#makeFolder()
    try {
      for (const [name, secret] of keyring.entries()) {
        const file = join(path, name)
        writeFileSync(file, secret, { mode: READABLE, flag: 'wx' })
        if (uid !== undefined) chownSync(file, uid, gid ?? UNCHANGED)
      }
      if (uid !== undefined) chownSync(path, uid, gid ?? UNCHANGED)
    } catch (error) {
      this.release(path, undefined)
      throw error
    }
    return path
  }

  /** The root is made anew where something has removed it, as what cleans such places may. */
  #makeFolder(): string {
    try {
      return mkdtempSync(join(this.#makeRoot(), PREFIX))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.#root = undefined
      return mkdtempSync(join(this.#makeRoot(), PREFIX))
    }
  }

  #makeRoot(): string {
    if (this.#root === undefined) {
      this.#root = makeServiceFolder(place(), KIND)
      chmodSync(this.#root, PASSABLE)
      own.add(this)
    }
    return this.#root
  }

  /**
   * The call is over.
   * @param pid of a helper that still runs: the folder goes with it
   */
  release(path: string, pid: number | undefined): void {
    if (pid === undefined && removed(path)) return
    // Where it could not be removed (no descriptor is left, say), it is tried again as if its helper had just gone.
    this.#left.set(path, pid === undefined ? undefined : { pid, start: startOf(pid) })
    this.#look ??= setInterval(() => this.#removeEnded(), LOOK_MS).unref()
  }

  #removeEnded(): void {
    for (const [path, helper] of this.#left) {
      if (helper !== undefined && !hasGone(helper.pid, helper.start)) continue
      if (removed(path)) this.#left.delete(path)
    }
    if (this.#left.size > 0) return
    clearInterval(this.#look)
    this.#look = undefined
  }

  /** Removes what no helper needs any more. What some still need is the next boot's to remove. */
  close(): void {
    this.#removeEnded()
    clearInterval(this.#look)
    if (this.#root !== undefined && this.#left.size === 0) {
      rmSync(this.#root, { recursive: true, force: true })
      own.delete(this)
      this.#root = undefined
    }
  }
}

/** @returns whether a folder is not there any more */
function removed(path: string): boolean {
  try {
    rmSync(path, { recursive: true, force: true })
    return true
  } catch {
    return false
  }
}

/** Removes what services of this user have left behind that have gone. */
export const removeLeftCredentials = (): void => removeLeftFolders(place(), KIND)

function place(): string {
  try {
    accessSync(IN_MEMORY, constants.W_OK | constants.X_OK)
    return IN_MEMORY
  } catch {
    return tmpdir()
  }
}
