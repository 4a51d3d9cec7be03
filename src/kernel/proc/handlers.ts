/**
 * How the files of /proc/sys read and write their values, as in Linux 6.17, kernel/sysctl.c.
 */
import { SystemError } from '../errors.js'
import type { ProcFile } from './tree.js'

/** A value of the kernel that is read and set by path. */
export interface Sysctl<Value> extends ProcFile {
  value: Value
}

const invalid = (path: string, what: string) =>
  new SystemError('EINVAL', `${path}: ${what}`, { syscall: 'write', path })

/**
 * A line of text (proc_dostring): what is written ends at the first line feed or NUL, and is cut, without a word, to
 * `size` bytes with the NUL that ends it.
 */
export function stringSysctl(initial: string, size: number): Sysctl<string> & Required<ProcFile> {
  const sysctl = {
    value: initial,
    read: () => `${sysctl.value}\n`,
    write: (data: string) => {
      const [line = ''] = data.split(/[\n\0]/, 1)
      const bytes = Buffer.from(line)
      sysctl.value =
        bytes.byteLength < size
          ? line
          : new TextDecoder().decode(bytes.subarray(0, size - 1), { stream: true })
    },
  }
  return sysctl
}

/** A number (proc_dointvec_minmax). Decimal, octal with 0 and hexadecimal with 0x are taken. */
export function integerSysctl(
  path: string,
  initial: number,
  least: number,
  most: number,
): Sysctl<number> & Required<ProcFile> {
  const sysctl = {
    value: initial,
    read: () => `${sysctl.value}\n`,
    write: (data: string) => {
      const value = parseInteger(data.trim())
      if (value === undefined) throw invalid(path, 'a number is expected')
      if (value < least || value > most) throw invalid(path, `must be from ${least} to ${most}`)
      sysctl.value = value
    },
  }
  return sysctl
}

/** As the kernel's own strtoul with base 0; `undefined` if it is no number. */
function parseInteger(text: string): number | undefined {
  const match = /^(-?)(?:0x([\da-f]+)|0([0-7]*)|([1-9]\d*))$/i.exec(text)
  if (match === null) return undefined
  const [, sign, hexadecimal, octal, decimal] = match
  let magnitude: number
  if (hexadecimal !== undefined) magnitude = Number.parseInt(hexadecimal, 16)
  else if (decimal !== undefined) magnitude = Number(decimal)
  else magnitude = octal === '' ? 0 : Number.parseInt(octal ?? '', 8)
  if (!Number.isSafeInteger(magnitude)) return undefined
  return sign === '-' && magnitude !== 0 ? -magnitude : magnitude
}

const HALF_BITS = 32n
const HALF = 0xffff_ffffn

/**
 * A set of capabilities that can only lose members (proc_cap_handler): two numbers, the low 32 bits first,
 * written as `integerSysctl` takes them. What is left out stays as it is.
 */
export function capabilitySysctl(path: string, get: () => bigint, limit: (mask: bigint) => void): ProcFile {
  return {
    read: () => `${get() & HALF}\t${get() >> HALF_BITS}\n`,
    write: data => {
      const words = data.split(/\s+/).filter(word => word !== '')
      const numbers = words.map(parseInteger)
      if (numbers.length === 0 || numbers.length > 2) throw invalid(path, 'two numbers are expected')
      const [low = get() & HALF, high = get() >> HALF_BITS] = numbers.map(number => {
        if (number === undefined) throw invalid(path, 'two numbers are expected')
        if (number < 0 || number > HALF) throw invalid(path, 'each number has 32 bits')
        return BigInt(number)
      })
      limit(get() & ((high << HALF_BITS) | low))
    },
  }
}
