/**
 * Runs a program that knows secrets. They come and go on its standard input and output; what it said reaches no error.
 */

import { wrongType } from '../../../kernel/errors.js'
import type { Kernel } from '../../../kernel/kernel.js'
import { errnoName } from '../../../libc/errno.js'
import * as checked from '../arguments.js'
import { NEGATIVE_TIMEOUT_SECONDS, SECOND } from '../constants.js'
import { numberedError } from '../errors.js'

const TIMEOUT_SECONDS = 60
const LARGEST_OUTPUT = 2 ** 20

/** What all of these take. */
export interface HelperOptions {
  /** Environment of the program; the secrets it gives do not belong here. Default: the service's. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Seconds that a secret is kept, if the program does not say. Default: until it is invalidated. */
  readonly timeToLive?: number
  /** Seconds for which it is remembered that there is no secret. Default 60. */
  readonly negativeTimeout?: number
  /** Seconds that the program may take. Default 60. */
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
  if (timeToLive !== undefined) checked.timeout(timeToLive)
  checked.timeout(negativeTimeout)
  checked.timeout(helperTimeout)
  return { env, timeToLive, negativeTimeout, helperTimeout }
}

/** The words of a command. */
export function checkCommand(command: unknown, name: string): readonly string[] {
  if (!Array.isArray(command) || command.length === 0 || command.some(word => typeof word !== 'string')) {
    throw wrongType(name, 'a list of strings, the program first', typeof command)
  }
  return command
}

export interface HelperAnswer {
  readonly stdout: Buffer
  /** Why it failed, if so, in words that hold nothing of what it wrote. */
  readonly failure: string | undefined
}

/** @throws SystemError if it could not be run */
export async function runHelper(
  kernel: Kernel,
  command: readonly string[],
  input: string | Buffer,
  limits: HelperLimits,
): Promise<HelperAnswer> {
  const [program = '', ...args] = command
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
    throw numberedError(
      retval,
      `the credential helper did not run (${errnoName(retval)}): ${program}`,
      'execve',
    )
  }
  let failure: string | undefined
  if (timedOut) failure = `${program} took more than ${limits.helperTimeout} s`
  else if (outputTruncated) failure = `${program} wrote more than ${LARGEST_OUTPUT} bytes`
  else if (signalCode !== null) failure = `${program} was killed by ${signalCode}`
  else if (exitCode !== 0) failure = `${program} exited with ${exitCode}`
  return { stdout, failure }
}
