/**
 * A folder of the service, held by a descriptor: what is done in it is done in this folder, whatever its path leads to
 * meanwhile, and never through a link.
 *
 * Node has no openat(2) and no unlinkat(2): a name below /proc/self/fd/<descriptor> is the same. Where there is no /proc,
 * or no descriptor free, its path is used, if all above it is root's or the service's.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  opendirSync,
  openSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { SystemError } from './errors.js'
import { isSafe } from './safe-places.js'

const { O_CREAT, O_DIRECTORY = 0, O_EXCL, O_NOFOLLOW = 0, O_RDONLY, O_WRONLY } = constants
const PERMISSIONS = 0o7777
const OWNER_ONLY = 0o600
const UNCHANGED = -1
/** How many entries are read at a time. */
const ENTRIES_AT_ONCE = 256

/** Whose a file is to be; what is left out stays the service's. */
interface Owner {
  readonly uid: number
  readonly gid: number | undefined
}

export interface Entry {
  readonly name: string
  readonly isFolder: boolean
}

export class Folder {
  readonly path: string
  readonly #fd: number | undefined
  /** What stands before the names of its entries. */
  readonly #base: string

  private constructor(path: string, fd: number | undefined, base: string) {
    this.path = path
    this.#fd = fd
    this.#base = base
  }

  /**
   * @param modes those that it may have; default: any
   * @throws what the system says; SystemError EPERM for one that is not this user's or has another mode, and for one that
   *   can only be had by its name where others may exchange it
   */
  static open(path: string, modes?: readonly number[]): Folder {
    return Folder.#open(path, path, modes)
  }

  /**
   * Makes one with a random name.
   * @param prefix of its path
   * @throws what the system says; nothing is left then
   */
  static make(prefix: string, mode: number): Folder {
    return Folder.#make(prefix, mode, path => path)
  }

  /** @param path where it is; it is opened there as `given` */
  static #open(given: string, path: string, modes: readonly number[] | undefined): Folder {
    const fd = openFolder(given)
    try {
      const stat = fd === undefined ? lstatSync(given, { bigint: true }) : fstatSync(fd, { bigint: true })
      if (!isOwn(stat, modes)) throw refused('is not one that this service has made', path)
      const base = fd === undefined ? undefined : baseOf(fd, stat)
      if (base === undefined && !isSafe(dirname(path))) {
        throw refused('can only be had by its name, and others could exchange it', path)
      }
      return new Folder(path, fd, base ?? path)
    } catch (error) {
      if (fd !== undefined) closeSync(fd)
      throw error
    }
  }

  static #make(prefix: string, mode: number, pathOf: (made: string) => string): Folder {
    const made = mkdtempSync(prefix)
    const path = pathOf(made)
    try {
      const folder = Folder.#open(made, path, undefined)
      if (folder.#fd === undefined) {
        throw new SystemError('EMFILE', `no descriptor is free to make a folder: ${path}`, {
          syscall: 'open',
          path,
        })
      }
      // Exactly this one, whatever the umask, the folder above it or its access control list have added or taken.
      fchmodSync(folder.#fd, mode)
      return folder
    } catch (error) {
      removeEmpty(made)
      throw error
    }
  }

  /** One below it, with a random name. @throws as `make` */
  make(prefix: string, mode: number): Folder {
    return this.#tell(prefix, path => Folder.#make(path, mode, made => join(this.path, basename(made))))
  }

  /** One below it. @throws as `Folder.open` */
  open(name: string, modes: readonly number[]): Folder {
    return this.#tell(name, path => Folder.#open(path, join(this.path, name), modes))
  }

  /**
   * Writes a file that is not there yet. It is given away when all of it is written.
   * @throws what the system says; what there is of it then is the caller's to remove
   */
  write(name: string, bytes: Uint8Array, mode: number, owner?: Owner): void {
    this.#tell(name, path => {
      const fd = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, OWNER_ONLY)
      try {
        fchmodSync(fd, mode)
        writeFileSync(fd, bytes)
        if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid ?? UNCHANGED)
      } finally {
        closeSync(fd)
      }
    })
  }

  /** Opens a file to read it; to be closed by the caller. @throws what the system says */
  openFile(name: string): number {
    return this.#tell(name, path => openSync(path, O_RDONLY | O_NOFOLLOW))
  }

  /** Removes what is no folder, a link itself and not what it leads to. What cannot be removed stays. */
  remove(name: string): void {
    try {
      unlinkSync(`${this.#base}/${name}`)
    } catch {
      // It has gone already, or a folder has come to its place.
    }
  }

  /** Removes an empty folder; one that is not stays. */
  removeFolder(name: string): void {
    removeEmpty(`${this.#base}/${name}`)
  }

  /** Some of its entries. @throws what the system says */
  entries(most: number): Entry[] {
    return entriesOf(this.#base, most)
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
  }

  /** Errors tell the path, and not by which descriptor it was reached. */
  #tell<T>(name: string, act: (path: string) => T): T {
    try {
      return act(`${this.#base}/${name}`)
    } catch (error) {
      const { message, path } = error as NodeJS.ErrnoException
      const shown = (text: string) => text.replace(`${this.#base}/`, () => `${this.path}/`)
      if (path !== undefined && shown(path) !== path) {
        Object.assign(error as Error, { message: shown(message), path: shown(path) })
      }
      throw error
    }
  }
}

/** Removes an empty folder; what is not one stays. */
export function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // It has gone already, or what is in it is not the service's.
  }
}

/** The first entries of a folder, at most so many. @throws what the system says */
export function entriesOf(path: string, most: number): Entry[] {
  const entries: Entry[] = []
  const folder = opendirSync(path, { bufferSize: ENTRIES_AT_ONCE })
  try {
    while (entries.length < most) {
      const entry = folder.readSync()
      if (entry === null) break
      entries.push({ name: entry.name, isFolder: entry.isDirectory() })
    }
  } finally {
    folder.closeSync()
  }
  return entries
}

/** @returns undefined where no descriptor is free */
function openFolder(path: string): number | undefined {
  try {
    return openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EMFILE' || code === 'ENFILE') return undefined
    throw error
  }
}

function isOwn(stat: BigIntStats, modes: readonly number[] | undefined): boolean {
  const self = process.geteuid?.()
  if (!stat.isDirectory() || (self !== undefined && stat.uid !== BigInt(self))) return false
  return modes === undefined || modes.includes(Number(stat.mode) & PERMISSIONS)
}

/** @returns undefined where there is no /proc, or it is not this process's */
function baseOf(fd: number, { dev, ino }: BigIntStats): string | undefined {
  const base = `/proc/self/fd/${fd}`
  try {
    const there = statSync(base, { bigint: true })
    return there.dev === dev && there.ino === ino ? base : undefined
  } catch {
    return undefined
  }
}

const refused = (what: string, path: string) =>
  new SystemError('EPERM', `a folder ${what}: ${path}`, { syscall: 'open', path })
