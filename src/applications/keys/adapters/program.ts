/**
 * Secrets from any program that prints one: a vault's client, `pass`, a cloud's command line.
 */
import { wrongType } from '../../../kernel/errors.js'
import { keyError } from '../errors.js'
import type { KeyType } from '../key-types.js'
import { checkSecret } from './credential-type.js'
import { checkCommand, checkLimits, type HelperOptions, runHelper, wholeSeconds } from './run-helper.js'

/** A secret, and how many seconds it is good for. */
export interface ProgramSecret {
  readonly secret: string | Uint8Array
  /** Rounded down; with nothing left there is no secret. */
  readonly timeToLive?: number
}

export interface ProgramTypeOptions extends HelperOptions {
  /** The name of the key type. */
  readonly name: string
  /**
   * The program and its arguments. A list is followed by the key's description; a function makes the whole list of it.
   * Callout info that is not empty is its standard input.
   */
  readonly command: readonly string[] | ((description: string) => readonly string[])
  /** What of the output is the secret; `undefined` if it has none. Default: all but a line feed at its end. */
  readonly parse?: (stdout: Buffer) => string | Uint8Array | ProgramSecret | undefined
}

/**
 * A key type whose payload is what a program prints.
 * @throws TypeError, RangeError for options that cannot be
 */
export function programType(options: ProgramTypeOptions): KeyType {
  const limits = checkLimits(options)
  const { name, command, parse = withoutLineFeed } = options
  if (typeof parse !== 'function') throw wrongType('options.parse', 'a function', parse)
  const words = typeof command === 'function' ? undefined : checkCommand(command, 'options.command')
  return {
    name,
    instantiate: checkSecret,
    vetDescription(description) {
      if (words !== undefined && description.startsWith('-')) {
        throw keyError('EINVAL', 'the description becomes an argument and must not look like an option')
      }
    },
    async requestKey(authority, kernel) {
      const { description } = authority.target
      const whole =
        typeof command === 'function'
          ? checkCommand(command(description), "options.command's result")
          : [...command, description]
      const [program = ''] = whole
      const { stdout, failure } = await runHelper(
        kernel,
        { name: program, words: whole },
        authority.calloutInfo,
        limits,
      )
      try {
        const found = failure === undefined ? attempt(parse, stdout) : undefined
        const { secret, timeToLive } = ofProgram(found)
        const left = timeToLive === undefined ? limits.timeToLive : wholeSeconds(timeToLive)
        const refuse = (reason: string) => authority.reject('ENOKEY', limits.negativeTimeout, reason)
        if (secret === undefined || secret.length === 0) refuse(failure ?? `${program} gave no secret`)
        else if (timeToLive !== undefined && left === undefined) {
          refuse(`what ${program} gave has no time left`)
        } else authority.instantiate(secret, { timeout: left })
      } finally {
        stdout.fill(0)
      }
    },
  }
}

/** What a parser throws may quote what it parsed. */
function attempt<Result>(parse: (stdout: Buffer) => Result, stdout: Buffer): Result {
  try {
    return parse(stdout)
  } catch {
    throw keyError('EINVAL', "the program's output could not be parsed", 'request_key')
  }
}

function ofProgram(found: string | Uint8Array | ProgramSecret | undefined): Partial<ProgramSecret> {
  if (found === undefined) return {}
  if (typeof found === 'string' || found instanceof Uint8Array) return { secret: found }
  const { timeToLive } = found
  if (timeToLive !== undefined && !Number.isFinite(timeToLive)) {
    throw wrongType("options.parse's timeToLive", 'a number of seconds', timeToLive)
  }
  return found
}

const LINE_FEED = 0x0a

const withoutLineFeed = (stdout: Buffer): Buffer =>
  stdout.at(-1) === LINE_FEED ? stdout.subarray(0, -1) : stdout
