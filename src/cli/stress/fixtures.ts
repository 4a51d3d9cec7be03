/**
 * A private folder: what operations need of files, and where everything temporary of this process goes meanwhile, so
 * that what is left of it is seen.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const IN_MEMORY = '/dev/shm'

export class Fixtures {
  readonly #folder = mkdtempSync(join(tmpdir(), 'khelper-stress-'))
  readonly #temporary = join(this.#folder, 'tmp')
  readonly #tmpdirBefore = process.env['TMPDIR']
  /** Not executable. */
  readonly plain = join(this.#folder, 'plain')
  /** Executable, and no program. */
  readonly nonsense = join(this.#folder, 'nonsense')
  readonly missing = join(this.#folder, 'missing')
  /** Written to by many helpers. */
  readonly shared = join(this.#folder, 'shared')
  readonly folder = join(this.#folder, 'folder')
  /** Empty. */
  readonly mountPoint = join(this.#folder, 'disk')
  #names = 0

  constructor() {
    mkdirSync(this.folder)
    mkdirSync(this.mountPoint)
    mkdirSync(this.#temporary)
    writeFileSync(this.plain, '#!/bin/sh\nexit 0\n', { mode: 0o644 })
    writeFileSync(this.nonsense, '\0nothing that can be run', { mode: 0o755 })
    process.env['TMPDIR'] = this.#temporary
  }

  /** A file's path that nobody else has. */
  path(): string {
    this.#names += 1
    return join(this.folder, String(this.#names))
  }

  /** Temporary files and folders of this process that are there now. */
  left(): string[] {
    const own = `khelper-credentials-${process.pid}-`
    return [
      ...readdirSync(this.#temporary).map(name => join(this.#temporary, name)),
      ...names(IN_MEMORY)
        .filter(name => name.startsWith(own))
        .map(name => join(IN_MEMORY, name)),
    ]
  }

  remove(): void {
    if (this.#tmpdirBefore === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = this.#tmpdirBefore
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
