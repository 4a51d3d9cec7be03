/**
 * Probes are started one at a time, in turns.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PROBE = fileURLToPath(new URL('./probe.js', import.meta.url))
const output = promisify(execFile)

/** @returns for each probe what it found, a number for each round */
export async function probe<const What extends string>(
  whats: readonly What[],
  rounds: number,
): Promise<Record<What, number[]>> {
  const found = Object.fromEntries(whats.map(what => [what, [] as number[]])) as Record<What, number[]>
  for (let round = 0; round < rounds; round += 1) {
    for (const what of whats) {
      const { stdout } = await output(process.execPath, ['--expose-gc', PROBE, what])
      found[what].push(Number(stdout))
    }
  }
  return found
}
