/**
 * Runs command lines, so many at a time, and remembers what their ends mean for the exit code.
 */
import { type Helper, HelperError, type Kernel, type RunResult } from '../../index.js'
import { CANNOT_EXECUTE, launchExitCode } from '../exit-codes.js'
import { quoteCommand } from '../shell-quote.js'
import { UsageError } from '../usage-error.js'
import type { Joblog } from './joblog.js'
import type { Progress } from './progress.js'

export interface RunnerOptions {
  readonly maxProcs: number
  readonly verbose?: boolean
  readonly retries: number
  /** Milliseconds. */
  readonly timeout?: number
  /** Commands read the terminal or whatever standard input is. */
  readonly sharesInput: boolean
}

/** Exit codes of GNU xargs. */
const SOME_FAILED = 123
const ONE_EXITED_255 = 124
const ONE_WAS_KILLED = 125
const STOP = 255
/** From the signal that we got to SIGKILL for those that still run, in milliseconds. */
const GRACE_MS = 2_000

export class Runner {
  readonly #kernel: Kernel
  readonly #joblog: Joblog | undefined
  readonly #progress: Progress
  readonly #options: RunnerOptions
  readonly #environment: readonly string[]
  readonly #running = new Set<Helper>()
  /** Commands that are running or between two tries. */
  #active = 0
  #built = 0
  #exitCode = 0
  #stopped = false
  #error: unknown
  #wake: (() => void) | undefined
  #overdue: NodeJS.Timeout | undefined
  interruptedBy: NodeJS.Signals | undefined

  constructor(kernel: Kernel, joblog: Joblog | undefined, progress: Progress, options: RunnerOptions) {
    this.#kernel = kernel
    this.#joblog = joblog
    this.#progress = progress
    this.#options = options
    this.#environment = Object.entries(process.env).map(([key, value]) => `${key}=${value}`)
  }

  /** No further command is started. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Starts a command when there is room for it; resolves when it has been started. */
  async run(command: readonly string[], sequence: number): Promise<void> {
    this.#built = sequence
    if (this.#joblog?.hasFinished(sequence, command)) {
      this.#progress.ended(false)
      return
    }
    while (this.#active >= this.#options.maxProcs && !this.#stopped) await this.#change()
    if (this.#stopped) return
    this.#active += 1
    this.#runToEnd(command, sequence)
      .catch(error => {
        this.#error ??= error
        this.#stopped = true
      })
      .finally(() => {
        this.#active -= 1
        this.#progress.update(this.#built, this.#active)
        this.#wake?.()
      })
    this.#progress.update(this.#built, this.#active)
  }

  /** Resolves with the exit code when every command has ended. */
  async finished(): Promise<number> {
    while (this.#active > 0) await this.#change()
    clearTimeout(this.#overdue)
    if (this.#error !== undefined) {
      const error = this.#error
      this.#error = undefined
      throw error
    }
    return this.#exitCode
  }

  #change(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }

  /** Starts nothing more, and ends what runs: with our signal, then with SIGKILL. */
  interrupt(signal: NodeJS.Signals): void {
    const again = this.interruptedBy !== undefined
    this.interruptedBy ??= signal
    this.#stopped = true
    this.#wake?.()
    for (const helper of this.#running) {
      if (again) helper.kill({ signal: 'SIGKILL', tree: true })
      else helper.kill(signal)
    }
    this.#overdue ??= setTimeout(() => {
      for (const helper of this.#running) helper.kill({ signal: 'SIGKILL', tree: true })
    }, GRACE_MS)
  }

  async #runToEnd(command: readonly string[], sequence: number): Promise<void> {
    const [program = '', ...args] = command
    if (this.#options.verbose) console.error(quoteCommand(command))
    for (let tries = 1; ; tries += 1) {
      const started = Date.now()
      const result = await this.#once(program, args)
      // A command that our own end has ended has not finished: it is to be run again.
      if (this.interruptedBy !== undefined && result.exitCode !== 0) return
      const failed = result.exitCode !== 0
      if (failed && tries < this.#options.retries && result.exitCode !== STOP && !this.#stopped) continue
      this.#joblog?.append({ sequence, command, started, ...result })
      this.#progress.ended(failed)
      if (failed) this.#judge(program, result)
      return
    }
  }

  async #once(program: string, args: readonly string[]): Promise<RunResult> {
    const { timeout, sharesInput } = this.#options
    const helper = this.#kernel.run(program, args, {
      env: this.#environment,
      stdin: sharesInput ? 'inherit' : 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
      encoding: 'utf8',
      ...(timeout !== undefined && { timeout }),
    })
    this.#running.add(helper)
    try {
      return await helper
    } catch (error) {
      if (!(error instanceof HelperError)) throw error
      if (error.retval < 0) this.#cannotStart(program, error)
      return error as unknown as RunResult
    } finally {
      this.#running.delete(helper)
    }
  }

  /** Not the command's failure but the whole run's: the next one would not start either. */
  #cannotStart(program: string, error: HelperError): void {
    this.#stopped = true
    const code = launchExitCode(error.code)
    if (code === undefined) throw new UsageError(error.message)
    console.error(`khelper: ${program}: ${reason(error)}`)
    this.#exitCode = code
  }

  #judge(program: string, { exitCode, signalCode, retval, timedOut }: RunResult): void {
    if (retval < 0) return
    if (signalCode !== null && timedOut) {
      console.error(`khelper: ${program}: timed out`)
      this.#fail(SOME_FAILED)
    } else if (signalCode !== null) {
      console.error(`khelper: ${program}: terminated by ${signalCode}`)
      this.#stop(ONE_WAS_KILLED)
    } else if (exitCode === STOP) {
      console.error(`khelper: ${program}: exited with status 255; aborting`)
      this.#stop(ONE_EXITED_255)
    } else this.#fail(SOME_FAILED)
  }

  #fail(code: number): void {
    if (this.#exitCode === 0) this.#exitCode = code
  }

  #stop(code: number): void {
    this.#stopped = true
    if (this.#exitCode === 0 || this.#exitCode === SOME_FAILED) this.#exitCode = code
  }
}

function reason({ code }: HelperError): string {
  if (launchExitCode(code) !== CANNOT_EXECUTE) return 'No such file or directory'
  const reasons: Readonly<Record<string, string>> = {
    EACCES: 'Permission denied',
    ENOEXEC: 'Exec format error',
    E2BIG: 'Argument list too long',
  }
  return reasons[code] ?? code
}
