/**
 * From items to command lines: how many items go into each, and how long it may be (findutils 4.9,
 * lib/buildcmd.c).
 */
import { UsageError } from '../usage-error.js'
import type { Item } from './items.js'

export interface CommandLimits {
  /** The command and its initial arguments. */
  readonly initial: readonly string[]
  /** `-n` */
  readonly maxArgs: number | undefined
  /** `-L` */
  readonly maxLines: number | undefined
  /** `-I` */
  readonly replace: string | undefined
  /** `-s`: bytes of a command line, a NUL after each word included. */
  readonly maxChars: number
  /** `-x` */
  readonly exitIfTooLong: boolean
}

const lengthOf = (word: string): number => Buffer.byteLength(word) + 1

export class CommandBuilder {
  readonly #limits: CommandLimits
  readonly #initialLength: number
  #args: string[] = []
  #length: number
  #lines = 0
  /** Command lines given so far. */
  built = 0

  /** @throws UsageError if the command alone is too long */
  constructor(limits: CommandLimits) {
    this.#limits = limits
    this.#initialLength = limits.initial.reduce((length, word) => length + lengthOf(word), 0)
    this.#length = this.#initialLength
    if (this.#initialLength > limits.maxChars) {
      throw new UsageError('cannot fit single argument within argument list size limit')
    }
  }

  /** Takes an item; gives the command lines that are complete. */
  *push(item: Item): Generator<string[]> {
    if (this.#limits.replace !== undefined) {
      yield this.#replaced(item.text, this.#limits.replace)
      return
    }
    yield* this.#add(item.text)
    if (item.endsLine) this.#lines += 1
    const { maxArgs, maxLines } = this.#limits
    if (this.#args.length === maxArgs || (maxLines !== undefined && this.#lines >= maxLines))
      yield this.#take()
  }

  /** The input is over: gives the last command line, if there is one. */
  *end(runWithoutItems: boolean): Generator<string[]> {
    if (this.#args.length > 0) yield this.#take()
    else if (this.built === 0 && runWithoutItems && this.#limits.replace === undefined) yield this.#take()
  }

  /** The input cannot be read on: gives what is pending, where that may be run by itself. */
  *pending(): Generator<string[]> {
    if (this.#args.length > 0 && !this.#limits.exitIfTooLong) yield this.#take()
  }

  *#add(text: string): Generator<string[]> {
    const { maxChars, exitIfTooLong, maxArgs, maxLines } = this.#limits
    const length = lengthOf(text)
    if (this.#length + length > maxChars) {
      if (this.#args.length === 0)
        throw new UsageError('cannot fit single argument within argument list size limit')
      if (exitIfTooLong && (maxArgs !== undefined || maxLines !== undefined)) {
        throw new UsageError('argument list too long')
      }
      yield this.#take()
      if (this.#length + length > maxChars) {
        throw new UsageError('cannot fit single argument within argument list size limit')
      }
    }
    this.#args.push(text)
    this.#length += length
  }

  #take(): string[] {
    const command = [...this.#limits.initial, ...this.#args]
    this.#args = []
    this.#length = this.#initialLength
    this.#lines = 0
    this.built += 1
    return command
  }

  #replaced(text: string, pattern: string): string[] {
    const [program = '', ...args] = this.#limits.initial
    const parts = args.map(argument => argument.split(pattern))
    const places = parts.reduce((count, { length }) => count + length - 1, 0)
    // Before it is put together: many places for a long item are more than the memory has room for.
    const length = this.#initialLength + places * (Buffer.byteLength(text) - Buffer.byteLength(pattern))
    if (length > this.#limits.maxChars) throw new UsageError('argument list too long')
    this.built += 1
    return [program, ...parts.map(each => each.join(text))]
  }
}
