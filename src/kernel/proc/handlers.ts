/**
 * How the files of /proc/sys read and write their values, as in Linux 6.17, kernel/sysctl.c.
 */
import { SystemError } from '../errors.js'
import { isFromRoot } from '../helper-programs.js'
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
 * @param check throws for a line that is not taken
 */
export function stringSysctl(
  initial: string,
  size: number,
  check: (line: string) => void = () => {},
): Sysctl<string> & Required<ProcFile> {
  const sysctl = {
    value: initial,
    read: () => `${sysctl.value}\n`,
    write: (data: string) => {
      const [line = ''] = data.split(/[\n\0]/, 1)
      const bytes = Buffer.from(line)
      const held =
        bytes.byteLength < size
          ? line
          : new TextDecoder().decode(bytes.subarray(0, size - 1), { stream: true })
      check(held)
      sysctl.value = held
    },
  }
  return sysctl
}

/** @throws unless a program is named from the root; nothing at all is none, which is fine */
const checkProgram = (path: string, line: string, program: string): void => {
  if (program === '' || isFromRoot(program)) return
  throw invalid(
    path,
    `'${line}' names a program of the folder that the service is in; give its absolute path, or the file: URL of an in-thread helper`,
  )
}

/** The path of a program that the kernel starts by itself. */
export const programSysctl = (path: string, initial: string, size: number) =>
  stringSysctl(initial, size, line => checkProgram(path, line, line))

/** A program that the kernel starts by itself, with arguments between white space. */
export const commandSysctl = (path: string, initial: string, size: number) =>
  stringSysctl(initial, size, line => checkProgram(path, line, firstWord(line)))

/** A file, or a program behind a `|`; `|` alone is Linux's to refuse, and so here whoever uses it. */
export const corePatternSysctl = (path: string, initial: string, size: number) =>
  stringSysctl(initial, size, line => {
    const program = line.startsWith('|') ? firstWord(line.slice(1)) : ''
    if (program === '' || program.startsWith('/')) return
    throw invalid(path, `'${line}' must give its program by an absolute path, as in '|/usr/bin/program %p'`)
  })

/** Folders and files between colons. */
export const placesSysctl = (path: string, initial: string, size: number) =>
  stringSysctl(initial, size, line => {
    if (line.split(':').every(place => place === '' || place.startsWith('/'))) return
    throw invalid(path, `'${line}' must give each place by an absolute path`)
  })

const firstWord = (line: string): string => /[^\t-\r ]+/.exec(line)?.[0] ?? ''

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
