/**
 * Error numbers and their names, as the platform has them, with those of Linux that Node does not list.
 */
import { constants } from 'node:os'

/** Numbers that `os.constants.errno` leaves out, with Linux's values. */
const LINUX_ONLY = {
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  /** Kernel internal: a wait was broken by a signal. */
  ERESTARTSYS: 512,
} as const

export type ErrnoName = keyof typeof constants.errno | keyof typeof LINUX_ONLY

const numbers: Readonly<Record<string, number>> = { ...LINUX_ONLY, ...constants.errno }
const names = new Map<number, string>()
// EAGAIN and EWOULDBLOCK share a number, as do ENOTSUP and EOPNOTSUPP: the name that comes first stays.
for (const [name, number] of Object.entries(numbers)) if (!names.has(number)) names.set(number, name)

/** The positive error number of a name; throws on a name that the platform does not have. */
export function errno(name: ErrnoName): number {
  const number = numbers[name]
  if (number === undefined) throw new RangeError(`this platform has no ${name}`)
  return number
}

/** The name of an error number of either sign, `'E<number>'` if it has none. */
export function errnoName(number: number): string {
  return names.get(Math.abs(number)) ?? `E${Math.abs(number)}`
}

/** The positive error number of what Node has thrown, or another's where it has none. */
export function errnoOf(error: unknown, otherwise: ErrnoName): number {
  return Math.abs((error as NodeJS.ErrnoException | null)?.errno ?? errno(otherwise))
}

/** A string as the name of an error number, `undefined` if the platform has none of that name. */
export function knownName(name: string | undefined): ErrnoName | undefined {
  return name !== undefined && Object.hasOwn(numbers, name) ? (name as ErrnoName) : undefined
}
