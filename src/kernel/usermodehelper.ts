/**
 * Whether helpers may be started, and who holds that off: usermodehelper_disable and its family, as in
 * Linux 6.17, kernel/umh.c.
 *
 *   DISABLE_DEPTH  UMH_ENABLED, UMH_FREEZING or UMH_DISABLED: a state, not a counter
 *   READERS        threads that hold the lock for reading; -1 while a writer holds it
 *   RUNNING        callers inside exec: not helpers; one that is not waited for is not counted
 *   CHANGED, IDLE  raised when a waiter has to look again
 */
import { errno } from '../libc/index.js'
import { type DisableDepth, UMH_DISABLED, UMH_ENABLED } from './constants.js'
import { outOfRange, wrongType } from './errors.js'
import { Control, type Memory, Owner, type OwnerIndex } from './memory.js'
import { announce, until } from './wait-until.js'

/** How long `disable` waits for callers inside exec, in milliseconds (RUNNING_HELPERS_TIMEOUT, 5 * HZ). */
const RUNNING_HELPERS_TIMEOUT = 5_000
const WRITER = -1

export class UsermodeHelperState {
  readonly #words: Int32Array
  readonly #depth: number
  readonly #readers: number
  readonly #changed: number
  readonly #running: number
  readonly #idle: number
  readonly #own: number

  /** @param owner the calling thread */
  constructor(memory: Memory, owner: OwnerIndex) {
    this.#own = memory.owner(owner) + Owner.RUNNING
    this.#words = memory.words
    this.#depth = memory.control(Control.DISABLE_DEPTH)
    this.#readers = memory.control(Control.READERS)
    this.#changed = memory.control(Control.CHANGED)
    this.#running = memory.control(Control.RUNNING)
    this.#idle = memory.control(Control.IDLE)
  }

  /** Callers inside exec. */
  get running(): number {
    return Atomics.load(this.#words, this.#running)
  }

  /** A caller enters exec: counted first, then told whether it may go on (helper_lock). */
  enter(): boolean {
    this.#words[this.#own] = (this.#words[this.#own] ?? 0) + 1
    Atomics.add(this.#words, this.#running, 1)
    return Atomics.load(this.#words, this.#depth) === UMH_ENABLED
  }

  /** A caller leaves exec. `disable` has changed the depth before it looks, so one of both sees the other. */
  leave(): void {
    this.#words[this.#own] = (this.#words[this.#own] ?? 0) - 1
    const last = Atomics.sub(this.#words, this.#running, 1) === 1
    if (last && Atomics.load(this.#words, this.#depth) !== UMH_ENABLED) announce(this.#words, this.#idle)
  }

  /**
   * Lets no more helpers start, and waits up to 5 s until no caller is inside exec.
   * @returns 0; -EINVAL for UMH_ENABLED; -EAGAIN, and helpers enabled again, if there are still callers
   */
  async disable(depth: DisableDepth = UMH_DISABLED): Promise<number> {
    checkDepth(depth)
    if (depth === UMH_ENABLED) return -errno('EINVAL')
    await this.#writeDepth(depth)
    const idle = () => this.running === 0
    if ((await until(this.#words, this.#idle, idle, RUNNING_HELPERS_TIMEOUT)) > 0) return 0
    await this.setDisableDepth(UMH_ENABLED)
    return -errno('EAGAIN')
  }

  /**
   * Lets no more helpers start, and waits for readers and for callers inside exec, of whom none holds it up for longer
   * than the time: what the end of a service needs.
   * @param timeout milliseconds for both together
   * @returns lets helpers start again; undefined if they were disabled before
   */
  async drain(timeout: number): Promise<(() => void) | undefined> {
    const enabled = Atomics.load(this.#words, this.#depth) === UMH_ENABLED
    const left = await this.#writeDepth(UMH_DISABLED, timeout)
    await until(this.#words, this.#idle, () => this.running === 0, left)
    const enable = () => {
      Atomics.store(this.#words, this.#depth, UMH_ENABLED)
      announce(this.#words, this.#changed)
    }
    return enabled ? enable : undefined
  }

  /** Sets the state and wakes everyone who waits for it. */
  async setDisableDepth(depth: DisableDepth): Promise<void> {
    checkDepth(depth)
    await this.#writeDepth(depth)
    announce(this.#words, this.#changed)
  }

  /** Lets helpers start again, however often they were disabled. */
  enable(): Promise<void> {
    return this.setDisableDepth(UMH_ENABLED)
  }

  /**
   * Holds off `disable` until `readUnlock`.
   * @returns 0 with the lock held, or -EAGAIN without it if helpers are disabled; waits while they freeze
   */
  async readTrylock(): Promise<number> {
    for (;;) {
      await this.#lockForReading()
      const depth = Atomics.load(this.#words, this.#depth)
      if (depth === UMH_ENABLED) return 0
      this.readUnlock()
      if (depth === UMH_DISABLED) return -errno('EAGAIN')
      await this.#depthOtherThan(depth, Number.POSITIVE_INFINITY)
    }
  }

  /**
   * The same, but waits for helpers to be enabled.
   * @param timeout milliseconds
   * @returns -EINVAL if it is negative; else what is left of it, with the lock held; or 0 without the lock.
   *   As in Linux, a timeout of 0 gives 0 with the lock held if helpers are enabled.
   */
  async readLockWait(timeout: number): Promise<number> {
    if (typeof timeout !== 'number' || Number.isNaN(timeout)) throw wrongType('timeout', 'a number', timeout)
    if (timeout < 0) return -errno('EINVAL')
    let left = timeout
    for (;;) {
      await this.#lockForReading()
      const depth = Atomics.load(this.#words, this.#depth)
      if (depth === UMH_ENABLED) return left
      this.readUnlock()
      left = await this.#depthOtherThan(depth, left)
      if (left === 0) return 0
    }
  }

  /** Gives back what `readTrylock` or `readLockWait` took. */
  readUnlock(): void {
    if (Atomics.load(this.#words, this.#readers) <= 0) {
      throw outOfRange('readers', 'held by this caller', 'an unlock of a lock that is not held')
    }
    if (Atomics.sub(this.#words, this.#readers, 1) === 1) announce(this.#words, this.#changed)
  }

  #depthOtherThan(depth: number, timeout: number): Promise<number> {
    return until(this.#words, this.#changed, () => Atomics.load(this.#words, this.#depth) !== depth, timeout)
  }

  async #lockForReading(): Promise<void> {
    const taken = () => {
      for (;;) {
        const readers = Atomics.load(this.#words, this.#readers)
        if (readers === WRITER) return false
        if (Atomics.compareExchange(this.#words, this.#readers, readers, readers + 1) === readers) return true
      }
    }
    await until(this.#words, this.#changed, taken, Number.POSITIVE_INFINITY)
  }

  /** @returns milliseconds left, at least 1; or 0 if a reader has held the lock for all of them, and still does */
  async #writeDepth(depth: DisableDepth, timeout = Number.POSITIVE_INFINITY): Promise<number> {
    const taken = () => Atomics.compareExchange(this.#words, this.#readers, 0, WRITER) === 0
    const left = await until(this.#words, this.#changed, taken, timeout)
    Atomics.store(this.#words, this.#depth, depth)
    if (left > 0) Atomics.store(this.#words, this.#readers, 0)
    announce(this.#words, this.#changed)
    return left
  }
}

function checkDepth(depth: DisableDepth): void {
  if (depth !== 0 && depth !== 1 && depth !== 2) throw outOfRange('depth', '0, 1 or 2', depth)
}
