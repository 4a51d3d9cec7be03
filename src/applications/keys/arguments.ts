/**
 * What callers give, checked at the door. Payloads and callout infos are never shown.
 */
import { outOfRange, wrongType, wrongValue } from '../../kernel/errors.js'
import { type ErrnoName, errno } from '../../libc/errno.js'
import {
  CALLOUT_BYTES,
  DESCRIPTION_BYTES,
  LARGEST_PAYLOAD,
  LARGEST_TIMEOUT,
  RESTART_ERRORS,
  TYPE_NAME_BYTES,
} from './constants.js'
import { isErrorName, keyError } from './errors.js'

const LARGEST_ID = 2 ** 32 - 2

export function object(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null) throw wrongType(name, 'of type object', value)
}

/** A user's or a group's number. */
export function id(value: unknown, name: string): number {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value)
  if (!Number.isInteger(value) || value < 0 || value > LARGEST_ID) {
    throw outOfRange(name, `an integer from 0 to ${LARGEST_ID}`, value)
  }
  return value
}

/** A type's name as key_get_type_from_user takes it. */
export function typeName(value: unknown): asserts value is string {
  if (typeof value !== 'string') throw wrongType('type', 'of type string', value)
  if (value === '' || Buffer.byteLength(value) >= TYPE_NAME_BYTES || value.includes('\0')) {
    throw keyError('EINVAL', `a type's name has from 1 to ${TYPE_NAME_BYTES - 1} bytes`)
  }
}

export function description(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw wrongType(name, 'of type string', value)
  if (Buffer.byteLength(value) >= DESCRIPTION_BYTES || value.includes('\0')) {
    throw keyError('EINVAL', `a description has at most ${DESCRIPTION_BYTES - 1} bytes, and no NUL`)
  }
}

/** @returns a copy */
export function payload(value: unknown): Buffer {
  const bytes = copy(value, 'payload')
  if (bytes.byteLength > LARGEST_PAYLOAD) {
    throw keyError('EINVAL', `a payload has at most ${LARGEST_PAYLOAD} bytes`)
  }
  return bytes
}

/** @returns a copy */
export function callout(value: unknown): Buffer {
  const bytes = copy(value, 'calloutInfo')
  if (bytes.byteLength >= CALLOUT_BYTES || bytes.includes(0)) {
    throw keyError('EINVAL', `callout info has at most ${CALLOUT_BYTES - 1} bytes, and no NUL`, 'request_key')
  }
  return bytes
}

function copy(value: unknown, name: string): Buffer {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    throw wrongType(name, 'a string or an Uint8Array', typeof value)
  }
  return Buffer.from(value as string)
}

/** Seconds. */
export function timeout(value: unknown): asserts value is number {
  if (!Number.isInteger(seconds(value, 'timeout'))) {
    throw outOfRange('timeout', `an integer from 0 to ${LARGEST_TIMEOUT}, in seconds`, value)
  }
}

/** Seconds, of which the last need not be whole. */
export function seconds(value: unknown, name: string, least = 0, most = LARGEST_TIMEOUT): number {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value)
  if (!(value >= least && value <= most)) {
    throw outOfRange(name, `from ${least} to ${most}, in seconds`, value)
  }
  return value
}

/** The numbers of groups. */
export function ids(value: unknown, name: string): readonly number[] {
  if (!Array.isArray(value)) throw wrongType(name, 'an array of numbers', value)
  return value.map((member, index) => id(member, `${name}[${index}]`))
}

/** The name of an error that a key can say. */
export function errorName(value: unknown, name: string): asserts value is ErrnoName {
  if (typeof value !== 'string') throw wrongType(name, 'of type string', value)
  if (!isErrorName(value) || RESTART_ERRORS.includes(errno(value))) {
    throw wrongValue(name, "must be the name of an error, such as 'EKEYREJECTED'")
  }
}

export function signal(value: unknown): AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) {
    throw wrongType('options.signal', 'an AbortSignal', value)
  }
  return value
}
