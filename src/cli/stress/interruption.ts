/**
 * Ctrl-C, or kill(1): the plan ends early, with its report. The second time the process ends at once.
 */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export type InterruptingSignal = (typeof SIGNALS)[number]

export class Interruption implements Disposable {
  #by: InterruptingSignal | undefined
  readonly #interrupt = (signal: NodeJS.Signals) => {
    this.#by = signal as InterruptingSignal
    this[Symbol.dispose]()
  }

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#interrupt)
  }

  /** The signal that has come. */
  get by(): InterruptingSignal | undefined {
    return this.#by
  }

  /** From now on signals do what they do by default. */
  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt)
  }
}
