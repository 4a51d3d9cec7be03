/**
 * Folders of loadable modules that a test makes.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporary } from './temporary.js'

let folders = 0

/**
 * @param files their sources, by their names in the folder
 * @returns the folder
 */
export function moduleFolder(files: Readonly<Record<string, string>>): string {
  folders += 1
  const folder = temporary(`modules-${folders}`)
  for (const [name, source] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), source)
  }
  return folder
}

/** Has an object that a module can reach, which a test looks at. */
export function shared<Value extends object>(name: string, value: Value): Value {
  ;(globalThis as unknown as Record<string, unknown>)[name] = value
  return value
}
