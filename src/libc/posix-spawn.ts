/**
 * posix_spawn's two opaque structures: what a child's process attributes and its descriptors shall be.
 */
import type { Address, Library } from './library.js'

/** Above glibc's and musl's sizes of the structures (80 and 336 bytes on 64-bit glibc). */
const FILE_ACTIONS_BYTES = 128
const ATTRIBUTES_BYTES = 512
const SIGSET_BYTES = 128

const POSIX_SPAWN_SETPGROUP = 0x02
const POSIX_SPAWN_SETSIGDEF = 0x04
const POSIX_SPAWN_SETSIGMASK = 0x08
const POSIX_SPAWN_SETSID = 0x80

const O_RDWR = 2
const DEV_NULL = '/dev/null'

/** What a child belongs to: its parent's process group, a group of its own, a session of its own. */
export const ProcessGroup = { INHERITED: 0, OWN: 1, SESSION: 2 } as const
export type ProcessGroup = (typeof ProcessGroup)[keyof typeof ProcessGroup]

const GROUP_FLAG: Readonly<Record<ProcessGroup, number>> = {
  [ProcessGroup.INHERITED]: 0,
  [ProcessGroup.OWN]: POSIX_SPAWN_SETPGROUP,
  [ProcessGroup.SESSION]: POSIX_SPAWN_SETSID,
}

/**
 * Attributes with no signal blocked and every signal's action the default one: an exec'd child would
 * else inherit an ignored SIGPIPE and this thread's mask. Made once, kept for ever.
 */
export class SpawnAttributes {
  readonly #memory = new Uint8Array(ATTRIBUTES_BYTES)
  readonly address: Address

  constructor(library: Library, group: ProcessGroup) {
    const init = library.func('int posix_spawnattr_init(void *)')
    const setFlags = library.func('int posix_spawnattr_setflags(void *, short)')
    const setMask = library.func('int posix_spawnattr_setsigmask(void *, void *)')
    const setDefault = library.func('int posix_spawnattr_setsigdefault(void *, void *)')
    const setGroup = library.func('int posix_spawnattr_setpgroup(void *, int)')
    init(this.#memory)
    setMask(this.#memory, new Uint8Array(SIGSET_BYTES))
    setDefault(this.#memory, new Uint8Array(SIGSET_BYTES).fill(0xff))
    setGroup(this.#memory, 0)
    setFlags(this.#memory, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | GROUP_FLAG[group])
    this.address = library.addressOf(this.#memory)
  }
}

/** Makes `FileActions`; holds the functions, so that a thread looks them up once. */
export class FileActionsFactory {
  readonly #library: Library
  readonly #init
  readonly #destroy
  readonly #dup2
  readonly #open
  readonly #chdir
  readonly #closefrom
  readonly #close

  constructor(library: Library) {
    this.#library = library
    const { func } = library
    this.#init = func('int posix_spawn_file_actions_init(void *)')
    this.#destroy = func('int posix_spawn_file_actions_destroy(void *)')
    this.#dup2 = func('int posix_spawn_file_actions_adddup2(void *, int, int)')
    this.#open = func('int posix_spawn_file_actions_addopen(void *, int, const char *, int, int)')
    this.#chdir = func('int posix_spawn_file_actions_addchdir_np(void *, const char *)')
    this.#close = func('int posix_spawn_file_actions_addclose(void *, int)')
    this.#closefrom = func('int posix_spawn_file_actions_addclosefrom_np(void *, int)')
  }

  create(): FileActions {
    const memory = new Uint8Array(FILE_ACTIONS_BYTES)
    this.#init(memory)
    return {
      address: this.#library.addressOf(memory),
      duplicate: (from, to) => {
        this.#dup2(memory, from, to)
      },
      openNull: to => {
        this.#open(memory, to, DEV_NULL, O_RDWR, 0)
      },
      changeDirectory: path => {
        this.#chdir(memory, path)
      },
      close: fd => {
        this.#close(memory, fd)
      },
      closeFrom: lowest => {
        this.#closefrom(memory, lowest)
      },
      destroy: () => {
        this.#destroy(memory)
      },
    }
  }
}

/** The steps a child takes between its birth and its exec, in the order they were added. */
export interface FileActions {
  readonly address: Address
  /** In the child: `dup2(from, to)`; clears close-on-exec, also where both are the same. */
  duplicate(from: number, to: number): void
  openNull(to: number): void
  changeDirectory(path: string): void
  /** In the child: closes `fd`, if it is open. */
  close(fd: number): void
  /** In the child: closes every descriptor from `lowest` up. */
  closeFrom(lowest: number): void
  /** Frees what the actions hold; they are not to be used afterwards. */
  destroy(): void
}
