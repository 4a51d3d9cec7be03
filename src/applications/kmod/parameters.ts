/**
 * Parameters of modules: their types, and how they are set from a line of text, as in Linux 6.17, kernel/params.c.
 */
import { wrongType } from '../../kernel/errors.js'
import type { ErrnoName } from '../../libc/errno.js'

interface Range {
  readonly least: bigint
  readonly most: bigint
}

const signed = (bits: bigint): Range => ({ least: -(1n << (bits - 1n)), most: (1n << (bits - 1n)) - 1n })
const unsigned = (bits: bigint): Range => ({ least: 0n, most: (1n << bits) - 1n })

/** Those that fit are numbers in JavaScript; those of 64 bits are bigints. */
const SMALL_INTEGERS = {
  byte: unsigned(8n),
  short: signed(16n),
  ushort: unsigned(16n),
  int: signed(32n),
  uint: unsigned(32n),
  hexint: unsigned(32n),
} as const
const LARGE_INTEGERS = {
  long: signed(64n),
  ulong: unsigned(64n),
  ullong: unsigned(64n),
} as const
const BOOLEANS = ['bool', 'invbool', 'bint', 'bool_enable_only'] as const

const isSmallInteger = (type: string): type is SmallInteger => Object.hasOwn(SMALL_INTEGERS, type)
const isLargeInteger = (type: string): type is LargeInteger => Object.hasOwn(LARGE_INTEGERS, type)

type SmallInteger = keyof typeof SMALL_INTEGERS
type LargeInteger = keyof typeof LARGE_INTEGERS
type Scalar = SmallInteger | LargeInteger | (typeof BOOLEANS)[number] | 'charp'

export type ParameterValue = number | bigint | boolean | string | ParameterValue[]

/** What a module says of one of its parameters. */
export type ParameterDeclaration = Scalar | ParameterDetails

export interface ParameterDetails {
  readonly type: Scalar | 'string' | 'array'
  /** Its value until it is set. Default: 0, false, '' or []. */
  readonly default?: ParameterValue
  readonly description?: string
  /** As in module_param: 0 is not shown in /sys/module, 0o444 is shown (default), 0o644 can be written to. */
  readonly perm?: number
  /** Type `'string'`: room for it in bytes, with the NUL that C needs. */
  readonly size?: number
  /** Type `'array'`: of what, and of how many at most. */
  readonly of?: Scalar
  readonly max?: number
}

/** `charp` takes no more bytes. */
const LONGEST_CHARP = 1024
const DEFAULT_PERM = 0o444
/** Of 2 ** 64 - 1. */
const MOST_DIGITS = 20
/** Linux shows `hexint` by `%#08x`: eight characters with the 0x. */
const HEXINT_DIGITS = 6

/** What is wrong with a value. */
export class ParameterError extends Error {
  readonly code: ErrnoName

  constructor(code: ErrnoName, message: string) {
    super(message)
    this.code = code
  }
}

/** One parameter of a loaded module. */
export class Parameter {
  readonly name: string
  readonly details: ParameterDetails
  value: ParameterValue

  /** @throws TypeError for a declaration that is none */
  constructor(name: string, declaration: unknown) {
    this.name = name
    this.details = checkDeclaration(name, declaration)
    this.value = this.details.default ?? emptyValue(this.details)
  }

  get perm(): number {
    return this.details.perm ?? DEFAULT_PERM
  }

  /**
   * Sets it from text.
   * @param text `undefined`: it was named without a value
   * @throws ParameterError, with nothing changed
   */
  set(text: string | undefined): void {
    const { type } = this.details
    if (text === undefined && !isBoolean(type)) throw new ParameterError('EINVAL', 'a value is missing')
    this.value = parse(this.details, text ?? 'y', this.value)
  }

  /** As /sys/module shows it. */
  toString(): string {
    return show(this.details, this.value)
  }
}

const isBoolean = (type: string): boolean => (BOOLEANS as readonly string[]).includes(type)

function isScalar(type: unknown): type is Scalar {
  return (
    typeof type === 'string' &&
    (isSmallInteger(type) || isLargeInteger(type) || isBoolean(type) || type === 'charp')
  )
}

function checkDeclaration(name: string, declaration: unknown): ParameterDetails {
  const details =
    typeof declaration === 'string'
      ? { type: declaration as Scalar }
      : (declaration as ParameterDetails | undefined)
  const { type } = details ?? {}
  const known =
    isScalar(type) ||
    (type === 'string' && Number.isInteger(details?.size)) ||
    (type === 'array' && isScalar(details?.of) && Number.isInteger(details?.max))
  if (!known || details === undefined) {
    throw wrongType(
      `params.${name}`,
      "the name of a parameter's type, or { type, … } (size for 'string'; of and max for 'array')",
      type ?? declaration,
    )
  }
  if (details.default !== undefined && !isValue(details, details.default)) {
    throw wrongType(`params.${name}.default`, `a value of type ${type}`, details.default)
  }
  return details
}

/** Whether a value is one that `parse` could give. */
function isValue(details: ParameterDetails, value: unknown): boolean {
  const { type, of, max = 0, size = 0 } = details
  if (type === 'array') {
    const elements = of !== undefined && Array.isArray(value) && value.length <= max ? value : undefined
    return elements?.every(each => of !== undefined && isValue({ type: of }, each)) === true
  }
  if (isSmallInteger(type)) {
    return Number.isInteger(value) && isWithin(BigInt(value as number), SMALL_INTEGERS[type])
  }
  if (isLargeInteger(type)) return typeof value === 'bigint' && isWithin(value, LARGE_INTEGERS[type])
  if (type === 'bint') return value === 0 || value === 1
  if (isBoolean(type)) return typeof value === 'boolean'
  if (typeof value !== 'string') return false
  return Buffer.byteLength(value) <= (type === 'charp' ? LONGEST_CHARP : size - 1)
}

const isWithin = (value: bigint, { least, most }: Range): boolean => value >= least && value <= most

function emptyValue({ type }: ParameterDetails): ParameterValue {
  if (type === 'array') return []
  if (type === 'string' || type === 'charp') return ''
  if (type === 'bint') return 0
  if (isBoolean(type)) return false
  return isLargeInteger(type) ? 0n : 0
}

function parse(details: ParameterDetails, text: string, before: ParameterValue): ParameterValue {
  const { type } = details
  if (isSmallInteger(type)) return Number(integer(text, SMALL_INTEGERS[type]))
  if (isLargeInteger(type)) return integer(text, LARGE_INTEGERS[type])
  switch (type) {
    case 'charp':
      if (Buffer.byteLength(text) > LONGEST_CHARP) {
        throw new ParameterError('ENOSPC', `longer than ${LONGEST_CHARP} bytes`)
      }
      return text
    case 'string':
      if (Buffer.byteLength(text) + 1 > (details.size ?? 0)) {
        throw new ParameterError('ENOSPC', `longer than ${(details.size ?? 0) - 1} bytes`)
      }
      return text
    case 'array':
      return array(details, text)
    case 'invbool':
      return !boolean(text)
    case 'bint':
      return boolean(text) ? 1 : 0
    case 'bool_enable_only':
      if (!boolean(text) && before === true) throw new ParameterError('EROFS', 'can only be turned on')
      return boolean(text)
    default:
      return boolean(text)
  }
}

function array({ of, max = 0 }: ParameterDetails, text: string): ParameterValue[] {
  const parts = text.split(',')
  if (of === undefined || parts.length > max) throw new ParameterError('EINVAL', `more than ${max} values`)
  return parts.map(part => parse({ type: of }, part, emptyValue({ type: of })))
}

/** As kstrtoll with base 0: a sign, 0x for hexadecimal, 0 for octal, one line feed at the end. */
function integer(text: string, { least, most }: Range): bigint {
  const match = /^([-+]?)(?:0x([\da-f]+)|0([0-7]+)|(\d+))\n?$/i.exec(text)
  if (match === null) throw new ParameterError('EINVAL', `not a number: ${text}`)
  const [, sign, hexadecimal, octal, decimal] = match
  // Of more digits than any type has, the last ones do not matter, and to make a number of them would take long.
  if ((decimal?.length ?? 0) > MOST_DIGITS && !decimal?.startsWith('0') && !(sign === '-' && least === 0n)) {
    throw new ParameterError('ERANGE', `not from ${least} to ${most}: a number of ${decimal?.length} digits`)
  }
  const magnitude = BigInt(
    hexadecimal !== undefined ? `0x${hexadecimal}` : octal !== undefined ? `0o${octal}` : (decimal ?? '0'),
  )
  if (decimal !== undefined && decimal.length > 1 && decimal.startsWith('0')) {
    throw new ParameterError('EINVAL', `not an octal number: ${text}`)
  }
  if (sign === '-' && least === 0n) throw new ParameterError('EINVAL', `not a number without a sign: ${text}`)
  const value = sign === '-' ? -magnitude : magnitude
  if (!isWithin(value, { least, most }))
    throw new ParameterError('ERANGE', `not from ${least} to ${most}: ${text}`)
  return value
}

/** As kstrtobool: the first letters decide. */
function boolean(text: string): boolean {
  if (/^[yt1]/i.test(text) || /^on/i.test(text)) return true
  if (/^[nf0]/i.test(text) || /^of/i.test(text)) return false
  throw new ParameterError('EINVAL', `neither y nor n: ${text}`)
}

function show({ type, of }: ParameterDetails, value: ParameterValue): string {
  if (Array.isArray(value)) return value.map(each => show({ type: of ?? 'charp' }, each)).join(',')
  if (type === 'hexint') return `0x${value.toString(16).padStart(HEXINT_DIGITS, '0')}`
  if (type === 'invbool') return value ? 'N' : 'Y'
  if (typeof value === 'boolean') return value ? 'Y' : 'N'
  return String(value)
}

/** A word of a line of parameters. */
export interface Argument {
  readonly name: string
  /** `undefined`: it was named without a value. */
  readonly value: string | undefined
}

/**
 * Cuts a line of parameters into words, as next_arg: white space divides, double quotes hold a word or a value
 * together.
 */
export function splitArguments(line: string): Argument[] {
  const found: Argument[] = []
  for (const [word] of line.matchAll(/(?:"[^"]*(?:"|$)|[^\s"])+/g)) {
    const whole = /^"([^"]*)"?$/.exec(word)?.[1] ?? word
    const equals = whole.indexOf('=')
    if (equals < 0) found.push({ name: whole, value: undefined })
    else found.push({ name: whole.slice(0, equals), value: unquoted(whole.slice(equals + 1)) })
  }
  return found
}

const unquoted = (value: string): string => /^"([^"]*)"?$/.exec(value)?.[1] ?? value

/** A parameter as a word for `splitArguments`; the value may not have a double quote, for which a line has no word. */
export function joinArgument(name: string, value: string): string {
  return /\s/.test(value) ? `${name}="${value}"` : `${name}=${value}`
}

/** `-` and `_` are the same in names of parameters and modules. */
export const sameName = (name: string): string => name.replaceAll('-', '_')

/**
 * Sets a module's parameters (parse_args). All of them are looked at, whatever is wrong with one.
 * @param line text, or what it is made of, one by one
 * @param warn told of what is left out: an unknown parameter, what follows `--`
 * @returns the last error, if there was one
 */
export function parseArguments(
  parameters: ReadonlyMap<string, Parameter>,
  line: string | readonly Argument[],
  warn: (message: string) => void,
): { readonly code: ErrnoName; readonly message: string } | undefined {
  let failure: { readonly code: ErrnoName; readonly message: string } | undefined
  const words = typeof line === 'string' ? splitArguments(line) : line
  for (const [index, { name, value }] of words.entries()) {
    if (name === '--' && value === undefined) {
      if (index + 1 < words.length)
        warn(`what follows -- is left out: ${words.length - index - 1} parameters`)
      break
    }
    const parameter = parameters.get(sameName(name))
    if (parameter === undefined) {
      warn(`unknown parameter '${name}' ignored`)
      continue
    }
    try {
      parameter.set(value)
    } catch (error) {
      if (!(error instanceof ParameterError)) throw error
      failure = { code: error.code, message: `invalid for parameter '${name}': ${error.message}` }
    }
  }
  return failure
}
