/**
 * Runs a program that knows secrets. They come and go on its standard input and output; what it said reaches no error.
 */

import { wrongType, wrongValue } from '../../../kernel/errors.js'
import { isFromRoot } from '../../../kernel/helper-programs.js'
import type { Kernel } from '../../../kernel/kernel.js'
import { errnoName } from '../../../libc/errno.js'
import * as checked from '../arguments.js'
import { LARGEST_TIMEOUT, NEGATIVE_TIMEOUT_SECONDS, SECOND } from '../constants.js'
import { numberedError } from '../errors.js'

const TIMEOUT_SECONDS = 60
/** The longest timer of Node. */
const LONGEST_RUN_SECONDS = Math.floor((2 ** 31 - 1) / SECOND)
const LARGEST_OUTPUT = 2 ** 20

/** What all of these take. */
export interface HelperOptions {
  /** Environment of the program; the secrets it gives do not belong here. Default: the service's. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Seconds that a secret is kept, at least 1, if the program does not say. Default: until it is invalidated. */
  readonly timeToLive?: number
  /** Seconds for which it is remembered that there is no secret. Default 60. */
  readonly negativeTimeout?: number
  /** Seconds that the program may take, at least 1. Default 60. */
  readonly helperTimeout?: number
}

export interface HelperLimits {
  readonly env: Readonly<Record<string, string | undefined>> | undefined
  readonly timeToLive: number | undefined
  readonly negativeTimeout: number
  readonly helperTimeout: number
}

/** @throws TypeError, RangeError */
export function checkLimits(options: HelperOptions): HelperLimits {
  checked.object(options, 'options')
  const {
    env,
    timeToLive,
    negativeTimeout = NEGATIVE_TIMEOUT_SECONDS,
    helperTimeout = TIMEOUT_SECONDS,
  } = options
  if (env !== undefined) checkEnvironment(env)
  if (timeToLive !== undefined) checked.seconds(timeToLive, 'options.timeToLive', 1)
  checked.seconds(negativeTimeout, 'options.negativeTimeout')
  checked.seconds(helperTimeout, 'options.helperTimeout', 1, LONGEST_RUN_SECONDS)
  return { env, timeToLive, negativeTimeout, helperTimeout }
}

function checkEnvironment(env: unknown): void {
  checked.object(env, 'options.env')
  for (const [name, value] of Object.entries(env as object)) {
    if (value !== undefined && typeof value !== 'string') {
      throw wrongType(`options.env.${name}`, 'of type string', typeof value)
    }
  }
}

/**
 * How long a key holds whose program says what time is left: whole seconds, so that it never holds longer than that.
 * @returns `undefined` if none is left
 */
export function wholeSeconds(left: number): number | undefined {
  const whole = Math.min(Math.floor(left), LARGEST_TIMEOUT)
  return whole > 0 ? whole : undefined
}

/**
 * A name is looked for in PATH, as git and docker do. A path is from the root: a relative one would be of whatever folder
 * the service is in.
 */
export function checkProgram(program: string, name: string): string {
  if (!program.includes('/') || isFromRoot(program)) return program
  throw wrongValue(
    name,
    'must give the program by its absolute path, or by a name that is looked for in PATH',
  )
}

/** The words of a command. */
export function checkCommand(command: unknown, name: string): readonly string[] {
  if (!Array.isArray(command) || command.length === 0 || command.some(word => typeof word !== 'string')) {
    throw wrongType(name, 'a list of strings, the program first', typeof command)
  }
  checkProgram(command[0], name)
  return command
}

/** A program and its arguments, and what it is called where it fails: never more of them than names it. */
export interface HelperCommand {
  readonly name: string
  readonly words: readonly string[]
}

export interface HelperAnswer {
  readonly stdout: Buffer
  /** Why it failed, if so, in words that hold nothing of what it wrote. */
  readonly failure: string | undefined
}

/** @throws SystemError if it could not be run */
export async function runHelper(
  kernel: Kernel,
  { name, words }: HelperCommand,
  input: string | Buffer,
  limits: HelperLimits,
): Promise<HelperAnswer> {
  const [program = '', ...args] = words
  const { retval, exitCode, signalCode, stdout, timedOut, outputTruncated } = await kernel.run(
    program,
    args,
    {
      input,
      encoding: 'buffer',
      stderr: 'ignore',
      reject: false,
      maxOutput: LARGEST_OUTPUT,
      timeout: limits.helperTimeout * SECOND,
      ...(limits.env === undefined ? {} : { env: limits.env }),
    },
  )
  if (retval < 0) {
    throw numberedError(retval, `the credential helper did not run (${errnoName(retval)}): ${name}`, 'execve')
  }
  let failure: string | undefined
  if (timedOut) failure = `${name} took more than ${limits.helperTimeout} s`
  else if (outputTruncated) failure = `${name} wrote more than ${LARGEST_OUTPUT} bytes`
  else if (signalCode !== null) failure = `${name} was killed by ${signalCode}`
  else if (exitCode !== 0) failure = `${name} exited with ${exitCode}`
  return { stdout, failure }
}
