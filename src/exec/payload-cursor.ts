/**
 * Walks over a slot's payload, one NUL-terminated string at a time, wherever it stands.
 */
import { Environment, type Memory, Slot, SlotFlag, type SlotIndex, stdioHasPath } from '../kernel/memory.js'
import { readPages } from '../kernel/payload.js'

const STDIO_COUNT = 3

/** The strings that steer a launch. */
export interface Steering {
  readonly path: string
  readonly cwd: string | undefined
  /** The PATH in which to look for a program without a slash. */
  readonly search: string | undefined
  /** The file or socket of each stdio entry that has one. */
  readonly files: readonly (string | undefined)[]
}

export class PayloadCursor {
  readonly #memory: Memory
  /** What is walked over: the shared memory, or a long payload gathered from its pages. */
  bytes: Buffer
  #at = 0
  #gathered = Buffer.alloc(0)

  constructor(memory: Memory) {
    this.#memory = memory
    this.bytes = memory.bytes
  }

  /** Puts the cursor before a slot's path. */
  openSlot(slot: SlotIndex): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const page = words[row + Slot.PAGE] ?? 0
    if (page === 0) {
      this.bytes = this.#memory.bytes
      this.#at = this.#memory.inlinePayload(slot)
      return
    }
    const length = words[row + Slot.LENGTH] ?? 0
    if (this.#gathered.byteLength < length) this.#gathered = Buffer.allocUnsafeSlow(length)
    readPages(this.#memory, page, length, this.#gathered)
    this.bytes = this.#gathered
    this.#at = 0
  }

  openBytes(bytes: Buffer): void {
    this.bytes = bytes
    this.#at = 0
  }

  /** Where in `bytes` the cursor stands. */
  get position(): number {
    return this.#at
  }

  /** Where in `bytes` the next string begins; moves behind it. */
  skip(): number {
    const start = this.#at
    this.#at = this.bytes.indexOf(0, start) + 1
    return start
  }

  string(): string {
    const start = this.skip()
    return this.bytes.toString('utf8', start, this.#at - 1)
  }

  strings(count: number): string[] {
    const strings: string[] = []
    for (let index = 0; index < count; index += 1) strings.push(this.string())
    return strings
  }

  /** From the start of a slot's payload: reads what comes before argv. */
  steering(slot: SlotIndex): Steering {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const flags = words[row + Slot.FLAGS] ?? 0
    const path = this.string()
    const cwd = flags & SlotFlag.CWD ? this.string() : undefined
    const search = flags & SlotFlag.SEARCH ? this.string() : undefined
    const files: (string | undefined)[] = []
    for (let entry = 0; entry < STDIO_COUNT; entry += 1) {
      const kind = words[row + Slot.STDIO + entry] ?? 0
      files.push(stdioHasPath(kind) ? this.string() : undefined)
    }
    return { path, cwd, search, files }
  }
}

/** What a thread made of an interned environment, kept until its row is another environment's. */
export class EnvironmentCache<Made> {
  readonly #memory: Memory
  readonly #make: (block: Buffer, count: number) => Made
  readonly #made = new Map<number, { readonly generation: number; readonly made: Made }>()

  constructor(memory: Memory, make: (block: Buffer, count: number) => Made) {
    this.#memory = memory
    this.#make = make
  }

  get(id: number): Made {
    const { words } = this.#memory
    const row = this.#memory.environment(id)
    const generation = words[row + Environment.GENERATION] ?? 0
    const known = this.#made.get(id)
    if (known?.generation === generation) return known.made
    const length = words[row + Environment.LENGTH] ?? 0
    const block = Buffer.allocUnsafeSlow(Math.max(1, length))
    readPages(this.#memory, words[row + Environment.PAGE] ?? 0, length, block)
    const made = this.#make(block, words[row + Environment.COUNT] ?? 0)
    this.#made.set(id, { generation, made })
    return made
  }
}
