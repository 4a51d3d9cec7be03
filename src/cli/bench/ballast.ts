/**
 * Memory that is held and touched, as a large service's is: what fork has to copy the page tables of.
 */
const MEGABYTE = 2 ** 20
const PART = 64 * MEGABYTE

/** Held until the process ends. */
const held: Buffer[] = []

/** Grows this process to about `megabytes`. */
export function growTo(megabytes: number): void {
  for (let left = megabytes * MEGABYTE - process.memoryUsage.rss(); left > 0; left -= PART) {
    held.push(Buffer.alloc(Math.min(PART, left), 1))
  }
}
