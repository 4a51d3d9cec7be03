/**
 * A call's payload by address, for posix_spawn: argv and envp never become strings of ours.
 */

import { type Memory, Slot, type SlotIndex } from '../kernel/memory.js'
import type { Address, Library } from '../libc/index.js'
import { InternedCache, PayloadCursor, type Steering } from './payload-cursor.js'

const TWO_TO_32 = 2 ** 32

/** A growing array of C pointers, ended by NULL. */
class PointerArray {
  readonly #library: Library
  #words = new Uint32Array(128)
  #count = 0
  address: Address

  constructor(library: Library) {
    this.#library = library
    this.address = library.addressOf(this.#words)
  }

  /** Points to `count` strings from the cursor on, whose bytes begin at `base`. */
  fill(cursor: PayloadCursor, base: Address, count: number): void {
    this.#count = 0
    for (let index = 0; index < count; index += 1) this.#push(base + cursor.skip())
    this.#push(0)
  }

  /** `first`, then those of `others` from the second on. */
  fillBefore(first: readonly Address[], others: PointerArray): void {
    this.#count = 0
    for (const pointer of first) this.#push(pointer)
    for (let index = 1; index < others.#count; index += 1) {
      this.#push((others.#words[index * 2] ?? 0) + (others.#words[index * 2 + 1] ?? 0) * TWO_TO_32)
    }
    if (others.#count < 2) this.#push(0)
  }

  #push(pointer: Address): void {
    if ((this.#count + 1) * 2 > this.#words.length) this.#grow()
    this.#words[this.#count * 2] = pointer % TWO_TO_32
    this.#words[this.#count * 2 + 1] = Math.floor(pointer / TWO_TO_32)
    this.#count += 1
  }

  #grow(): void {
    const words = new Uint32Array(this.#words.length * 2)
    words.set(this.#words)
    this.#words = words
    this.address = this.#library.addressOf(words)
  }
}

interface NativeEnvironment {
  /** Held, because `pointers` points into it. */
  readonly block: Buffer
  readonly pointers: PointerArray
}

/** Addresses that are good until the next call is opened. */
export interface NativePayload {
  readonly path: Address
  readonly argv: Address
  readonly envp: Address
}

export class NativePayloadReader {
  readonly #memory: Memory
  readonly #library: Library
  readonly #cursor: PayloadCursor
  readonly #shared: Address
  readonly #argv: PointerArray
  readonly #envp: PointerArray
  readonly #shellArgv: PointerArray
  readonly #environments: InternedCache<NativeEnvironment>
  #base = 0
  #path = 0

  constructor(memory: Memory, library: Library) {
    this.#memory = memory
    this.#library = library
    this.#cursor = new PayloadCursor(memory)
    this.#shared = library.addressOf(memory.bytes)
    this.#argv = new PointerArray(library)
    this.#envp = new PointerArray(library)
    this.#shellArgv = new PointerArray(library)
    this.#environments = new InternedCache(
      memory,
      (block, count) => {
        const cursor = new PayloadCursor(memory)
        cursor.openBytes(block)
        const pointers = new PointerArray(library)
        pointers.fill(cursor, library.addressOf(block), count)
        return { block, pointers }
      },
      ({ block }) => block.fill(0),
    )
  }

  /** Overwrites what this thread keeps of calls: none is being launched. */
  forget(): void {
    this.#cursor.forget()
    this.#environments.forget()
  }

  /** Opens a call and reads the strings that steer it. */
  open(slot: SlotIndex): Steering {
    this.#cursor.openSlot(slot)
    this.#base =
      this.#cursor.bytes === this.#memory.bytes ? this.#shared : this.#library.addressOf(this.#cursor.bytes)
    this.#path = this.#base + this.#cursor.position
    return this.#cursor.steering(slot)
  }

  /** After `addresses`: what a shell is given to run the program as its script, as execvp(3) does. */
  shellArgv(shell: Address, script: Address): Address {
    this.#shellArgv.fillBefore([shell, script], this.#argv)
    return this.#shellArgv.address
  }

  /** Of the call just opened; once. */
  addresses(slot: SlotIndex): NativePayload {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    this.#argv.fill(this.#cursor, this.#base, words[row + Slot.ARGC] ?? 0)
    const named = words[row + Slot.ENVIRONMENT] ?? 0
    if (named > 0) {
      return {
        path: this.#path,
        argv: this.#argv.address,
        envp: this.#environments.get(named - 1).pointers.address,
      }
    }
    this.#envp.fill(this.#cursor, this.#base, words[row + Slot.ENVC] ?? 0)
    return { path: this.#path, argv: this.#argv.address, envp: this.#envp.address }
  }
}
