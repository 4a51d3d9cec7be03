/**
 * Gives memory that was freed back to Linux.
 */
import type { Library } from './library.js'

/**
 * `malloc_trim(3)`, in every arena of the process, one after the other: 1 to 7 ms, for each of which allocations in
 * that arena wait. By itself glibc gives back no more than what lies at an arena's end, and of that only what exceeds
 * twice the largest block that was ever freed.
 */
export function mallocTrim(library: Library): void {
  let trim: ReturnType<Library['func']>
  try {
    trim = library.func('int malloc_trim(size_t)')
  } catch {
    // musl has none, and keeps no such memory.
    return
  }
  trim(0)
}
