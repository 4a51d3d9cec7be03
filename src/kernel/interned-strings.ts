/**
 * Interned lists of strings, written once and then named: services start most helpers with the same few
 * environments, and run the same few in-thread helpers.
 *
 * A row and its pages are written by the thread that interns, before any slot names them, and freed by
 * the same thread when no slot of its own does. A khelper that reads a slot therefore finds the row
 * alive; GENERATION tells it whether what it keeps of the row is still that list.
 *
 * Environments hold secrets, and every in-thread helper can read the shared memory: one that no call uses any more is
 * idle, and is wiped when its owner's event loop turns next. So calls that follow each other write it once, and it
 * stays no longer than they do. Paths of in-thread helpers, and the environment with nothing in it, are kept.
 */
import { Interned, type Memory, type OwnerIndex } from './memory.js'
import { freePages, NO_ROOM, writePages } from './payload.js'

/** Lists that one thread keeps although no call uses them. */
const KEPT = 64
/** Environments, of which a thread that blocks, and whose event loop does not turn, may have so many idle. */
const IDLE = 8
/** Of these, how many a new call's is compared with, string by string, before anything is joined. */
const RECENT = 4

interface Entry {
  readonly key: string
  readonly content: readonly string[]
  readonly id: number
  readonly kept: boolean
  references: number
  /** It is among those to be wiped, unless somebody uses it again before. */
  idle: boolean
  /** The next of those. */
  nextIdle: Entry | undefined
}

export class InternedStrings {
  readonly #memory: Memory
  readonly #owner: OwnerIndex
  /** Those that stay, in the order of their last use: the first is the one to let go. */
  readonly #kept = new Map<string, Entry>()
  /** Those that do not. */
  readonly #passing = new Map<string, Entry>()
  readonly #byId: (Entry | undefined)[] = []
  /** The latest of those that no call uses: a list through them, which costs nothing to fill and empty for each call. */
  #idle: Entry | undefined
  #idleCount = 0
  /** The latest first. */
  #recent: Entry[] = []
  /** The latest that is a single string. */
  #recentString: Entry | undefined

  constructor(memory: Memory, owner: OwnerIndex) {
    this.#memory = memory
    this.#owner = owner
  }

  /**
   * Finds or writes an environment and counts one more use of it.
   * @param check called before a list is taken in; throws if it may not be one
   * @returns its number, or -1 if there is no room for it: it then goes with the call itself
   */
  acquire(strings: readonly string[], check: (strings: readonly string[]) => void): number {
    const recent = this.#recent
    for (let index = 0; index < recent.length; index += 1) {
      const entry = recent[index]
      if (entry === undefined || !sameStrings(entry.content, strings)) continue
      entry.references += 1
      return entry.id
    }
    check(strings)
    const entry = this.#intern(strings, strings.length === 0)
    if (entry === undefined) return -1
    // Not `recent`: making room for it may have freed some of them.
    this.#recent = [entry, ...this.#recent.filter(other => other !== entry).slice(0, RECENT - 1)]
    return entry.id
  }

  /**
   * The same for the path of an in-thread helper, which is compared with the latest of its kind only.
   * @param check called before it is taken in; throws if it may not be one
   */
  acquireString(text: string, check: (text: string) => void): number {
    const recent = this.#recentString
    if (recent !== undefined && recent.content[0] === text) {
      recent.references += 1
      return recent.id
    }
    check(text)
    const entry = this.#intern([text], true)
    this.#recentString = entry
    return entry?.id ?? -1
  }

  #intern(strings: readonly string[], kept: boolean): Entry | undefined {
    const key = strings.join('\0')
    const entry = this.#listOf(kept).get(key) ?? this.#write(key, strings, kept)
    if (entry === undefined) return undefined
    if (kept) {
      this.#kept.delete(key)
      this.#kept.set(key, entry)
    }
    entry.references += 1
    return entry
  }

  #listOf(kept: boolean): Map<string, Entry> {
    return kept ? this.#kept : this.#passing
  }

  release(id: number): void {
    const entry = this.#byId[id]
    if (entry === undefined) return
    entry.references -= 1
    if (entry.kept) {
      if (this.#kept.size > KEPT) this.#evict()
    } else if (entry.references === 0 && !entry.idle) {
      entry.idle = true
      entry.nextIdle = this.#idle
      this.#idle = entry
      this.#idleCount += 1
      if (this.#idleCount > IDLE) this.forget()
    }
  }

  /** Whether there is something to forget. */
  get hasIdle(): boolean {
    return this.#idle !== undefined
  }

  /** Wipes the environments that no call uses. */
  forget(): void {
    for (let entry = this.#idle; entry !== undefined; entry = this.#idle) {
      this.#idle = entry.nextIdle
      entry.nextIdle = undefined
      entry.idle = false
      if (entry.references === 0) this.#free(entry)
    }
    this.#idleCount = 0
  }

  /** Lets go of every list that no call uses. */
  clear(): void {
    this.forget()
    for (const entry of [...this.#kept.values()]) if (entry.references === 0) this.#free(entry)
  }

  #evict(): boolean {
    for (const entry of this.#kept.values()) {
      if (entry.references > 0) continue
      this.#free(entry)
      return true
    }
    return false
  }

  #makeRoom(): boolean {
    const { hasIdle } = this
    this.forget()
    return hasIdle || this.#evict()
  }

  #free(entry: Entry): void {
    const { words } = this.#memory
    const row = this.#memory.internedRow(entry.id)
    this.#recent = this.#recent.filter(recent => recent !== entry)
    if (this.#recentString === entry) this.#recentString = undefined
    this.#listOf(entry.kept).delete(entry.key)
    this.#byId[entry.id] = undefined
    // Before LIVE: whoever buries a thread that dies here goes on with it.
    freePages(this.#memory, row + Interned.PAGE)
    words[row + Interned.LIVE] = 0
    this.#memory.interned.free(entry.id)
  }

  #write(key: string, strings: readonly string[], kept: boolean): Entry | undefined {
    const { interned, words } = this.#memory
    const id = interned.allocate()
    if (id < 0) return this.#makeRoom() ? this.#write(key, strings, kept) : undefined
    const bytes = Buffer.from(strings.length === 0 ? '' : `${key}\0`)
    const page = writePages(this.#memory, bytes)
    if (page === NO_ROOM) {
      interned.free(id)
      return this.#makeRoom() ? this.#write(key, strings, kept) : undefined
    }
    const row = this.#memory.internedRow(id)
    words[row + Interned.GENERATION] = (words[row + Interned.GENERATION] ?? 0) + 1
    words[row + Interned.COUNT] = strings.length
    words[row + Interned.LENGTH] = bytes.byteLength
    words[row + Interned.PAGE] = page
    words[row + Interned.OWNER] = this.#owner
    words[row + Interned.LIVE] = 1
    const content = [...strings]
    const entry: Entry = { key, content, id, kept, references: 0, idle: false, nextIdle: undefined }
    this.#listOf(kept).set(key, entry)
    this.#byId[id] = entry
    return entry
  }
}

function sameStrings(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false
  return true
}
