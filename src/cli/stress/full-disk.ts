/**
 * A disk that is full: a file system in memory that has neither a byte nor an inode left. It is mounted in a namespace of
 * its own, which goes with the process that holds it, and which the system around does not see; /proc shows it to us.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const PAGE_BYTES = 4096
/** Its root, a file that has taken every page, and one without a page. */
const OPTIONS = `size=${2 * PAGE_BYTES},nr_inodes=3,mode=700`
/** Of `unshare`: may mount, and nobody else sees it. */
export const NAMESPACES: readonly string[] = ['--user', '--map-root-user', '--mount']
/** Says a line when it is there, and stays until its input ends. */
const MOUNT = `mount -t tmpfs -o ${OPTIONS} none "$0" && echo mounted && exec cat`

export class FullDisk {
  readonly #holder: ChildProcess
  readonly #gone: Promise<unknown>
  /** An empty file: what is written to it does not fit. */
  readonly file: string
  /** A file that cannot be made. */
  readonly newFile: string

  private constructor(holder: ChildProcess, gone: Promise<unknown>, root: string) {
    this.#holder = holder
    this.#gone = gone
    this.file = join(root, 'file')
    this.newFile = join(root, 'new')
  }

  /**
   * @param folder an empty one
   * @returns undefined where one may not mount, even as the only user of a namespace
   */
  static async mount(folder: string): Promise<FullDisk | undefined> {
    const holder = spawn('unshare', [...NAMESPACES, 'sh', '-c', MOUNT, folder], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // A terminal's Ctrl-C is for us.
      detached: true,
    })
    const gone = once(holder, 'close').catch(() => {})
    const mounted = await Promise.race([once(holder.stdout, 'data').then(() => true), gone.then(() => false)])
    if (!mounted) return undefined
    const disk = new FullDisk(holder, gone, `/proc/${holder.pid}/root${folder}`)
    closeSync(openSync(disk.file, 'w'))
    fill(join(disk.file, '..', 'full'))
    return disk
  }

  async unmount(): Promise<void> {
    this.#holder.stdin?.end()
    await this.#gone
  }
}

function fill(path: string): void {
  const full = openSync(path, 'w')
  try {
    for (;;) writeSync(full, Buffer.alloc(PAGE_BYTES))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(full)
  }
}
