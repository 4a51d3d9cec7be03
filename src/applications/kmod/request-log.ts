/**
 * What a helper tells the service of its task, as to /dev/kmsg: a line, with its level before it as there.
 *
 *   <3>ENOENT: module none not found in /srv/modules     why it fails: stands in the error of the request
 *   <4>/etc/modprobe.d/a.conf:3: unknown directive 'x'   a warning
 *
 * The default modprobe, where it cannot reach the service to tell anything, exits with the number of the error.
 */
import { isSystemError, SystemError } from '../../kernel/errors.js'
import { errnoName, knownName } from '../../libc/errno.js'
import { exitStatus, terminationSignal } from '../../libc/wait-status.js'

const EXIT_FAILURE = 1

const KERN_ERR = 3
const KERN_WARNING = 4
const PREFIX = /^<(\d+)>/
/** A line is cut there: a helper may not fill the service's memory. */
const LONGEST_LINE = 1_024

/** What one request's helper has told. */
export class RequestLog {
  readonly #warn: (message: string) => void
  #failure: string | undefined

  /** @param warn told of each warning */
  constructor(warn: (message: string) => void) {
    this.#warn = warn
  }

  /** Takes a line; without a level it is a warning. */
  write(line: string): void {
    const level = Number(PREFIX.exec(line)?.[1] ?? KERN_WARNING)
    const message = line.replace(PREFIX, '').slice(0, LONGEST_LINE)
    if (level <= KERN_ERR) this.#failure = message
    else this.#warn(message)
  }

  /** The last error. */
  get failure(): string | undefined {
    return this.#failure
  }
}

/** A line as `write` takes it. */
export const errorLine = (message: string): string => `<${KERN_ERR}>${message}`
export const warningLine = (message: string): string => `<${KERN_WARNING}>${message}`

/** What the default modprobe exits with that cannot reach the service. */
export const statusOfUnreachable = (error: unknown): number =>
  isSystemError(error) ? -error.errno : EXIT_FAILURE

/** What the default modprobe has met, by its wait status; `undefined` if it could tell that itself, or was killed. */
export function unreachable(waitStatus: number): SystemError | undefined {
  const status = exitStatus(waitStatus)
  const code = knownName(errnoName(-status))
  if (code === undefined || status === EXIT_FAILURE || terminationSignal(waitStatus) !== 0) return undefined
  return new SystemError(code, 'the service could not be reached over the socket for its helpers')
}
