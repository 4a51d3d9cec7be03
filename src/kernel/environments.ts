/**
 * Environments, written once and then named: services start most helpers with the same few.
 *
 * A row and its pages are written by the thread that interns, before any slot names them, and freed by
 * the same thread when no slot of its own does. A khelper that reads a slot therefore finds the row
 * alive; GENERATION tells it whether what it keeps of the row is still that environment.
 */
import { Environment, type Memory, type OwnerIndex } from './memory.js'
import { freePages, NO_ROOM, writePages } from './payload.js'

/** Environments that one thread keeps although no call uses them. */
const KEPT = 64
/** Of these, how many a new call's is compared with, string by string, before anything is joined. */
const RECENT = 4

interface Interned {
  readonly key: string
  readonly content: readonly string[]
  readonly id: number
  references: number
}

export class Environments {
  readonly #memory: Memory
  readonly #owner: OwnerIndex
  /** In the order of their last use: the first is the one to let go. */
  readonly #byContent = new Map<string, Interned>()
  readonly #byId = new Map<number, Interned>()
  /** The latest first. */
  #recent: Interned[] = []

  constructor(memory: Memory, owner: OwnerIndex) {
    this.#memory = memory
    this.#owner = owner
  }

  /**
   * Finds or writes an environment and counts one more use of it.
   * @param check called before an environment is taken in; throws if it may not be one
   * @returns its number, or -1 if there is no room for it: it then goes with the call itself
   */
  acquire(envp: readonly string[], check: (envp: readonly string[]) => void): number {
    const recent = this.#recent.find(({ content }) => sameStrings(content, envp))
    if (recent !== undefined) {
      recent.references += 1
      return recent.id
    }
    check(envp)
    const key = envp.join('\0')
    const interned = this.#byContent.get(key) ?? this.#write(key, envp)
    if (interned === undefined) return -1
    this.#byContent.delete(key)
    this.#byContent.set(key, interned)
    this.#recent = [interned, ...this.#recent.slice(0, RECENT - 1)]
    interned.references += 1
    return interned.id
  }

  release(id: number): void {
    const interned = this.#byId.get(id)
    if (interned === undefined) return
    interned.references -= 1
    if (this.#byContent.size > KEPT) this.#evict()
  }

  /** Lets go of every environment that no call uses. */
  clear(): void {
    for (const interned of [...this.#byContent.values()]) if (interned.references === 0) this.#free(interned)
  }

  #evict(): boolean {
    for (const interned of this.#byContent.values()) {
      if (interned.references > 0) continue
      this.#free(interned)
      return true
    }
    return false
  }

  #free(interned: Interned): void {
    const { words } = this.#memory
    const row = this.#memory.environment(interned.id)
    this.#recent = this.#recent.filter(recent => recent !== interned)
    this.#byContent.delete(interned.key)
    this.#byId.delete(interned.id)
    words[row + Environment.LIVE] = 0
    freePages(this.#memory, words[row + Environment.PAGE] ?? 0)
    this.#memory.environments.free(interned.id)
  }

  #write(key: string, envp: readonly string[]): Interned | undefined {
    const { environments, words } = this.#memory
    const id = environments.allocate()
    if (id < 0) return this.#evict() ? this.#write(key, envp) : undefined
    const bytes = Buffer.from(envp.length === 0 ? '' : `${key}\0`)
    const page = writePages(this.#memory, bytes)
    if (page === NO_ROOM) {
      environments.free(id)
      return undefined
    }
    const row = this.#memory.environment(id)
    words[row + Environment.GENERATION] = (words[row + Environment.GENERATION] ?? 0) + 1
    words[row + Environment.COUNT] = envp.length
    words[row + Environment.LENGTH] = bytes.byteLength
    words[row + Environment.PAGE] = page
    words[row + Environment.OWNER] = this.#owner
    words[row + Environment.LIVE] = 1
    const interned = { key, content: [...envp], id, references: 0 }
    this.#byContent.set(key, interned)
    this.#byId.set(id, interned)
    return interned
  }
}

function sameStrings(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false
  return true
}
