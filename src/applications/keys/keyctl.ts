/**
 * Keys by name of operation, for whoever is not to be trusted: the helpers on the system-call socket. Each argument is
 * checked as if it were meant to harm; payloads come and go as bytes.
 */
import { isSystemError, type SystemError } from '../../kernel/errors.js'
import type { KeyCredentials } from './credentials.js'
import { keyError, ownType } from './errors.js'
import type { Keys, KeyWaitOptions } from './keys.js'
import { showKeys } from './show.js'

const LARGEST_ID = 2 ** 31 - 1
const LEAST_ID = -(2 ** 31)
const LARGEST_UNSIGNED = 2 ** 32 - 1
const MOVE_EXCL = 1

/** The arguments of one call, taken one by one. */
class Arguments {
  readonly #operation: string
  readonly #values: readonly unknown[]
  #next = 0

  constructor(operation: string, values: unknown) {
    this.#operation = operation
    if (!Array.isArray(values)) throw this.#invalid('takes a list of arguments')
    this.#values = values
  }

  #invalid(what: string): SystemError {
    return keyError('EINVAL', `${this.#operation} ${what}`, `keyctl_${this.#operation}`)
  }

  #take(): { readonly value: unknown; readonly place: number } {
    const value = this.#values[this.#next]
    this.#next += 1
    return { value, place: this.#next }
  }

  #integer(least: number, most: number): number {
    const { value, place } = this.#take()
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      throw this.#invalid(`: argument ${place} must be an integer from ${least} to ${most}`)
    }
    return value
  }

  id(): number {
    return this.#integer(LEAST_ID, LARGEST_ID)
  }

  /** A keyring's number, 0 or left out for none. */
  optionalId(): number {
    return this.#values[this.#next] === undefined ? this.#skip(0) : this.id()
  }

  #skip<Value>(value: Value): Value {
    this.#next += 1
    return value
  }

  unsigned(): number {
    return this.#integer(0, LARGEST_UNSIGNED)
  }

  flag(): boolean {
    const { value, place } = this.#take()
    if (value === undefined || value === false || value === 0) return false
    if (value === true || value === 1) return true
    throw this.#invalid(`: argument ${place} must be true or false`)
  }

  /** Flags of keyctl_move. */
  moveFlags(): boolean {
    return this.#values[this.#next] === undefined
      ? this.#skip(false)
      : this.#integer(0, MOVE_EXCL) === MOVE_EXCL
  }

  text(): string {
    const { value, place } = this.#take()
    if (typeof value !== 'string') throw this.#invalid(`: argument ${place} must be a string`)
    return value
  }

  /** A key type, but not one for the inside of the process only. */
  typeName(): string {
    const name = this.text()
    if (name.startsWith('.')) throw ownType(name, `keyctl_${this.#operation}`)
    return name
  }

  bytes(): Buffer {
    const { value, place } = this.#take()
    if (typeof value === 'string') return Buffer.from(value)
    if (value instanceof Uint8Array) return Buffer.from(value)
    throw this.#invalid(`: argument ${place} must be bytes`)
  }

  optionalBytes(): Buffer | undefined {
    const value = this.#values[this.#next]
    return value === undefined || value === null ? this.#skip(undefined) : this.bytes()
  }

  end(): void {
    if (this.#values.length > this.#next) throw this.#invalid(`takes at most ${this.#next} arguments`)
  }
}

/** Who calls, and what breaks off their waits. */
type Caller = KeyWaitOptions & { readonly credentials: KeyCredentials }

/** Reads the arguments of one operation; what it gives back is done after all of them have been read. */
type Operation = (take: Arguments, keys: Keys, caller: Caller) => () => unknown

const OPERATIONS: Readonly<Record<string, Operation>> = {
  add(take, keys, caller) {
    const [type, description, payload, keyring] = [take.typeName(), take.text(), take.bytes(), take.id()]
    return async () => (await keys.addKey(type, description, payload, { ...caller, keyring })).serial
  },
  request(take, keys, caller) {
    const [type, description] = [take.typeName(), take.text()]
    const [callout, destination] = [take.optionalBytes(), take.optionalId()]
    const options = destination === 0 ? caller : { ...caller, destination }
    return async () => (await keys.requestKey(type, description, callout, options)).serial
  },
  update(take, keys, caller) {
    const [id, payload] = [take.id(), take.bytes()]
    return () => keys.update(id, payload, caller)
  },
  revoke(take, keys, caller) {
    const id = take.id()
    return () => keys.revoke(id, caller)
  },
  describe(take, keys, caller) {
    const id = take.id()
    return () => keys.describe(id, caller)
  },
  read(take, keys, caller) {
    const id = take.id()
    return () => keys.read(id, caller)
  },
  link(take, keys, caller) {
    const [id, keyring] = [take.id(), take.id()]
    return () => keys.link(id, keyring, caller)
  },
  unlink(take, keys, caller) {
    const [id, keyring] = [take.id(), take.id()]
    return () => keys.unlink(id, keyring, caller)
  },
  move(take, keys, caller) {
    const [id, from, to, exclusive] = [take.id(), take.id(), take.id(), take.moveFlags()]
    return () => keys.move(id, from, to, { ...caller, exclusive })
  },
  search(take, keys, caller) {
    const [keyring, type, description, destination] = [
      take.id(),
      take.typeName(),
      take.text(),
      take.optionalId(),
    ]
    const options = destination === 0 ? caller : { ...caller, destination }
    return () => search(() => keys.search(keyring, type, description, options).serial)
  },
  clear(take, keys, caller) {
    const keyring = take.id()
    return () => keys.clear(keyring, caller)
  },
  newring(take, keys, caller) {
    const [name, keyring] = [take.text(), take.id()]
    return async () => (await keys.addKey('keyring', name, '', { ...caller, keyring })).serial
  },
  timeout(take, keys, caller) {
    const [id, seconds] = [take.id(), take.unsigned()]
    return () => keys.setTimeout(id, seconds, caller)
  },
  setperm(take, keys, caller) {
    const [id, mask] = [take.id(), take.unsigned()]
    return () => keys.setPermissions(id, mask, caller)
  },
  instantiate(take, keys, caller) {
    const [id, payload, keyring] = [take.id(), take.bytes(), take.optionalId()]
    return () => keys.instantiate(id, payload, keyring, caller)
  },
  negate(take, keys, caller) {
    const [id, seconds, keyring] = [take.id(), take.unsigned(), take.optionalId()]
    return () => keys.negate(id, seconds, keyring, caller)
  },
  reject(take, keys, caller) {
    const [id, seconds, error, keyring] = [take.id(), take.unsigned(), take.unsigned(), take.optionalId()]
    return () => keys.reject(id, seconds, error, keyring, caller)
  },
  invalidate(take, keys, caller) {
    const id = take.id()
    return () => keys.invalidate(id, caller)
  },
  assume_authority(take, keys, caller) {
    const id = take.id()
    return () => keys.assumeAuthority(id, caller)
  },
  get_keyring_ID(take, keys, caller) {
    const [id, create] = [take.id(), take.flag()]
    return () => keys.getKeyringId(id, create, caller)
  },
  show(_, keys, caller) {
    return () => showKeys(keys.store, caller.credentials)
  },
}

/** Nothing there and a key that says no are the same to user space. */
function search(find: () => number): number {
  try {
    return find()
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'EAGAIN') throw error
    throw keyError('ENOKEY', 'there is no such key', 'keyctl_search')
  }
}

/**
 * @returns numbers of keys, text, a Buffer, or nothing; a promise for operations that may have to wait
 * @throws SystemError EOPNOTSUPP for operations that there are not, EINVAL for arguments that cannot be, and what each
 *   operation says, at once or by its promise
 */
export function keyctl(
  keys: Keys,
  operation: string,
  args: unknown,
  caller: Caller,
): unknown | Promise<unknown> {
  if (typeof operation !== 'string' || !Object.hasOwn(OPERATIONS, operation)) {
    throw keyError('EOPNOTSUPP', `no such operation; there are: ${Object.keys(OPERATIONS).join(', ')}`)
  }
  const take = new Arguments(operation, args)
  const perform = OPERATIONS[operation]?.(take, keys, caller)
  take.end()
  return perform?.()
}
