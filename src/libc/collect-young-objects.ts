/**
 * Frees what loading the C library has left behind in V8's heap.
 */
import { getHeapSpaceStatistics } from 'node:v8'

const ELEMENTS = 8_000
const ELEMENT_BYTES = 8
/** What V8's young objects have at most, unless it is told otherwise. */
const MOST_BYTES = 16 * 2 ** 20

/** Where what is made can be seen, so that it is made. */
const garbage: unknown[] = []

/**
 * Has V8 look through its young objects, by making as many as there is room for: under a millisecond. It would do so
 * by itself, but a thread may be ended before, and Node never frees the externals (`napi_create_external`) that are
 * there then, reached or not: 6 KB for each thread that has loaded the library.
 */
export function collectYoungObjects(): void {
  const young = getHeapSpaceStatistics().find(space => space.space_name === 'new_space')
  if (young === undefined) return
  const bytes = ELEMENTS * ELEMENT_BYTES
  const room = Math.min(young.space_available_size, MOST_BYTES) + bytes
  for (let made = 0; made < room; made += bytes) garbage[0] = new Array(ELEMENTS)
  garbage.length = 0
}
