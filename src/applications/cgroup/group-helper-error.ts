/**
 * The error of a helper in a group: kernel.run's, in the words of the program that was asked for and not of the shell
 * that became it, and with what is known of its group.
 */

import { HelperError, type HelperErrorDetails, launchMessage } from '../../kernel/errors.js'
import { Step } from '../../kernel/memory.js'
import { errnoName } from '../../libc/errno.js'

/**
 * A helper that could not be started, or did not end with exit code 0. `code` is `'ERR_HELPER_OUT_OF_MEMORY'` where it
 * was killed over a memory limit; else that of kernel.run's error.
 */
export class GroupHelperError extends HelperError {
  /** A process of its group was killed over a memory limit while it ran. */
  readonly outOfMemory: boolean

  constructor(
    code: string,
    message: string,
    details: HelperErrorDetails,
    outOfMemory: boolean,
    options?: ErrorOptions,
  ) {
    super(code, message, details, options)
    this.outOfMemory = outOfMemory
  }
}

/** What was asked for. */
export interface Asked {
  readonly path: string
  readonly argv: readonly string[]
}

export interface OutOfMemory {
  /** It was the helper itself. */
  readonly killed: boolean
  readonly message: string
}

/** @param error kernel.run's, of the shell */
export function explain(error: HelperError, asked: Asked, memory: OutOfMemory | undefined): GroupHelperError {
  const { code, name: _, path, argv, cause, ...details } = error
  const killed = memory?.killed === true
  const message = killed
    ? `${memory.message}: ${asked.path}`
    : inItsWords(error.message, [path, argv[0] ?? path], asked.path) +
      (memory === undefined ? '' : ` (${memory.message})`)
  return withStack(
    new GroupHelperError(
      killed ? 'ERR_HELPER_OUT_OF_MEMORY' : code,
      message,
      { ...details, ...asked },
      memory !== undefined,
      cause === undefined ? undefined : { cause },
    ),
    error,
  )
}

/** The program, or the group, could not be had. */
export function notExecuted(
  number: number,
  asked: Asked,
  entering: string | undefined,
  details: Omit<HelperErrorDetails, 'path' | 'argv'>,
  cause: HelperError | undefined,
): GroupHelperError {
  const message =
    entering === undefined
      ? launchMessage(number, Step.EXECVE, asked.path, details.cwd)
      : `${errnoName(number)}: ${asked.path} could not enter the group ${entering}`
  const error = new GroupHelperError(
    errnoName(number),
    message,
    { ...details, ...asked, errno: -number, syscall: entering === undefined ? 'execve' : 'write' },
    false,
  )
  return cause === undefined ? error : withStack(error, cause)
}

/** The place where the helper was asked for. */
function withStack(error: GroupHelperError, { stack }: HelperError): GroupHelperError {
  const frames = stack?.indexOf('\n    at ') ?? -1
  if (stack !== undefined && frames >= 0) {
    error.stack = `${error.name} [${error.code}]: ${error.message}${stack.slice(frames)}`
  }
  return error
}

function inItsWords(message: string, shells: readonly string[], path: string): string {
  for (const shell of shells) {
    const at = message.lastIndexOf(` ${shell}`)
    if (at >= 0) return `${message.slice(0, at)} ${path}${message.slice(at + shell.length + 1)}`
  }
  return message
}
