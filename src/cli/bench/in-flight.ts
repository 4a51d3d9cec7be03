/**
 * Operations of which a number are always in flight, as contenders.
 */
import type { Contender } from './measure.js'

/** Keeps `limit` operations in flight until `count` are done. */
async function inFlight(count: number, limit: number, operation: () => Promise<unknown>): Promise<void> {
  let left = count
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await operation()
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, count) }, lane))
}

/**
 * @param limit operations in flight
 * @param operation is given another text each time, so that no two calls have the same arguments
 */
export function contender(
  name: string,
  limit: number,
  operation: (serial: string) => Promise<unknown>,
): Contender {
  let serial = 0
  return {
    name,
    least: limit,
    async run(count) {
      await inFlight(count, limit, () => {
        serial += 1
        return operation(String(serial))
      })
      return undefined
    },
  }
}
