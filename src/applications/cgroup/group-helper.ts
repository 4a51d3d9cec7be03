/**
 * kernel.run's handle on a helper, for one in a group.
 */

import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { HelperError } from '../../kernel/errors.js'
import type { Helper, KillOptions, RunResult } from '../../kernel/run/types.js'
import { errno } from '../../libc/errno.js'
import { type Asked, explain, notExecuted, type OutOfMemory, type OverLimit } from './group-helper-error.js'
import { CANNOT_ENTER, CANNOT_EXECUTE, type Launch, NOT_FOUND } from './launch.js'
import type { GroupHelper, GroupResult } from './types.js'

type Output = string | Buffer

const SIGKILL = constants.signals.SIGKILL
/** What a shell exits with whose child was killed. */
const CHILD_KILLED = 128 + SIGKILL

/** What a helper's group tells of it. */
export interface Membership {
  readonly asked: Asked
  readonly groupPath: string
  readonly rejects: boolean
  /** undefined: it was started as it is. */
  readonly launch: Launch | undefined
  /** A memory limit that stood in the way while it ran; undefined: none. */
  outOfMemory(): OverLimit | undefined
  /** Called once, when it has ended. */
  left(failed: boolean): void
}

export class RunningGroupHelper extends Promise<GroupResult<Output>> implements GroupHelper<Output> {
  readonly #inner: Helper<Output>
  readonly #refused: boolean
  #killed = false

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  constructor(inner: Helper<Output>, membership: Membership) {
    super((resolve, reject) => {
      const failed = (error: unknown): void => {
        membership.left(true)
        reject(error)
      }
      inner.then(
        result => settle(result, undefined),
        (error: unknown) => (error instanceof HelperError ? settle(error, error) : failed(error)),
      )
      const settle = (result: RunResult<Output>, error: HelperError | undefined): void => {
        const ending = endingOf(membership, result, error, this.#killed)
        if (ending instanceof HelperError) failed(ending)
        else {
          membership.left(ending.retval !== 0)
          resolve(ending)
        }
      }
    })
    this.#inner = inner
    this.#refused = membership.launch?.refused !== undefined
  }

  get pid(): number | undefined {
    return this.#refused ? undefined : this.#inner.pid
  }

  get stdin(): Writable | null {
    return this.#inner.stdin
  }

  get stdout(): Readable | null {
    return this.#inner.stdout
  }

  get stderr(): Readable | null {
    return this.#inner.stderr
  }

  kill(signal?: NodeJS.Signals | number | KillOptions): boolean {
    const sent = this.#inner.kill(signal)
    this.#killed ||= sent
    return sent
  }
}

/** @param result the shell's, or the program's that it became */
function endingOf(
  { asked, groupPath, rejects, launch, outOfMemory }: Membership,
  result: RunResult<Output>,
  error: HelperError | undefined,
  killed: boolean,
): GroupResult<Output> | HelperError {
  const refused = launch === undefined ? undefined : whatRefused(launch, result)
  if (refused !== undefined) {
    const { retval: _, stdout, stderr, duration } = result
    const nothing = empty(stdout)
    const details = {
      ...{ retval: -refused.number, exitCode: null, signalCode: null, pid: undefined, rusage: null },
      // What the shell said of it is not the program's output.
      ...{ stdout: nothing, stderr: empty(stderr), duration },
      ...{ timedOut: false, aborted: false, outputTruncated: false },
    }
    if (!rejects) return { ...details, outOfMemory: false }
    const entering = refused.entering ? groupPath : undefined
    return notExecuted(refused.number, asked, entering, { ...details, cwd: error?.cwd })
  }
  if (launch === undefined && error?.syscall === 'write' && result.retval < 0) {
    const { name: _, code: __, message: ___, ...details } = error
    return notExecuted(-result.retval, asked, groupPath, details)
  }
  const memory = memoryOf(result, killed, outOfMemory)
  if (error !== undefined) return explain(error, launch && asked, memory)
  return { ...result, outOfMemory: memory !== undefined }
}

function empty(output: Output): Output {
  return typeof output === 'string' ? '' : Buffer.alloc(0)
}

function whatRefused(
  launch: Launch,
  { retval, exitCode, aborted, timedOut }: RunResult<Output>,
): { readonly number: number; readonly entering: boolean } | undefined {
  const { refused } = launch
  if (retval === 0 || !launch.failed() || aborted || timedOut) return undefined
  if (exitCode === CANNOT_ENTER) return { number: errno('EBUSY'), entering: true }
  if (exitCode === CANNOT_EXECUTE) return { number: errno('EACCES'), entering: false }
  if (exitCode === NOT_FOUND) return { number: refused ?? errno('ENOENT'), entering: false }
  return undefined
}

function memoryOf(
  result: RunResult<Output>,
  killed: boolean,
  outOfMemory: () => OverLimit | undefined,
): OutOfMemory | undefined {
  const ended = result.timedOut || result.aborted || result.outputTruncated || killed
  if (result.retval <= 0 || ended) return undefined
  const over = outOfMemory()
  if (over === undefined) return undefined
  const itself = result.signalCode === 'SIGKILL' || result.exitCode === CHILD_KILLED
  return { killed: itself, ...over }
}
