/**
 * Who has to end, how often, and with what.
 *
 * Every call has an entry from before it is made: it ends exactly once, with a result that it may have, and its cleanup
 * runs exactly once. What is right leaves nothing behind here, so that a ledger may be kept for hours.
 */

/** Beyond so many, more of them tell nothing new. */
const PROBLEMS_KEPT = 100

export interface Problem {
  readonly kind: string
  /** Of the plan. */
  readonly step: number
  readonly what: string
}

export class Entry {
  readonly kind: string
  readonly step: number
  readonly began = performance.now()
  readonly #ledger: Ledger
  readonly #cleanups: number
  #ends = 0
  #cleaned = 0

  constructor(ledger: Ledger, kind: string, step: number, cleanups: number) {
    this.#ledger = ledger
    this.kind = kind
    this.step = step
    this.#cleanups = cleanups
  }

  /**
   * The call has ended.
   * @param allowed what it may have ended with; undefined: anything
   */
  ended(result: string, allowed?: readonly string[]): void {
    this.#ends += 1
    if (this.#ends > 1) this.wrong(`ended ${this.#ends} times, now with ${result}`)
    else if (allowed !== undefined && !allowed.includes(result)) {
      this.wrong(`ended with ${result}, where it may end with ${allowed.join(', ')}`)
    }
    this.#ledger.count(this.kind, result)
    this.#settle()
  }

  /** Its cleanup runs. */
  cleaned(): void {
    this.#cleaned += 1
    if (this.#cleaned > this.#cleanups) this.wrong(`its cleanup ran ${this.#cleaned} times`)
    this.#settle()
  }

  wrong(what: string): void {
    this.#ledger.wrong(this.kind, this.step, what)
  }

  #settle(): void {
    if (this.#ends > 0 && this.#cleaned >= this.#cleanups) this.#ledger.settled(this)
  }

  /** What is still missing. */
  get missing(): string {
    if (this.#ends === 0) return 'it has not ended'
    return `it has ended, but its cleanup ran ${this.#cleaned} times instead of ${this.#cleanups}`
  }
}

export class Ledger {
  readonly problems: Problem[] = []
  /** Problems, those included that are not kept. */
  problemCount = 0
  /** Calls that have ended. */
  calls = 0
  readonly #open = new Set<Entry>()
  readonly #results = new Map<string, Map<string, number>>()

  /** @param cleanups how often its cleanup has to run */
  begin(kind: string, step: number, cleanups = 0): Entry {
    const entry = new Entry(this, kind, step, cleanups)
    this.#open.add(entry)
    return entry
  }

  wrong(kind: string, step: number, what: string): void {
    this.problemCount += 1
    if (this.problems.length < PROBLEMS_KEPT) this.problems.push({ kind, step, what })
  }

  settled(entry: Entry): void {
    this.#open.delete(entry)
  }

  count(kind: string, result: string): void {
    this.calls += 1
    const results = this.#results.get(kind) ?? new Map<string, number>()
    this.#results.set(kind, results.set(result, (results.get(result) ?? 0) + 1))
  }

  /** How often each kind has ended with what. */
  get results(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    return Object.fromEntries(
      [...this.#results].map(([kind, results]) => [kind, Object.fromEntries(results)] as const),
    )
  }

  /** Calls that have to end, or to be cleaned up after. */
  get open(): number {
    return this.#open.size
  }

  /** Calls that began more than `bound` milliseconds ago. */
  overdue(bound: number, now = performance.now()): Entry[] {
    return [...this.#open].filter(({ began }) => now - began > bound)
  }

  /** Nothing more is to come: what is still open is wrong. */
  close(): void {
    for (const entry of this.#open) entry.wrong(entry.missing)
    this.#open.clear()
  }
}
