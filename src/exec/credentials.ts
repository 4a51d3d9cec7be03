/**
 * Lets a khelper thread take on a helper's credentials for the length of one launch, as ____call_usermodehelper
 * commits them before the exec, and become itself again.
 *
 * They are the thread's alone, and the helper inherits them. The saved user and group stay the service's, which is the
 * way back; the helper's exec sets them to what it runs as, and with another user it loses the capabilities. What
 * cannot be undone (no new privileges, a niceness without the right to lower it) costs the thread: it is replaced.
 */
import type { Credentials } from '../kernel/call-spec.js'
import { type CapabilityMasks, NO_LIMITS } from '../kernel/capability-masks.js'
import { Step } from '../kernel/memory.js'
import { errno, type Ids, type Libc, ThreadIdentity } from '../libc/index.js'

/** What could not be taken on. */
export interface Refusal {
  readonly error: number
  readonly step: number
}

export class HelperCredentials {
  readonly #identity: ThreadIdentity
  /** How to become oneself again: the last first. */
  readonly #undo: (() => number)[] = []
  #limits: CapabilityMasks = NO_LIMITS
  #ownFiles = false
  #spent = false

  constructor(libc: Libc) {
    this.#identity = new ThreadIdentity(libc)
  }

  /** This thread is not what it was, and is to be replaced. */
  get spent(): boolean {
    return this.#spent
  }

  /**
   * Lets go of what the kernel's masks have lost. For good: they only ever lose more.
   * @returns what was refused, if something was
   */
  limit({ bset, inheritable }: CapabilityMasks): Refusal | undefined {
    if (bset === this.#limits.bset && inheritable === this.#limits.inheritable) return undefined
    const error = this.#identity.limitInheritable(inheritable) || this.#identity.limitBounding(bset)
    if (error < 0) return { error, step: Step.CAPABILITIES }
    this.#limits = { bset, inheritable }
    return undefined
  }

  /**
   * Takes them on; `restore` is to be called afterwards in any case.
   * @returns what was refused, if something was
   */
  assume(credentials: Credentials): Refusal | undefined {
    const { affinity, nice, umask, noNewPrivs } = credentials
    return (
      (affinity && this.#setAffinity(affinity)) ??
      (nice === undefined ? undefined : this.#setNice(nice)) ??
      (umask === undefined ? undefined : this.#setUmask(umask)) ??
      (noNewPrivs ? this.#setNoNewPrivs() : undefined) ??
      this.#become(credentials)
    )
  }

  /**
   * Gives the thread, and so the helper, a session keyring with the secrets. Where keyrings are not to be had the helper
   * has the files alone. The thread had another session keyring, or none, and is spent.
   */
  joinSession(secrets: readonly (readonly [name: string, secret: Buffer])[]): void {
    if (this.#identity.joinSessionKeyring() < 0) return
    this.#spent = true
    for (const [name, secret] of secrets) {
      this.#identity.addKey(name, secret)
      secret.fill(0)
    }
  }

  /** Becomes oneself again; if that fails the thread is spent. */
  restore(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      if (undo() < 0) this.#spent = true
    }
  }

  /**
   * A thread with a working directory of its own does not follow the service's when that changes: it goes there before
   * a launch that takes it over.
   */
  followDirectory(): void {
    if (this.#ownFiles) this.#identity.changeDirectory(`/proc/${process.pid}/cwd`)
  }

  #setAffinity(affinity: readonly number[]): Refusal | undefined {
    const before = this.#identity.processors()
    const error = this.#identity.setProcessors(affinity)
    if (error < 0) return { error, step: Step.AFFINITY }
    this.#undo.push(() => this.#identity.setProcessors(before))
    return undefined
  }

  #setNice(nice: number): Refusal | undefined {
    const before = this.#identity.nice()
    const error = this.#identity.setNice(nice)
    // Linux says EACCES here, and EPERM everywhere else.
    if (error < 0) return { error: error === -errno('EACCES') ? -errno('EPERM') : error, step: Step.NICE }
    this.#undo.push(() => this.#identity.setNice(before))
    return undefined
  }

  #setUmask(umask: number): Refusal | undefined {
    if (!this.#ownFiles) {
      const error = this.#identity.unshareFiles()
      if (error < 0) return { error, step: Step.UMASK }
      this.#ownFiles = true
    }
    const before = this.#identity.umask(umask)
    this.#undo.push(() => this.#identity.umask(before))
    return undefined
  }

  #setNoNewPrivs(): Refusal | undefined {
    const error = this.#identity.noNewPrivileges()
    if (error < 0) return { error, step: Step.NO_NEW_PRIVS }
    this.#spent = true
    return undefined
  }

  /** Whether this thread is that user and that group already, where one is asked for. */
  #is(uid: number | undefined, gid: number | undefined): boolean {
    const all = (ids: Ids, wanted: number | undefined) =>
      wanted === undefined || ids.every(id => id === wanted)
    if (uid === undefined && gid === undefined) return true
    return all(this.#identity.userIds(), uid) && all(this.#identity.groupIds(), gid)
  }

  /** Groups before the user: without root's rights they could not be set any more. */
  #become({ uid, gid, groups }: Credentials): Refusal | undefined {
    const identity = this.#identity
    if (groups === undefined && this.#is(uid, gid)) return undefined
    const dumpable = identity.dumpable()
    this.#undo.push(() => identity.setDumpable(dumpable))
    const before = identity.groups()
    const refused = identity.setGroups(groups ?? [])
    if (refused < 0) return { error: refused, step: Step.SETGROUPS }
    this.#undo.push(() => identity.setGroups(before))
    if (gid !== undefined) {
      const ids: Ids = identity.groupIds()
      const error = identity.becomeGroup(gid)
      if (error < 0) return { error, step: Step.SETGID }
      this.#undo.push(() => identity.setGroupIds(ids))
    }
    if (uid !== undefined) {
      const ids: Ids = identity.userIds()
      const error = identity.becomeUser(uid)
      if (error < 0) return { error, step: Step.SETUID }
      this.#undo.push(() => identity.setUserIds(ids))
    }
    return undefined
  }
}
