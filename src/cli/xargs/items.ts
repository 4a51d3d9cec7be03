/**
 * From the text on standard input to items: GNU xargs's rules (findutils 4.9, xargs/xargs.c, read_line and
 * read_string), as a machine that takes text as it comes.
 */
import { UsageError } from '../usage-error.js'

/** What stands between items, and what is special inside of them. */
export type Separation =
  /** Blanks and newlines; quotes and backslash are special. */
  | { readonly kind: 'words' }
  /** Newlines only, after leading blanks; quotes and backslash are special. For `-I`. */
  | { readonly kind: 'lines' }
  /** One character; nothing is special. For `-0` and `-d`. */
  | { readonly kind: 'delimiter'; readonly delimiter: string }

export interface Item {
  readonly text: string
  /** Whether a line of input ends with it: a newline follows, with no blank before it. */
  readonly endsLine: boolean
}

const isBlank = (character: string): boolean => character === ' ' || character === '\t'
const isSpace = (character: string): boolean => isBlank(character) || (character >= '\n' && character <= '\r')

const State = { SPACE: 0, NORMAL: 1, QUOTE: 2, BACKSLASH: 3 } as const
type State = (typeof State)[keyof typeof State]

export interface ItemReader {
  /** Takes more text; gives the items that are complete, and throws where it is wrong. */
  push(text: string): Iterable<Item>
  /** The text is over; gives the item that it ended in, if any. */
  end(): Iterable<Item>
}

export function itemReader(separation: Separation): ItemReader {
  return separation.kind === 'delimiter'
    ? new DelimitedItems(separation.delimiter)
    : new QuotedItems(separation.kind === 'words')
}

class DelimitedItems implements ItemReader {
  readonly #delimiter: string
  #rest = ''

  constructor(delimiter: string) {
    this.#delimiter = delimiter
  }

  push(text: string): Item[] {
    const parts = text.split(this.#delimiter)
    const last = parts.pop() ?? ''
    if (parts.length === 0) {
      this.#rest += last
      return []
    }
    parts[0] = this.#rest + parts[0]
    this.#rest = last
    return parts.map(part => ({ text: part, endsLine: true }))
  }

  end(): Item[] {
    return this.#rest === '' ? [] : [{ text: this.#rest, endsLine: true }]
  }
}

class QuotedItems implements ItemReader {
  readonly #blanksSeparate: boolean
  #state: State = State.SPACE
  #quote = ''
  #previous = ''
  #text = ''
  /** An item has begun, be it with an empty pair of quotes. */
  #begun = false

  constructor(blanksSeparate: boolean) {
    this.#blanksSeparate = blanksSeparate
  }

  *push(text: string): Generator<Item> {
    for (const character of text) {
      const item = this.#take(character)
      this.#previous = character
      if (item !== undefined) yield item
    }
  }

  /** @returns the item that the character ends */
  #take(character: string): Item | undefined {
    switch (this.#state) {
      case State.SPACE:
        if (isSpace(character)) return undefined
        this.#state = State.NORMAL
        break
      case State.QUOTE:
        if (character === '\n') throw unmatched(this.#quote)
        if (character === this.#quote) this.#state = State.NORMAL
        else this.#text += character
        return undefined
      case State.BACKSLASH:
        this.#state = State.NORMAL
        this.#text += character
        return undefined
    }
    if (character === '\n') return this.#finish(!isBlank(this.#previous))
    if (this.#blanksSeparate && isBlank(character)) return this.#finish(false)
    this.#takeNormal(character)
    return undefined
  }

  #takeNormal(character: string): void {
    this.#begun = true
    if (character === '\\') this.#state = State.BACKSLASH
    else if (character === '"' || character === "'") {
      this.#state = State.QUOTE
      this.#quote = character
    } else this.#text += character
  }

  #finish(endsLine: boolean): Item | undefined {
    this.#state = State.SPACE
    if (!this.#begun) return undefined
    const item = { text: this.#text, endsLine }
    this.#text = ''
    this.#begun = false
    return item
  }

  *end(): Generator<Item> {
    // As in GNU xargs, the end of the text ends no item that is empty, be it quoted.
    if (this.#text === '') return
    if (this.#state === State.QUOTE) throw unmatched(this.#quote)
    const item = this.#finish(true)
    if (item !== undefined) yield item
  }
}

/** A quote that is not closed. What has been read before it is still run. */
function unmatched(quote: string): UsageError {
  const name = quote === '"' ? 'double' : 'single'
  return new UsageError(
    `unmatched ${name} quote; by default quotes are special to xargs unless you use the -0 option`,
  )
}
