/**
 * What Linux keeps for each thread and a child takes over: credentials, niceness, file creation mask, processors.
 *
 * By raw system calls: the functions of the C library change every thread of the process. Numbers are those of
 * x86-64, and of the table that all newer architectures share.
 */
import { arch } from 'node:process'
import type { Libc } from './libc.js'

const NUMBERS =
  arch === 'x64'
    ? {
        chdir: 80,
        umask: 95,
        getgroups: 115,
        setgroups: 116,
        setresuid: 117,
        getresuid: 118,
        setresgid: 119,
        getresgid: 120,
        capget: 125,
        capset: 126,
        getpriority: 140,
        setpriority: 141,
        prctl: 157,
        schedSetaffinity: 203,
        schedGetaffinity: 204,
        addKey: 248,
        keyctl: 250,
        unshare: 272,
      }
    : {
        chdir: 49,
        umask: 166,
        getgroups: 158,
        setgroups: 159,
        setresuid: 147,
        getresuid: 148,
        setresgid: 149,
        getresgid: 150,
        capget: 90,
        capset: 91,
        getpriority: 141,
        setpriority: 140,
        prctl: 167,
        schedSetaffinity: 122,
        schedGetaffinity: 123,
        unshare: 97,
        addKey: 217,
        keyctl: 219,
      }

const CLONE_FS = 0x200
const KEYCTL_JOIN_SESSION_KEYRING = 1
const KEY_SPEC_SESSION_KEYRING = -3
const PR_GET_DUMPABLE = 3
const PR_SET_DUMPABLE = 4
const PR_CAPBSET_READ = 23
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const CAPABILITY_VERSION_3 = 0x20080522
/** The raw system call gives 20 - nice, so that it is never negative. */
const PRIORITY_BIAS = 20
const FEW_GROUPS = 1_024
const PR_SET_TIMERSLACK = 29
const PROCESSORS = 1024
const UNCHANGED = -1

/** Real, effective and saved. */
export type Ids = readonly [real: number, effective: number, saved: number]

/** Each gives 0 or `-errno`, and is about the calling thread only. */
export class ThreadIdentity {
  readonly #libc: Libc
  // Over a buffer of their own: small arrays without one may be moved by the collector.
  readonly #ids = new Uint32Array(new ArrayBuffer(12))
  #groups = new Uint32Array(FEW_GROUPS)
  readonly #processors = new Uint32Array(PROCESSORS / 32)
  readonly #header = new Uint32Array(new ArrayBuffer(8))
  /** Effective, permitted, inheritable; the low 32 capabilities, then the high ones. */
  readonly #capabilities = new Uint32Array(new ArrayBuffer(24))

  constructor(libc: Libc) {
    this.#libc = libc
    this.#header[0] = CAPABILITY_VERSION_3
  }

  #address(array: NodeJS.TypedArray): number {
    return this.#libc.library.addressOf(array)
  }

  userIds(): Ids {
    return this.#readIds(NUMBERS.getresuid)
  }

  groupIds(): Ids {
    return this.#readIds(NUMBERS.getresgid)
  }

  #readIds(call: number): Ids {
    const base = this.#address(this.#ids)
    this.#libc.systemCall(call, base, base + 4, base + 8)
    return [this.#ids[0] ?? 0, this.#ids[1] ?? 0, this.#ids[2] ?? 0]
  }

  setUserIds([real, effective, saved]: Ids): number {
    return this.#libc.systemCall(NUMBERS.setresuid, real, effective, saved)
  }

  /** @param saved UNCHANGED: it stays, so that there is a way back */
  becomeUser(uid: number): number {
    return this.#libc.systemCall(NUMBERS.setresuid, uid, uid, UNCHANGED)
  }

  setGroupIds([real, effective, saved]: Ids): number {
    return this.#libc.systemCall(NUMBERS.setresgid, real, effective, saved)
  }

  becomeGroup(gid: number): number {
    return this.#libc.systemCall(NUMBERS.setresgid, gid, gid, UNCHANGED)
  }

  /** The supplementary groups. */
  groups(): number[] {
    this.#makeRoom(this.#libc.systemCall(NUMBERS.getgroups, 0, 0))
    const count = this.#libc.systemCall(NUMBERS.getgroups, this.#groups.length, this.#address(this.#groups))
    return [...this.#groups.subarray(0, Math.max(0, count))]
  }

  #makeRoom(count: number): void {
    if (count > this.#groups.length) this.#groups = new Uint32Array(count)
  }

  setGroups(groups: readonly number[]): number {
    this.#makeRoom(groups.length)
    this.#groups.set(groups)
    return this.#libc.systemCall(NUMBERS.setgroups, groups.length, this.#address(this.#groups))
  }

  nice(): number {
    return PRIORITY_BIAS - this.#libc.systemCall(NUMBERS.getpriority, 0, 0)
  }

  setNice(nice: number): number {
    return this.#libc.systemCall(NUMBERS.setpriority, 0, 0, nice)
  }

  /** Gives this thread a file creation mask and a working directory of its own, for good. */
  unshareFiles(): number {
    return this.#libc.systemCall(NUMBERS.unshare, CLONE_FS)
  }

  /** @returns what it was */
  umask(mask: number): number {
    return this.#libc.systemCall(NUMBERS.umask, mask)
  }

  changeDirectory(path: string): number {
    const bytes = Buffer.from(`${path}\0`)
    return this.#libc.systemCall(NUMBERS.chdir, this.#address(bytes))
  }

  /** The processors that it may run on. */
  processors(): number[] {
    const bytes = this.#processors.byteLength
    const written = this.#libc.systemCall(NUMBERS.schedGetaffinity, 0, bytes, this.#address(this.#processors))
    const found: number[] = []
    for (let processor = 0; processor < written * 8; processor += 1) {
      if (((this.#processors[processor >> 5] ?? 0) >>> (processor & 31)) & 1) found.push(processor)
    }
    return found
  }

  setProcessors(processors: readonly number[]): number {
    this.#processors.fill(0)
    for (const processor of processors) {
      this.#processors[processor >> 5] = (this.#processors[processor >> 5] ?? 0) | (1 << (processor & 31))
    }
    const { byteLength } = this.#processors
    return this.#libc.systemCall(NUMBERS.schedSetaffinity, 0, byteLength, this.#address(this.#processors))
  }

  /** By how much timers of what this thread starts may be late, in nanoseconds: children inherit it, and theirs. */
  setTimerSlack(nanoseconds: number): number {
    return this.#libc.systemCall(NUMBERS.prctl, PR_SET_TIMERSLACK, nanoseconds)
  }

  /** A session keyring of its own, which has no name and no keys yet. For good. */
  joinSessionKeyring(): number {
    return this.#libc.systemCall(NUMBERS.keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0)
  }

  /** Adds a key of the type "user" to the session keyring. */
  addKey(name: string, secret: Buffer): number {
    const type = Buffer.from('user\0')
    const description = Buffer.from(`${name}\0`)
    return this.#libc.systemCall(
      NUMBERS.addKey,
      this.#address(type),
      this.#address(description),
      this.#address(secret),
      secret.byteLength,
      KEY_SPEC_SESSION_KEYRING,
    )
  }

  /** For good. */
  noNewPrivileges(): number {
    return this.#libc.systemCall(NUMBERS.prctl, PR_SET_NO_NEW_PRIVS, 1)
  }

  /** Whether the process may be traced and dump core: what a change of user takes from all of it. */
  dumpable(): number {
    return this.#libc.systemCall(NUMBERS.prctl, PR_GET_DUMPABLE)
  }

  setDumpable(dumpable: number): number {
    return this.#libc.systemCall(NUMBERS.prctl, PR_SET_DUMPABLE, dumpable)
  }

  /** Takes every capability that is not in `mask` out of the bounding set, for good. */
  limitBounding(mask: bigint): number {
    for (let capability = 0n; capability < 64n; capability += 1n) {
      if ((mask >> capability) & 1n) continue
      const present = this.#libc.systemCall(NUMBERS.prctl, PR_CAPBSET_READ, Number(capability))
      if (present < 0) break
      if (present === 0) continue
      const result = this.#libc.systemCall(NUMBERS.prctl, PR_CAPBSET_DROP, Number(capability))
      if (result < 0) return result
    }
    return 0
  }

  /** Takes every capability that is not in `mask` out of the inheritable set, for good. */
  limitInheritable(mask: bigint): number {
    const header = this.#address(this.#header)
    const data = this.#address(this.#capabilities)
    const result = this.#libc.systemCall(NUMBERS.capget, header, data)
    if (result < 0) return result
    const low = Number(mask & 0xffff_ffffn)
    const high = Number((mask >> 32n) & 0xffff_ffffn)
    this.#capabilities[2] = ((this.#capabilities[2] ?? 0) & low) >>> 0
    this.#capabilities[5] = ((this.#capabilities[5] ?? 0) & high) >>> 0
    return this.#libc.systemCall(NUMBERS.capset, header, data)
  }
}
