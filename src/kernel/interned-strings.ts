/**
 * Interned lists of strings, written once and then named: services start most helpers with the same few
 * environments, and run the same few in-thread helpers.
 *
 * A row and its pages are written by the thread that interns, before any slot names them, and freed by
 * the same thread when no slot of its own does. A khelper that reads a slot therefore finds the row
 * alive; GENERATION tells it whether what it keeps of the row is still that list.
 */
import { Interned, type Memory, type OwnerIndex } from './memory.js'
import { freePages, NO_ROOM, writePages } from './payload.js'

/** Lists that one thread keeps although no call uses them. */
const KEPT = 64
/** Of these, how many a new call's is compared with, string by string, before anything is joined. */
const RECENT = 4

interface Entry {
  readonly key: string
  readonly content: readonly string[]
  readonly id: number
  references: number
}

export class InternedStrings {
  readonly #memory: Memory
  readonly #owner: OwnerIndex
  /** In the order of their last use: the first is the one to let go. */
  readonly #byContent = new Map<string, Entry>()
  readonly #byId: (Entry | undefined)[] = []
  /** The latest first. */
  #recent: Entry[] = []
  /** The latest that is a single string. */
  #recentString: Entry | undefined

  constructor(memory: Memory, owner: OwnerIndex) {
    this.#memory = memory
    this.#owner = owner
  }

  /**
   * Finds or writes a list and counts one more use of it.
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
    const entry = this.#intern(strings)
    if (entry === undefined) return -1
    this.#recent = [entry, ...recent.filter(other => other !== entry).slice(0, RECENT - 1)]
    return entry.id
  }

  /**
   * The same for a list of one, which is compared with the latest of its kind only.
   * @param check called before it is taken in; throws if it may not be one
   */
  acquireString(text: string, check: (text: string) => void): number {
    const recent = this.#recentString
    if (recent !== undefined && recent.content[0] === text) {
      recent.references += 1
      return recent.id
    }
    check(text)
    const entry = this.#intern([text])
    this.#recentString = entry
    return entry?.id ?? -1
  }

  #intern(strings: readonly string[]): Entry | undefined {
    const key = strings.join('\0')
    const entry = this.#byContent.get(key) ?? this.#write(key, strings)
    if (entry === undefined) return undefined
    this.#byContent.delete(key)
    this.#byContent.set(key, entry)
    entry.references += 1
    return entry
  }

  release(id: number): void {
    const entry = this.#byId[id]
    if (entry === undefined) return
    entry.references -= 1
    if (this.#byContent.size > KEPT) this.#evict()
  }

  /** Lets go of every list that no call uses. */
  clear(): void {
    for (const entry of [...this.#byContent.values()]) if (entry.references === 0) this.#free(entry)
  }

  #evict(): boolean {
    for (const entry of this.#byContent.values()) {
      if (entry.references > 0) continue
      this.#free(entry)
      return true
    }
    return false
  }

  #free(entry: Entry): void {
    const { words } = this.#memory
    const row = this.#memory.internedRow(entry.id)
    this.#recent = this.#recent.filter(recent => recent !== entry)
    if (this.#recentString === entry) this.#recentString = undefined
    this.#byContent.delete(entry.key)
    this.#byId[entry.id] = undefined
    words[row + Interned.LIVE] = 0
    freePages(this.#memory, words[row + Interned.PAGE] ?? 0)
    this.#memory.interned.free(entry.id)
  }

  #write(key: string, strings: readonly string[]): Entry | undefined {
    const { interned, words } = this.#memory
    const id = interned.allocate()
    if (id < 0) return this.#evict() ? this.#write(key, strings) : undefined
    const bytes = Buffer.from(strings.length === 0 ? '' : `${key}\0`)
    const page = writePages(this.#memory, bytes)
    if (page === NO_ROOM) {
      interned.free(id)
      return undefined
    }
    const row = this.#memory.internedRow(id)
    words[row + Interned.GENERATION] = (words[row + Interned.GENERATION] ?? 0) + 1
    words[row + Interned.COUNT] = strings.length
    words[row + Interned.LENGTH] = bytes.byteLength
    words[row + Interned.PAGE] = page
    words[row + Interned.OWNER] = this.#owner
    words[row + Interned.LIVE] = 1
    const entry = { key, content: [...strings], id, references: 0 }
    this.#byContent.set(key, entry)
    this.#byId[id] = entry
    return entry
  }
}

function sameStrings(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false
  return true
}
