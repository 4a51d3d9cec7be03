/**
 * Key types: what a payload may be, what becomes of it, and who makes it when it is asked for (struct key_type).
 */
import { wrongType } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import type { AuthorityKey } from './authority.js'
import { LARGEST_USER_PAYLOAD, TYPE_NAME_BYTES } from './constants.js'
import { keyError } from './errors.js'
import type { Key } from './key.js'

export interface KeyType {
  /** 1 to 31 bytes; one that begins with a dot can be used from inside the process only. */
  readonly name: string
  /** Refuses descriptions that cannot be. It is asked before a search, too: error messages quote what it let pass. */
  vetDescription?(description: string): void
  /**
   * Checks a payload. Default: it is taken as it is.
   * @returns what the key holds
   */
  instantiate?(payload: Buffer, key: Key | undefined): Buffer
  /** The same for a payload that takes the place of another. Without it keys of this type cannot be updated. */
  update?(payload: Buffer, key: Key): Buffer
  /** What `read` gives of what the key holds. Without it the payload does not leave the process. */
  read?(payload: Buffer, key: Key): Buffer
  /** Refuses what is asked for, or finds keys in another way than by the whole description. */
  matchPreparse?(description: string): ((key: Key) => boolean) | undefined
  /**
   * Makes the key that `authority` is for, with `authority.instantiate` or `authority.reject`. Without it the helper
   * program is run. What it throws is what the first who asked gets.
   */
  requestKey?(authority: AuthorityKey, kernel: Kernel): void | Promise<void>
}

/** What a user's payload may be (user_preparse). */
function userPayload(payload: Buffer): Buffer {
  if (payload.byteLength === 0 || payload.byteLength > LARGEST_USER_PAYLOAD) {
    throw keyError('EINVAL', `the payload must have from 1 to ${LARGEST_USER_PAYLOAD} bytes`)
  }
  return payload
}

/** Bytes that whoever may read the key can have. */
const userType: KeyType = {
  name: 'user',
  instantiate: userPayload,
  update: userPayload,
  read: payload => payload,
}

/** Bytes for code inside this process only. */
const logonType: KeyType = {
  name: 'logon',
  instantiate: userPayload,
  update: userPayload,
  vetDescription(description) {
    if (description.indexOf(':') < 1) {
      throw keyError('EINVAL', "a logon key's description begins with the name of a service and a colon")
    }
  },
}

export const keyringType: KeyType = {
  name: 'keyring',
  instantiate(payload) {
    if (payload.byteLength !== 0) throw keyError('EINVAL', 'a keyring has no payload')
    return payload
  },
  read: (_, keyring) => {
    const serials = [...(keyring.links?.values() ?? [])]
    const bytes = Buffer.alloc(serials.length * Int32Array.BYTES_PER_ELEMENT)
    serials.forEach((key, index) => {
      bytes.writeInt32LE(key.serial, index * Int32Array.BYTES_PER_ELEMENT)
    })
    return bytes
  },
}

/** What a construction is done with: it names the key to be made, and for whom (key_type_request_key_auth). */
export const authorityType: KeyType = {
  name: '.request_key_auth',
  read: payload => payload,
}

const METHODS = [
  'vetDescription',
  'instantiate',
  'update',
  'read',
  'matchPreparse',
  'requestKey',
] as const satisfies readonly (keyof KeyType)[]

export class KeyTypes {
  readonly #types = new Map<string, KeyType>(
    [userType, logonType, keyringType, authorityType].map(type => [type.name, type]),
  )

  /**
   * Adds a type (register_key_type).
   * @throws SystemError EEXIST if there is one of this name, EINVAL for a name that cannot be
   */
  register(type: KeyType): void {
    if (typeof type !== 'object' || type === null) throw wrongType('type', 'of type object', type)
    if (typeof type.name !== 'string') throw wrongType('type.name', 'of type string', type.name)
    for (const method of METHODS) {
      const value: unknown = type[method]
      if (value !== undefined && typeof value !== 'function') {
        throw wrongType(`type.${method}`, 'a function', value)
      }
    }
    const { name } = type
    if (name === '' || name.includes('\0') || Buffer.byteLength(name) >= TYPE_NAME_BYTES) {
      throw keyError(
        'EINVAL',
        `a type's name has from 1 to ${TYPE_NAME_BYTES - 1} bytes`,
        'register_key_type',
      )
    }
    if (this.#types.has(name)) {
      throw keyError('EEXIST', `there is a key type of this name: ${name}`, 'register_key_type')
    }
    this.#types.set(name, type)
  }

  unregister(type: KeyType): void {
    if (this.#types.get(type.name) === type) this.#types.delete(type.name)
  }

  get(name: string): KeyType | undefined {
    return this.#types.get(name)
  }
}
