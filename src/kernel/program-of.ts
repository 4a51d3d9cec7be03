/**
 * The program of a call, read from its descriptor.
 */
import { INLINE_BYTES, Interned, type Memory, PAGE_BYTES, Slot, type SlotIndex } from './memory.js'
import { readPages } from './payload.js'

/** The path with which a call's payload begins; a long one is cut. */
export function programOf(memory: Memory, slot: SlotIndex): string {
  const { words, bytes } = memory
  const row = memory.slot(slot)
  const program = words[row + Slot.PROGRAM] ?? 0
  const interned = program > 0 ? memory.internedRow(program - 1) : 0
  const page = program > 0 ? (words[interned + Interned.PAGE] ?? 0) : (words[row + Slot.PAGE] ?? 0)
  const length = Math.min(
    PAGE_BYTES,
    (program > 0 ? words[interned + Interned.LENGTH] : words[row + Slot.LENGTH]) ?? 0,
  )
  const block = Buffer.alloc(length + 1)
  if (page > 0) readPages(memory, page, length, block)
  else {
    const start = memory.inlinePayload(slot)
    bytes.copy(block, 0, start, start + Math.min(length, INLINE_BYTES))
  }
  return block.toString('utf8', 0, block.indexOf(0))
}
