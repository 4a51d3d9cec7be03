/**
 * Takes keys out of their keyrings once they have been expired or revoked for kernel/keys/gc_delay seconds
 * (security/keys/gc.c). What has been invalidated does not come here: it goes at once.
 */
import { SECOND } from './constants.js'
import type { Key } from './key.js'

const LONGEST_TIMER = 2 ** 31 - 1

/** What the collector asks of those who have the keys. */
export interface Collected {
  readonly now: () => number
  /** Seconds. */
  delay(): number
  all(): Iterable<Key>
  /** Takes a key out of all keyrings. */
  reap(key: Key): void
}

export class GarbageCollector {
  readonly #host: Collected
  #timer: NodeJS.Timeout | undefined
  #due = Number.POSITIVE_INFINITY
  #closed = false

  constructor(host: Collected) {
    this.#host = host
  }

  /** Sees to it that a key goes which ends at `end` (key_schedule_gc). */
  schedule(end: number): void {
    if (end !== Number.POSITIVE_INFINITY) this.#arm(end + this.#host.delay() * SECOND)
  }

  #arm(due: number): void {
    if (this.#closed || due >= this.#due) return
    this.#due = due
    clearTimeout(this.#timer)
    const wait = Math.min(Math.max(0, Math.ceil(due - this.#host.now())), LONGEST_TIMER)
    this.#timer = setTimeout(() => this.#run(), wait).unref()
  }

  #run(): void {
    this.#due = Number.POSITIVE_INFINITY
    const delay = this.#host.delay() * SECOND
    const now = this.#host.now()
    let next = Number.POSITIVE_INFINITY
    for (const key of [...this.#host.all()]) {
      const due = Math.min(key.expiry, key.revokedAt) + delay
      if (due > now) next = Math.min(next, due)
      else {
        key.wipe()
        this.#host.reap(key)
      }
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next)
  }

  /**
   * Takes a user's keys away that have ended, without the delay: they only make the answer of a search another. In Linux
   * they fill the quota all the while, which whoever chooses the names that a service asks for could do on purpose.
   * Keyrings stay: what is in use may hang below them.
   */
  reclaim(uid: number, spared: Key | undefined): void {
    for (const key of [...this.#host.all()]) {
      if (key.uid !== uid || !key.inQuota || key.links !== undefined || key === spared) continue
      if (key.isUnderConstruction || !(key.isExpired || key.isRevoked)) continue
      key.wipe()
      this.#host.reap(key)
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }
}
