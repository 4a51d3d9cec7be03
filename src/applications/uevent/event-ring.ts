/**
 * Events that wait, oldest first: at most so many, and when there is one more the oldest goes. Putting and taking cost the
 * same however many wait.
 *
 * The array grows as events come, and begins anew whenever none waits: a large capacity alone takes no room.
 */
export class EventRing<Event> {
  readonly #capacity: number
  #events: (Event | undefined)[] = []
  #first = 0
  #size = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** @returns whether the oldest had to go for it */
  put(event: Event): boolean {
    const full = this.#size === this.#capacity
    this.#events[(this.#first + this.#size) % this.#capacity] = event
    if (full) this.#first = (this.#first + 1) % this.#capacity
    else this.#size += 1
    return full
  }

  take(): Event | undefined {
    if (this.#size === 0) return undefined
    const event = this.#events[this.#first]
    this.#events[this.#first] = undefined
    this.#size -= 1
    this.#first = this.#size === 0 ? 0 : (this.#first + 1) % this.#capacity
    return event
  }

  clear(): void {
    this.#events = []
    this.#first = 0
    this.#size = 0
  }
}
