/**
 * Files that a test makes and that go with it.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = mkdtempSync(join(tmpdir(), 'khelper-test-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

export const temporary = (name: string): string => join(folder, name)

/** Writes a file and gives its path. */
export function write(name: string, content: string | Uint8Array, mode = 0o644): string {
  writeFileSync(temporary(name), content, { mode })
  return temporary(name)
}

let modules = 0

/** Writes an in-thread helper and gives its URL. */
export function inThreadHelper(source: string): string {
  modules += 1
  return pathToFileURL(write(`helper-${modules}.mjs`, source)).href
}

/** Writes an in-thread helper without an end. @returns its URL, and whether it has begun */
export function endlessHelper(): { readonly url: string; begun(): boolean } {
  const marker = temporary(`begun-${modules}`)
  const url = inThreadHelper(
    `import { writeFileSync } from 'node:fs'
     export default () => { writeFileSync('${marker}', ''); for (;;); }`,
  )
  return { url, begun: () => existsSync(marker) }
}

/** A shell's wait for a file; over, too, with this process, so that a test that fails leaves nobody waiting. */
export const untilThere = (path: string): string =>
  `while [ ! -e ${path} ] && [ -d /proc/${process.pid} ]; do sleep 0.01; done`
