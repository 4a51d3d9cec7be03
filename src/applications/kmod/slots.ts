/**
 * A counting semaphore with a wait that is first come, first served, and bounded (down_timeout).
 */
export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  get free(): number {
    return this.#free
  }

  /**
   * Takes a slot.
   * @param timeout milliseconds
   * @returns whether it got one in time
   */
  take(timeout: number): Promise<boolean> | true {
    if (this.#free > 0) {
      this.#free -= 1
      return true
    }
    return new Promise(resolve => {
      const take = () => {
        clearTimeout(timer)
        resolve(true)
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(take)
        resolve(false)
      }, timeout)
      this.#waiting.add(take)
    })
  }

  /** Gives one back: to whoever has waited longest. */
  give(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free += 1
    else {
      this.#waiting.delete(next)
      next()
    }
  }
}
