/**
 * Walks over a slot's payload, one NUL-terminated string at a time, wherever it stands.
 */
import type { LaunchSettings } from '../kernel/call-spec.js'
import { Interned, type Memory, Slot, SlotFlag, type SlotIndex, stdioHasPath } from '../kernel/memory.js'
import { readPages } from '../kernel/payload.js'

const STDIO_COUNT = 3
const NO_SETTINGS: LaunchSettings = {}
const LAST_ASCII = 0x7f
/** Beyond that the native search for a NUL is faster than a loop. */
const LONGEST_CUT = 1024

/** The strings that steer a launch. */
export interface Steering {
  readonly path: string
  readonly cwd: string | undefined
  /** The PATH in which to look for a program without a slash. */
  readonly search: string | undefined
  readonly settings: LaunchSettings
  /** The file or socket of each stdio entry that has one. */
  readonly files: readonly (string | undefined)[]
}

export class PayloadCursor {
  readonly #memory: Memory
  /** What is walked over: the shared memory, or a long payload gathered from its pages. */
  bytes: Buffer
  #at = 0
  /** Where the payload begins. */
  #start = 0
  #gathered = Buffer.alloc(0)
  /** Bytes of it that are some call's. */
  #gatheredLength = 0

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
      this.#start = this.#memory.inlinePayload(slot)
      this.#at = this.#start
      return
    }
    const length = words[row + Slot.LENGTH] ?? 0
    if (this.#gathered.byteLength < length) this.#gathered = Buffer.allocUnsafeSlow(length)
    readPages(this.#memory, page, length, this.#gathered)
    this.#gatheredLength = Math.max(this.#gatheredLength, length)
    this.bytes = this.#gathered
    this.#start = 0
    this.#at = 0
  }

  /** Overwrites what this thread has gathered of calls that have ended. */
  forget(): void {
    if (this.#gatheredLength > 0) this.#gathered.fill(0, 0, this.#gatheredLength)
    this.#gatheredLength = 0
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

  /** The `count` strings that end the payload of a slot: cut out of one piece, where they are ASCII. */
  lastStrings(slot: SlotIndex, count: number): string[] {
    const { bytes } = this
    const first = this.#at
    const length = this.#start + (this.#memory.words[this.#memory.slot(slot) + Slot.LENGTH] ?? 0) - first
    if (length > LONGEST_CUT) return this.strings(count)
    const text = bytes.toString('latin1', first, first + length)
    const strings: string[] = []
    let from = 0
    for (let to = 0; to < length; to += 1) {
      const byte = bytes[first + to] ?? 0
      if (byte > LAST_ASCII) return this.strings(count)
      if (byte !== 0) continue
      strings.push(text.slice(from, to))
      from = to + 1
    }
    this.#at = first + length
    return strings
  }

  /** From the start of a slot's payload: reads what comes before argv. */
  steering(slot: SlotIndex): Steering {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const flags = words[row + Slot.FLAGS] ?? 0
    // An in-thread helper's path is interned; the rest is here all the same.
    const path = (words[row + Slot.PROGRAM] ?? 0) > 0 ? '' : this.string()
    const cwd = flags & SlotFlag.CWD ? this.string() : undefined
    const search = flags & SlotFlag.SEARCH ? this.string() : undefined
    const settings = flags & SlotFlag.SETTINGS ? (JSON.parse(this.string()) as LaunchSettings) : NO_SETTINGS
    const files: (string | undefined)[] = []
    for (let entry = 0; entry < STDIO_COUNT; entry += 1) {
      const kind = words[row + Slot.STDIO + entry] ?? 0
      files.push(stdioHasPath(kind) ? this.string() : undefined)
    }
    return { path, cwd, search, settings, files }
  }
}

/** What a thread made of an interned list of strings, kept until its row is another list's. */
export class InternedCache<Made> {
  readonly #memory: Memory
  readonly #make: (block: Buffer, count: number) => Made
  readonly #drop: (made: Made) => void
  #made: ({ readonly generation: number; readonly made: Made } | undefined)[] = []

  /** @param drop called with what is not kept any more */
  constructor(
    memory: Memory,
    make: (block: Buffer, count: number) => Made,
    drop: (made: Made) => void = () => {},
  ) {
    this.#memory = memory
    this.#make = make
    this.#drop = drop
  }

  get(id: number): Made {
    const { words } = this.#memory
    const row = this.#memory.internedRow(id)
    const generation = words[row + Interned.GENERATION] ?? 0
    const known = this.#made[id]
    if (known?.generation === generation) return known.made
    if (known !== undefined) this.#drop(known.made)
    const length = words[row + Interned.LENGTH] ?? 0
    const block = Buffer.allocUnsafeSlow(Math.max(1, length))
    readPages(this.#memory, words[row + Interned.PAGE] ?? 0, length, block)
    const made = this.#make(block, words[row + Interned.COUNT] ?? 0)
    this.#made[id] = { generation, made }
    return made
  }

  /** Lets go of lists that have been freed. */
  forgetFreed(): void {
    const { words } = this.#memory
    for (const [id, known] of this.#made.entries()) {
      if (known === undefined) continue
      const row = this.#memory.internedRow(id)
      if (words[row + Interned.LIVE] === 1 && words[row + Interned.GENERATION] === known.generation) continue
      this.#drop(known.made)
      this.#made[id] = undefined
    }
  }

  /** Keeps nothing: whoever is about to sleep does not hear of lists that are freed meanwhile. */
  forget(): void {
    if (this.#made.length === 0) return
    for (const known of this.#made) if (known !== undefined) this.#drop(known.made)
    this.#made = []
  }
}
