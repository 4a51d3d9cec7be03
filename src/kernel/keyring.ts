/**
 * Named secrets for helpers. What shows an object (inspect, JSON, an error) shows the names and never the secrets.
 */
import { inspect } from 'node:util'
import { outOfRange, wrongType, wrongValue } from './errors.js'

const LONGEST_NAME_BYTES = 255
const LARGEST_SECRET_BYTES = 2 ** 20

export class Keyring {
  readonly #secrets = new Map<string, Buffer>()

  /**
   * @param secrets by their names
   * @throws TypeError, RangeError for names that can be no file's, and secrets that cannot be
   */
  constructor(secrets: Readonly<Record<string, string | Uint8Array>> = {}) {
    if (typeof secrets !== 'object' || secrets === null)
      throw wrongType('secrets', 'of type object', 'no object')
    for (const [name, secret] of Object.entries(secrets)) this.add(name, secret)
  }

  /**
   * Adds a secret, or replaces the one of that name. The bytes are copied.
   * @param name as the helper finds it: a file name
   * @param secret at most 1 MiB
   */
  add(name: string, secret: string | Uint8Array): this {
    checkName(name)
    if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
      throw wrongType(`secrets.${name}`, 'a string or an Uint8Array', typeof secret)
    }
    const bytes = Buffer.from(secret as string)
    if (bytes.byteLength > LARGEST_SECRET_BYTES) {
      throw outOfRange(`secrets.${name}`, `at most ${LARGEST_SECRET_BYTES} bytes long`, bytes.byteLength)
    }
    this.remove(name)
    this.#secrets.set(name, bytes)
    return this
  }

  /** Forgets a secret, and overwrites it. @returns whether there was one */
  remove(name: string): boolean {
    this.#secrets.get(name)?.fill(0)
    return this.#secrets.delete(name)
  }

  get names(): string[] {
    return [...this.#secrets.keys()]
  }

  /** @internal The secrets, for who hands them to a helper. */
  entries(): Iterable<readonly [name: string, secret: Buffer]> {
    return this.#secrets.entries()
  }

  toJSON(): { readonly names: readonly string[] } {
    return { names: this.names }
  }

  [inspect.custom](): string {
    return `Keyring { ${this.names.join(', ')} }`
  }
}

function checkName(name: unknown): asserts name is string {
  if (typeof name !== 'string') throw wrongType('name', 'of type string', name)
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw wrongValue('name', 'must be a file name: not empty, no slash, no null byte')
  }
  if (Buffer.byteLength(name) > LONGEST_NAME_BYTES) {
    throw outOfRange('name', `at most ${LONGEST_NAME_BYTES} bytes long`, Buffer.byteLength(name))
  }
}
