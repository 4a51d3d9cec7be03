/**
 * Memory that malloc has free and does not give back: it lies before a block that stays.
 */
import { loadLibrary } from '../../src/libc/library.js'

/** Below the size from which malloc has a mapping for each block. */
const BLOCK_BYTES = 64 * 1024

/** @returns frees the block that stays */
export function leaveFree(bytes: number): () => void {
  const library = loadLibrary()
  const malloc = library.func('uintptr_t malloc(size_t)')
  const memset = library.func('uintptr_t memset(uintptr_t, int, size_t)')
  const free = library.func('void free(uintptr_t)')
  const blocks: number[] = []
  for (let taken = 0; taken < bytes; taken += BLOCK_BYTES) {
    const block = malloc(BLOCK_BYTES)
    memset(block, 1, BLOCK_BYTES)
    blocks.push(block)
  }
  const stays = blocks.pop() ?? 0
  for (const block of blocks) free(block)
  return () => void free(stays)
}
