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
  readonly #registered = new Set<() => void>()
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
    for (const signal of signals) process.on(signal, this.#handle)
    const remove = () => {
      if (!this.#registered.delete(remove)) return
      for (const signal of signals) process.off(signal, this.#handle)
    }
    this.#registered.add(remove)
    return remove
  }

  removeAll(): void {
    for (const remove of this.#registered) remove()
  }

  readonly #handle = (signal: NodeJS.Signals): void => {
    if (this.#received) this.#second(SIGNALLED + constants.signals[signal])
    this.#received = true
    this.#first()
  }
}
