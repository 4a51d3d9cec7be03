/**
 * khelper/usermode-driver: a long-running program that the service carries with it as bytes, and talks to over pipes;
 * as in Linux 6.16, kernel/usermode_driver.c.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { UMH_WAIT_EXEC } from '../../kernel/constants.js'
import { SystemError, shutDown, wrongType, wrongValue } from '../../kernel/errors.js'
import { Folder } from '../../kernel/folder.js'
import type { Kernel } from '../../kernel/kernel.js'
import type { Helper } from '../../kernel/run/types.js'
import { safePlace } from '../../kernel/safe-places.js'
import { makeServiceFolder, removeFolder, removeLeftFolders } from '../../kernel/service-folders.js'
import { type ErrnoName, errnoName } from '../../libc/errno.js'
import { perKernel } from '../per-kernel.js'

/** A driver (struct umd_info). */
export class UmdInfo {
  readonly driverName: string
  /** From its start to its clean-up: what is written is its standard input. */
  pipeToUmh: Writable | undefined
  /** From its start to its clean-up: its standard output. */
  pipeFromUmh: Readable | undefined
  /** From its start to its clean-up: its process. */
  tgid: number | undefined

  /** @param driverName the name of its file and its `argv[0]` */
  constructor(driverName: string) {
    if (typeof driverName !== 'string') throw wrongType('driverName', 'of type string', driverName)
    if (!/^[^/\0]{1,255}$/.test(driverName) || driverName === '.' || driverName === '..') {
      throw wrongValue('driverName', 'must be the name of a file, without a slash')
    }
    this.driverName = driverName
  }
}

interface Driver {
  /** The private folder with the program; `undefined`: not loaded. */
  folder: string | undefined
  /** Being started, or running. */
  helper: Helper | undefined
}

const OWNER_ONLY = 0o700
const FOLDER_KIND = 'umd'
const MEMORY_FOLDERS = ['/dev/shm', '/run']

/** Drivers do not outlive their service, and leave nothing behind. */
const exits = new Set<() => void>()
process.on('exit', () => {
  for (const exit of exits) exit()
})

export class UsermodeDrivers {
  readonly #kernel: Kernel
  readonly #drivers = new Map<UmdInfo, Driver>()

  /** @internal See `usermodeDrivers`. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel
    removeLeft()
    const exit = () => this.#unloadAll()
    exits.add(exit)
    kernel.onShutdown(() => {
      exits.delete(exit)
      this.#unloadAll()
    })
  }

  /**
   * Puts a driver's program into a private folder, in memory where that can be had (umd_load_blob).
   * @param bytes a program, or a script that begins with `#!`
   * @throws SystemError EBUSY if it is loaded already; the error of the file system, with nothing left behind;
   *   ERR_KHELPER_SHUT_DOWN
   */
  umdLoadBlob(info: UmdInfo, bytes: Uint8Array): void {
    checkInfo(info)
    if (!(bytes instanceof Uint8Array)) throw wrongType('bytes', 'a Uint8Array', bytes)
    if (this.#kernel.closed) throw shutDown()
    const driver = this.#driver(info)
    if (driver.folder !== undefined) throw refused('EBUSY', info, 'is loaded already', 'umd_load_blob')
    driver.folder = makeServiceFolder(place(), FOLDER_KIND)
    try {
      const folder = Folder.open(driver.folder)
      try {
        folder.write(info.driverName, bytes, OWNER_ONLY)
      } finally {
        folder.close()
      }
    } catch (error) {
      this.#removeBlob(info, driver)
      throw error
    }
  }

  /**
   * Takes a driver's program away again; one that runs goes on (umd_unload_blob).
   * @throws SystemError EINVAL if it is not loaded
   */
  umdUnloadBlob(info: UmdInfo): void {
    checkInfo(info)
    const driver = this.#drivers.get(info)
    if (driver?.folder === undefined) throw refused('EINVAL', info, 'is not loaded', 'umd_unload_blob')
    this.#removeBlob(info, driver)
    if (driver.helper === undefined) this.#drivers.delete(info)
  }

  /**
   * Starts a driver (fork_usermode_driver): its name is its only argument, its environment is empty, its folder is where
   * it works. `pipeToUmh`, `pipeFromUmh` and `tgid` are there then, until `umdCleanup`: whether it still runs is
   * the caller's to see, by the end of its output or `kill(info, 0)`.
   * @throws SystemError EBUSY if it runs; EINVAL if it is not loaded; ECANCELED if it is cleaned up
   *   meanwhile; what the exec failed with: both pipes are closed
   *   then, and `tgid` is cleared
   */
  async forkUsermodeDriver(info: UmdInfo): Promise<void> {
    checkInfo(info)
    const driver = this.#drivers.get(info)
    if (driver?.helper !== undefined) throw refused('EBUSY', info, 'runs already', 'fork_usermode_driver')
    if (driver?.folder === undefined) {
      throw refused('EINVAL', info, 'is not loaded; umdLoadBlob it first', 'fork_usermode_driver')
    }
    const path = join(driver.folder, info.driverName)
    const helper = this.#kernel.run(path, [], {
      argv0: info.driverName,
      env: [],
      cwd: driver.folder,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'ignore',
      reject: false,
      wait: UMH_WAIT_EXEC,
    })
    driver.helper = helper
    info.pipeToUmh = helper.stdin ?? undefined
    info.pipeFromUmh = helper.stdout ?? undefined
    // What a driver that has gone does not read is told by the end of its output, not by an exception.
    helper.stdin?.on('error', () => {})
    const { retval, pid } = await helper
    if (driver.helper !== helper) {
      kill(helper, 'SIGKILL', pid, this.#kernel)
      throw refused('ECANCELED', info, 'was taken back while it was started', 'fork_usermode_driver')
    }
    if (retval < 0) {
      this.#cleanup(info, driver)
      throw new SystemError(
        errnoName(retval) as ErrnoName,
        `driver ${info.driverName} could not be started`,
        {
          syscall: 'execve',
          path,
        },
      )
    }
    info.tgid = pid
  }

  /**
   * Ends a driver by SIGKILL, with whatever it has started in its process group, and closes its pipes; it can be forked
   * again then (umd_cleanup_helper). Nothing happens for one that does not run.
   */
  umdCleanup(info: UmdInfo): void {
    checkInfo(info)
    const driver = this.#drivers.get(info)
    if (driver?.helper === undefined) return
    this.#kill(info, 'SIGKILL')
    this.#cleanup(info, driver)
  }

  /**
   * Signals a driver that has been started, and its process group.
   * @param signal 0 sends nothing, and tells whether it is there
   * @returns whether there was one to signal
   */
  kill(info: UmdInfo, signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    checkInfo(info)
    return this.#kill(info, signal)
  }

  /** One that is still being started is ended when it has been. */
  #kill(info: UmdInfo, signal: NodeJS.Signals | number): boolean {
    const helper = this.#drivers.get(info)?.helper
    return helper !== undefined && info.tgid !== undefined && kill(helper, signal, info.tgid, this.#kernel)
  }

  /** Ends all drivers and removes their programs. */
  #unloadAll(): void {
    for (const [info, driver] of this.#drivers) {
      this.#kill(info, 'SIGKILL')
      this.#close(info)
      this.#removeBlob(info, driver)
      driver.helper = undefined
    }
    this.#drivers.clear()
  }

  #driver(info: UmdInfo): Driver {
    const known = this.#drivers.get(info)
    if (known !== undefined) return known
    const driver: Driver = { folder: undefined, helper: undefined }
    this.#drivers.set(info, driver)
    return driver
  }

  #cleanup(info: UmdInfo, driver: Driver): void {
    this.#close(info)
    driver.helper = undefined
    if (driver.folder === undefined) this.#drivers.delete(info)
  }

  #close(info: UmdInfo): void {
    info.pipeToUmh?.destroy()
    info.pipeFromUmh?.destroy()
    info.pipeToUmh = undefined
    info.pipeFromUmh = undefined
    info.tgid = undefined
  }

  /** What the driver itself has put into its folder stays there, for a later boot. */
  #removeBlob({ driverName }: UmdInfo, driver: Driver): void {
    if (driver.folder !== undefined) removeFolder(driver.folder, [driverName])
    driver.folder = undefined
  }
}

/** A kernel's drivers; they end with it. */
export const usermodeDrivers: (kernel: Kernel) => UsermodeDrivers = perKernel(
  kernel => new UsermodeDrivers(kernel),
)

function checkInfo(info: unknown): asserts info is UmdInfo {
  if (!(info instanceof UmdInfo)) throw wrongType('info', 'a UmdInfo', info)
}

const refused = (code: ErrnoName, { driverName }: UmdInfo, what: string, syscall: string) =>
  new SystemError(code, `driver ${driverName} ${what}`, { syscall })

/** With the launcher child_process nobody but the process's number tells of one whose exit is not waited for. */
function kill(
  helper: Helper,
  signal: NodeJS.Signals | number,
  pid: number | undefined,
  kernel: Kernel,
): boolean {
  if (kernel.launcher.name !== 'child_process') return helper.kill(signal)
  if (pid === undefined) return false
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}

/** In memory, where programs may be started from there (in a container often not); else where temporary files are. */
function place(): string {
  let mounts = ''
  try {
    mounts = readFileSync('/proc/self/mounts', 'utf8')
  } catch {
    // Not on Linux.
  }
  const inMemory = MEMORY_FOLDERS.filter(candidate => {
    const mount = mounts.split('\n').findLast(line => line.split(' ')[1] === candidate)
    const [, , type, flags = ''] = mount?.split(' ') ?? []
    return type === 'tmpfs' && !flags.split(',').includes('noexec')
  })
  // TMPDIR may be relative, and the driver is started in its folder.
  return resolve(safePlace(inMemory))
}

function removeLeft(): void {
  try {
    removeLeftFolders(place(), FOLDER_KIND)
  } catch {
    // Where there is no safe place none has left anything there.
  }
}
