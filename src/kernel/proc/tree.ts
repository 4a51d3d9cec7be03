/**
 * A tree of small files that exist only while they are read: what /proc is on Linux.
 */
import { SystemError, wrongType } from '../errors.js'

/** One file. Without `write` it cannot be written to, without `read` not be read. */
export interface ProcFile {
  /** @returns the whole content, as it is now */
  read?(): string
  /** @throws SystemError for what Linux would not take, with nothing changed */
  write?(data: string): void
}

export class ProcTree {
  readonly #files = new Map<string, ProcFile>()

  /**
   * Puts a file at a path, in the place of what may be there (proc_create).
   * @returns takes it away again
   */
  define(path: string, file: ProcFile): () => void {
    const name = normal(path, 'open')
    this.#files.set(name, file)
    return () => {
      if (this.#files.get(name) === file) this.#files.delete(name)
    }
  }

  /**
   * Reads a file.
   * @throws SystemError ENOENT, EISDIR, EACCES for a file that is only written to
   */
  read(path: string): string {
    const file = this.#file(path)
    if (file.read === undefined) throw failure('EACCES', 'cannot be read', path)
    return file.read()
  }

  /**
   * Writes to a file, all at once.
   * @throws SystemError ENOENT, EISDIR, EACCES for a file that is only read, and what the file itself does not take
   */
  write(path: string, data: string): void {
    if (typeof data !== 'string') throw wrongType('data', 'of type string', data)
    const file = this.#file(path)
    if (file.write === undefined) throw failure('EACCES', 'cannot be written to', path)
    file.write(data)
  }

  /**
   * The names in a folder, sorted; those of folders end with a slash.
   * @throws SystemError ENOENT, ENOTDIR
   */
  list(path: string): string[] {
    const folder = normal(path, 'open')
    if (this.#files.has(folder)) throw failure('ENOTDIR', 'not a folder', path)
    const prefix = folder === '/' ? '/' : `${folder}/`
    const names = new Set<string>()
    for (const file of this.#files.keys()) {
      if (!file.startsWith(prefix)) continue
      const [name = '', ...deeper] = file.slice(prefix.length).split('/')
      names.add(deeper.length > 0 ? `${name}/` : name)
    }
    if (names.size === 0) throw failure('ENOENT', 'no such file or folder', path)
    return [...names].sort()
  }

  /** Whether a file may be written to, and read. */
  access(path: string): { readonly readable: boolean; readonly writable: boolean } {
    const file = this.#file(path)
    return { readable: file.read !== undefined, writable: file.write !== undefined }
  }

  #file(path: string): ProcFile {
    const name = normal(path, 'open')
    const file = this.#files.get(name)
    if (file !== undefined) return file
    const prefix = name === '/' ? '/' : `${name}/`
    for (const other of this.#files.keys()) {
      if (other.startsWith(prefix)) throw failure('EISDIR', 'a folder, not a file', path)
      if (name.startsWith(`${other}/`)) throw failure('ENOTDIR', 'not a folder', other)
    }
    throw failure('ENOENT', 'no such file', path)
  }
}

/** Repeated and trailing slashes mean nothing; there is no `.` and no `..`. */
function normal(path: unknown, syscall: string): string {
  if (typeof path !== 'string') throw wrongType('path', 'of type string', path)
  if (!path.startsWith('/')) {
    throw new SystemError('ENOENT', `a path in this tree begins with /proc/: ${path}`, { syscall, path })
  }
  const name = path.replace(/\/+/g, '/')
  return name.length > 1 && name.endsWith('/') ? name.slice(0, -1) : name
}

const failure = (code: 'ENOENT' | 'EACCES' | 'EISDIR' | 'ENOTDIR', what: string, path: string) =>
  new SystemError(code, `${what}: ${path}`, { syscall: 'open', path })
