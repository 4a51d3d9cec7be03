/**
 * The error of a helper in a group: kernel.run's, in the words of the program that was asked for and not of the shell
 * that became it, and with what is known of its group.
 */

import { HelperError, type HelperErrorDetails, launchMessage } from '../../kernel/errors.js'
import { Step } from '../../kernel/memory.js'
import { errnoName } from '../../libc/errno.js'

/**
 * A helper that could not be started, or did not end with exit code 0. `code` is `'ERR_HELPER_OUT_OF_MEMORY'` where it
 * was killed while a process of its group was killed over a memory limit; else that of kernel.run's error. It was that
 * process, unless others ran in the group: then the message says so.
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

/** A process of a helper's group was killed over a memory limit while the helper ran. */
export interface OverLimit {
  /** Which limit, in words. */
  readonly limit: string
  /** Other helpers ran meanwhile: the process may have been of theirs, which Linux, counting by group, does not tell. */
  readonly shared: boolean
}

export interface OutOfMemory extends OverLimit {
  /** The helper itself was killed, too. */
  readonly killed: boolean
}

/**
 * @param error kernel.run's
 * @param asked where it is the error of a shell: what the shell was to become
 */
export function explain(
  error: HelperError,
  asked: Asked | undefined,
  memory: OutOfMemory | undefined,
): GroupHelperError {
  const { code, name: _, path, argv, cause, ...details } = error
  const own = asked ?? { path, argv }
  const killed = memory?.killed === true
  const message = killed
    ? `killed: ${whoWasOver(memory)}: ${own.path}`
    : inItsWords(error.message, [path, argv[0] ?? path], own.argv[0] ?? own.path) +
      (memory === undefined ? '' : ` (a process of its group was killed: ${memory.limit})`)
  return new GroupHelperError(
    killed ? 'ERR_HELPER_OUT_OF_MEMORY' : code,
    message,
    { ...details, ...own },
    memory !== undefined,
    cause === undefined ? undefined : { cause },
  )
}

const whoWasOver = ({ limit, shared }: OverLimit): string =>
  shared ? `it, or another helper beside it, was ${limit}; a group for each tells which` : limit

/** The program, or the group, could not be had. */
export function notExecuted(
  number: number,
  asked: Asked,
  entering: string | undefined,
  details: Omit<HelperErrorDetails, 'path' | 'argv'>,
): GroupHelperError {
  const message =
    entering === undefined
      ? launchMessage(number, Step.EXECVE, asked.path, details.cwd)
      : `${errnoName(number)}: ${asked.path} could not enter the group ${entering}`
  return new GroupHelperError(
    errnoName(number),
    message,
    { ...details, ...asked, errno: -number, syscall: entering === undefined ? 'execve' : 'write' },
    false,
  )
}

function inItsWords(message: string, shells: readonly string[], path: string): string {
  for (const shell of shells) {
    const at = message.lastIndexOf(` ${shell}`)
    if (at >= 0) return `${message.slice(0, at)} ${path}${message.slice(at + shell.length + 1)}`
  }
  return message
}
