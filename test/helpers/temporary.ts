/**
 * Files that a test makes and that go with it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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
