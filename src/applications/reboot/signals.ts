/**
 * Signals that end the service: the first in order, the second at once.
 */
import { constants } from 'node:os'
import { wrongType, wrongValue } from '../../kernel/errors.js'

/** A shell says so of a process that a signal has ended. */
const SIGNALLED = 128

export class SignalHandlers {
  readonly #first: () => void
  readonly #second: (exitCode: number) => void
  /** Each signal is listened to once for all of them that have it. */
  readonly #registrations = new Set<ReadonlySet<NodeJS.Signals>>()
  #received = false

  /** @param second is given the exit code */
  constructor(first: () => void, second: (exitCode: number) => void) {
    this.#first = first
    this.#second = second
  }

  add(signals: readonly NodeJS.Signals[]): () => void {
    if (!Array.isArray(signals)) throw wrongType('signals', 'an array of signal names', signals)
    for (const signal of signals) {
      if (constants.signals[signal as NodeJS.Signals] === undefined) {
        throw wrongValue('signals', `has an unknown signal: ${String(signal)}`)
      }
      if (signal === 'SIGKILL' || signal === 'SIGSTOP') {
        throw wrongValue('signals', `has a signal that no process can handle: ${signal}`)
      }
    }
    const registration = new Set(signals)
    for (const signal of registration) if (!this.#has(signal)) process.on(signal, this.#handle)
    this.#registrations.add(registration)
    return () => this.#remove(registration)
  }

  removeAll(): void {
    for (const registration of this.#registrations) this.#remove(registration)
  }

  #remove(registration: ReadonlySet<NodeJS.Signals>): void {
    if (!this.#registrations.delete(registration)) return
    for (const signal of registration) if (!this.#has(signal)) process.off(signal, this.#handle)
  }

  #has(signal: NodeJS.Signals): boolean {
    for (const registration of this.#registrations) if (registration.has(signal)) return true
    return false
  }

  readonly #handle = (signal: NodeJS.Signals): void => {
    if (this.#received) this.#second(SIGNALLED + constants.signals[signal])
    this.#received = true
    this.#first()
  }
}
