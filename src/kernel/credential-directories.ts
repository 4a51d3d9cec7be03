/**
 * The convention of systemd: a helper finds its secrets as files in $CREDENTIALS_DIRECTORY.
 *
 * A folder for each call; they lie in memory where there is such a place. It is the service's, so that a helper of another
 * user can add nothing, take nothing away and put nothing in its place; such a helper may pass it, and knows the names.
 * The files, mode 0400, belong to the user that the helper runs as. Above the folders is another of the service's, which
 * others may pass but not list. Its name tells the service, so that the next boot finds what one that was killed has left
 * (`service-folders.ts`).
 */
import { Folder, removeEmpty } from './folder.js'
import type { Keyring } from './keyring.js'
import { startOf } from './process-tree.js'
import { placeForSecrets } from './safe-places.js'
import { hasGone, makeServiceFolder, PASSABLE, removeFolder, removeLeftFolders } from './service-folders.js'

const KIND = 'credentials'
const PREFIX = 'helper-'
const PRIVATE = 0o700
const READABLE = 0o400
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
  /** The names of the files in each folder: what a helper of the service's user has put beside them is not removed. */
  readonly #names = new Map<string, readonly string[]>()
  /** Folders of helpers that nobody waits for. */
  readonly #left = new Map<string, Helper>()
  #look: NodeJS.Timeout | undefined

  /**
   * Writes a keyring's secrets for one helper.
   * @throws what the system says; SystemError EACCES if there is no safe place; nothing is left then
   */
  create(keyring: Keyring, uid: number | undefined, gid: number | undefined): string {
    const owner = uid === undefined ? undefined : { uid, gid }
    const folder = this.#makeFolder(uid === undefined || uid === process.geteuid?.() ? PRIVATE : PASSABLE)
    const { path } = folder
    this.#names.set(path, keyring.names)
    try {
      for (const [name, secret] of keyring.entries()) folder.write(name, secret, READABLE, owner)
    } catch (error) {
      this.release(path, undefined)
      throw error
    } finally {
      folder.close()
    }
    return path
  }

  #makeFolder(mode: number): Folder {
    const root = this.#openRoot()
    try {
      return root.make(PREFIX, mode)
    } finally {
      root.close()
    }
  }

  /** It is made anew where something has removed it, as what cleans such places may, or another has come to its path. */
  #openRoot(): Folder {
    if (this.#root !== undefined) {
      try {
        return Folder.open(this.#root, [PASSABLE])
      } catch {
        this.#root = undefined
      }
    }
    this.#root = makeServiceFolder(placeForSecrets(), KIND)
    own.add(this)
    return Folder.open(this.#root, [PASSABLE])
  }

  /**
   * The call is over.
   * @param pid of a helper that still runs: the folder goes with it
   */
  release(path: string, pid: number | undefined): void {
    if (pid === undefined) {
      this.#remove(path)
      return
    }
    this.#left.set(path, { pid, start: startOf(pid) })
    this.#look ??= setInterval(() => this.#removeEnded(), LOOK_MS).unref()
  }

  #remove(path: string): void {
    removeFolder(path, this.#names.get(path) ?? [])
    this.#names.delete(path)
  }

  #removeEnded(): void {
    for (const [path, helper] of this.#left) {
      if (!hasGone(helper.pid, helper.start)) continue
      this.#remove(path)
      this.#left.delete(path)
    }
    if (this.#left.size > 0) return
    clearInterval(this.#look)
    this.#look = undefined
  }

  /** Removes what no helper needs any more. What some still need is the next boot's to remove. */
  close(): void {
    this.#removeEnded()
    clearInterval(this.#look)
    if (this.#left.size > 0) return
    // Of calls that the end of the process breaks off.
    for (const path of this.#names.keys()) this.#remove(path)
    if (this.#root !== undefined) removeEmpty(this.#root)
    this.#root = undefined
    own.delete(this)
  }
}

/** Removes what services of this user have left behind that have gone. */
export function removeLeftCredentials(): void {
  try {
    removeLeftFolders(placeForSecrets(), KIND)
  } catch {
    // Where there is no safe place none has left anything there.
  }
}
