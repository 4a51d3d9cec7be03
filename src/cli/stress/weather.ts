/**
 * Which faults were at work while a call was: they decide what it may have ended with.
 */
export type Moment = number

export class Weather {
  #moment = 0
  readonly #active = new Map<string, number>()
  readonly #lastEnd = new Map<string, Moment>()

  get now(): Moment {
    return this.#moment
  }

  /** A fault begins. @returns ends it */
  begin(fault: string): () => void {
    this.#moment += 1
    this.#active.set(fault, (this.#active.get(fault) ?? 0) + 1)
    return () => {
      this.#moment += 1
      this.#lastEnd.set(fault, this.#moment)
      this.#active.set(fault, (this.#active.get(fault) ?? 1) - 1)
    }
  }

  isActive(fault: string): boolean {
    return (this.#active.get(fault) ?? 0) > 0
  }

  /** Whether a fault was at work at any time since then. */
  since(moment: Moment, fault: string): boolean {
    return this.isActive(fault) || (this.#lastEnd.get(fault) ?? 0) > moment
  }
}
