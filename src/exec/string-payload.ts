/**
 * A call's payload as strings, for what runs in JavaScript: in-thread helpers, the child_process launcher.
 */
import { type Memory, Slot, type SlotIndex } from '../kernel/memory.js'
import { EnvironmentCache, PayloadCursor, type Steering } from './payload-cursor.js'

export interface StringPayload extends Steering {
  readonly argv: readonly string[]
  readonly envp: readonly string[]
}

export class StringPayloadReader {
  readonly #memory: Memory
  readonly #cursor: PayloadCursor
  readonly #environments: EnvironmentCache<readonly string[]>

  constructor(memory: Memory) {
    this.#memory = memory
    this.#cursor = new PayloadCursor(memory)
    this.#environments = new EnvironmentCache(memory, (block, count) => {
      const cursor = new PayloadCursor(memory)
      cursor.openBytes(block)
      return Object.freeze(cursor.strings(count))
    })
  }

  read(slot: SlotIndex): StringPayload {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    this.#cursor.openSlot(slot)
    const steering = this.#cursor.steering(slot)
    const argv = this.#cursor.strings(words[row + Slot.ARGC] ?? 0)
    const named = words[row + Slot.ENVIRONMENT] ?? 0
    const envp =
      named > 0 ? this.#environments.get(named - 1) : this.#cursor.strings(words[row + Slot.ENVC] ?? 0)
    return { ...steering, argv, envp }
  }
}
