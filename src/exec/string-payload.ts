/**
 * A call's payload as strings, for what runs in JavaScript: in-thread helpers, the child_process launcher.
 */
import { type Memory, Slot, SlotFlag, type SlotIndex } from '../kernel/memory.js'
import { InternedCache, PayloadCursor, type Steering } from './payload-cursor.js'

export interface StringPayload extends Steering {
  readonly argv: readonly string[]
  readonly envp: readonly string[]
}

export class StringPayloadReader {
  readonly #memory: Memory
  readonly #cursor: PayloadCursor
  readonly #environments: InternedCache<readonly string[]>
  #rested = false

  constructor(memory: Memory) {
    this.#memory = memory
    this.#cursor = new PayloadCursor(memory)
    this.#environments = new InternedCache(memory, (block, count) => {
      const cursor = new PayloadCursor(memory)
      cursor.openBytes(block)
      return Object.freeze(cursor.strings(count))
    })
  }

  /**
   * This thread is about to sleep: what it has gathered is overwritten. Environments, which are strings and cannot be,
   * it looks through with the next call, before that is executed: one that calls still have is not made anew for each.
   */
  rest(): void {
    this.#cursor.forget()
    this.#rested = true
  }

  /** Lets go of what this thread keeps of calls. */
  forget(): void {
    this.#cursor.forget()
    this.#environments.forget()
  }

  /** Everything that a program's launch needs. */
  read(slot: SlotIndex): StringPayload {
    const { words } = this.#memory
    this.#cursor.openSlot(slot)
    const steering = this.#cursor.steering(slot)
    const argv = this.#cursor.strings(words[this.#memory.slot(slot) + Slot.ARGC] ?? 0)
    return { ...steering, argv, envp: this.envp(slot) }
  }

  /**
   * Opens a call of an in-thread helper, whose `argv` and `envp` are to be asked for in this order.
   * @returns its path, empty where it is interned
   */
  open(slot: SlotIndex): string {
    if (this.#rested) {
      this.#rested = false
      this.#environments.forgetFreed()
    }
    const flags = this.#memory.words[this.#memory.slot(slot) + Slot.FLAGS] ?? 0
    this.#cursor.openSlot(slot)
    return flags & SlotFlag.USED_ALL ? this.#cursor.steering(slot).path : ''
  }

  argv(slot: SlotIndex): string[] {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const count = words[row + Slot.ARGC] ?? 0
    return (words[row + Slot.ENVIRONMENT] ?? 0) > 0
      ? this.#cursor.lastStrings(slot, count)
      : this.#cursor.strings(count)
  }

  envp(slot: SlotIndex): readonly string[] {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const named = words[row + Slot.ENVIRONMENT] ?? 0
    return named > 0 ? this.#environments.get(named - 1) : this.#cursor.strings(words[row + Slot.ENVC] ?? 0)
  }
}
