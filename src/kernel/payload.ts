/**
 * A slot's payload: the strings of one call, in UTF-8, each ended by a NUL, in this order:
 *
 *   path · working directory · PATH to search · a path for each stdio entry that has one · argv · envp
 *
 * Which of them are there is said by the slot's FLAGS, PROGRAM, STDIO, ARGC and ENVC; envp, and the path of
 * an in-thread helper, are here only where they could not be interned. A payload that fits stands in the slot itself, a longer one in a chain of
 * pages, so that the memory for a call needs no contiguous room and one slab serves every length.
 *
 * Nothing of it outlives the call: the owner overwrites it before it gives the slot or a page back, when whoever
 * executed the call has ended it and reads no more. The slab's atomics order the zeros before the next use.
 */
import { MAX_PAYLOAD_BYTES, type Memory, PAGE_BYTES, Slot, type SlotIndex } from './memory.js'

/** UTF-16 code units take at most three bytes each in UTF-8. */
const BYTES_PER_UNIT = 3
const LAST_ASCII = 0x7f
const WORD = 4

export const NO_ROOM = -1
export const TOO_BIG = -2

/**
 * Writes `text` into a new chain of pages.
 * @returns the first page plus one, or NO_ROOM with nothing taken
 */
export function writePages(memory: Memory, bytes: Uint8Array): number {
  let first = 0
  // From the end to the start, so that each page's link is known when it is written.
  for (let end = bytes.byteLength; end > 0; ) {
    const start = Math.floor((end - 1) / PAGE_BYTES) * PAGE_BYTES
    const page = memory.pages.allocate()
    if (page < 0) {
      wipePages(memory, first)
      freeChain(memory, first)
      return NO_ROOM
    }
    memory.words[memory.pageLink(page)] = first
    memory.bytes.set(bytes.subarray(start, end), memory.page(page))
    first = page + 1
    end = start
  }
  return first
}

/**
 * Overwrites a chain of pages and gives it back.
 * @param at the word that names its first page: cleared in between, so that whoever buries a thread that dies here
 *   finds pages that are still to be overwritten, or none
 */
export function freePages(memory: Memory, at: number): void {
  const { words } = memory
  const first = words[at] ?? 0
  wipePages(memory, first)
  words[at] = 0
  freeChain(memory, first)
}

function wipePages(memory: Memory, first: number): void {
  for (let link = first; link !== 0; link = memory.words[memory.pageLink(link - 1)] ?? 0) {
    const start = memory.page(link - 1)
    memory.bytes.fill(0, start, start + PAGE_BYTES)
  }
}

function freeChain(memory: Memory, first: number): void {
  for (let link = first; link !== 0; ) {
    const page = link - 1
    link = memory.words[memory.pageLink(page)] ?? 0
    memory.pages.free(page)
  }
}

/** Overwrites a call's strings, and gives their pages back: by its owner, when nobody reads them any more. */
export function wipePayload(memory: Memory, slot: SlotIndex): void {
  const { words } = memory
  const row = memory.slot(slot)
  if ((words[row + Slot.PAGE] ?? 0) > 0) freePages(memory, row + Slot.PAGE)
  else wipeInline(memory, slot, words[row + Slot.LENGTH] ?? 0)
  words[row + Slot.LENGTH] = 0
}

/** Overwrites the first `length` bytes of a slot's own room: by words, which for so few is faster than a native call. */
export function wipeInline(memory: Memory, slot: SlotIndex, length: number): void {
  const first = memory.inlinePayload(slot) / WORD
  const end = first + Math.ceil(length / WORD)
  for (let word = first; word < end; word += 1) memory.words[word] = 0
}

/** Gathers a chain of pages into `into`, which must have room for `length` bytes. */
export function readPages(memory: Memory, first: number, length: number, into: Uint8Array): void {
  let offset = 0
  for (let link = first; link !== 0 && offset < length; ) {
    const page = link - 1
    const start = memory.page(page)
    const count = Math.min(PAGE_BYTES, length - offset)
    into.set(memory.bytes.subarray(start, start + count), offset)
    offset += count
    link = memory.words[memory.pageLink(page)] ?? 0
  }
}

/**
 * Writes a string and its NUL, if it is short enough and plain ASCII, without a call into native code.
 * @returns where the next one begins; NO_ROOM where this one is for `writePayload`, or may be no string at all
 */
export function writeAscii(bytes: Uint8Array, at: number, end: number, text: unknown): number {
  if (typeof text !== 'string') return NO_ROOM
  const { length } = text
  if (at + length >= end) return NO_ROOM
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit === 0 || unit > LAST_ASCII) return NO_ROOM
    bytes[at + index] = unit
  }
  bytes[at + length] = 0
  return at + length + 1
}

export interface Written {
  readonly length: number
  /** The first page plus one, 0: inline. */
  readonly page: number
}

/** Where `inline` in `memory.bytes` has `room` bytes: writes `text` there, or into pages. */
export function writePayload(
  memory: Memory,
  text: string,
  inline: number,
  room: number,
): Written | typeof NO_ROOM | typeof TOO_BIG {
  if (text.length * BYTES_PER_UNIT <= room || Buffer.byteLength(text) <= room) {
    return { length: memory.bytes.write(text, inline, room, 'utf8'), page: 0 }
  }
  const bytes = Buffer.from(text)
  if (bytes.byteLength > MAX_PAYLOAD_BYTES) return TOO_BIG
  const page = writePages(memory, bytes)
  return page === NO_ROOM ? NO_ROOM : { length: bytes.byteLength, page }
}
