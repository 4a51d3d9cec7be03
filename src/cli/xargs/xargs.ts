/**
 * `khelper xargs`: reads items as they come, runs their commands, and says how it went.
 */
import { execFileSync } from 'node:child_process'
import { createReadStream, openSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Readable } from 'node:stream'
import { boot } from '../../index.js'
import { shellExitCode } from '../exit-codes.js'
import { fileProblem, UsageError } from '../usage-error.js'
import { CommandBuilder } from './commands.js'
import { itemReader, type Separation } from './items.js'
import { Joblog } from './joblog.js'
import { Progress } from './progress.js'
import { Runner } from './runner.js'

export interface XargsOptions {
  readonly maxProcs: number
  readonly maxArgs?: number
  readonly maxLines?: number
  readonly replace?: string
  readonly null?: boolean
  readonly delimiter?: string
  readonly maxChars?: number
  readonly exit?: boolean
  readonly runIfEmpty: boolean
  readonly verbose?: boolean
  readonly argFile?: string
  readonly joblog?: string
  readonly resume?: boolean
  readonly retries: number
  /** Milliseconds. */
  readonly timeout?: number
}

/** As GNU xargs: 128 KiB unless the system takes less. */
const DEFAULT_MAX_CHARS = 128 * 1024
/** POSIX wants this much left of ARG_MAX beside the environment. */
const HEADROOM = 2048
const POINTER_BYTES = 8
const FALLBACK_ARG_MAX = 2 ** 21
/** What `-P 0` means: beyond this a machine only gets slower. */
const PROCS_PER_CPU = 64
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** @returns the exit code */
export async function xargs(command: readonly string[], options: XargsOptions): Promise<number> {
  if (options.resume && options.joblog === undefined)
    throw new UsageError('--resume needs --joblog FILE to go on with')
  const builder = new CommandBuilder({
    initial: command,
    maxArgs: options.maxArgs,
    maxLines: options.maxLines,
    replace: options.replace,
    maxChars: maxChars(options.maxChars),
    exitIfTooLong: options.exit === true || options.maxLines !== undefined,
  })
  const input = openInput(options.argFile)
  const joblog =
    options.joblog === undefined ? undefined : new Joblog(options.joblog, options.resume === true)
  const maxProcs = options.maxProcs === 0 ? availableParallelism() * PROCS_PER_CPU : options.maxProcs
  await using kernel = boot()
  const progress = new Progress(process.stderr.isTTY === true && options.verbose !== true)
  const runner = new Runner(kernel, joblog, progress, {
    ...options,
    maxProcs,
    sharesInput: options.argFile !== undefined,
  })
  const interrupt = (signal: NodeJS.Signals) => {
    runner.interrupt(signal)
    input.destroy()
  }
  for (const signal of SIGNALS) process.on(signal, interrupt)
  try {
    await feed(input, builder, runner, options)
    return await runner.finished()
  } catch (error) {
    // What runs already is not left behind.
    await runner.finished()
    throw error
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt)
    progress.stop()
    joblog?.close()
    input.destroy()
    if (runner.interruptedBy !== undefined) dieOf(runner.interruptedBy)
  }
}

async function feed(
  input: Readable,
  builder: CommandBuilder,
  runner: Runner,
  options: XargsOptions,
): Promise<void> {
  const items = itemReader(separation(options))
  // Arguments are text to us: bytes that are none would reach the command as something else.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decode = (chunk?: Buffer): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined })
    } catch {
      throw new UsageError(
        `the input is not UTF-8 text${options.argFile === undefined ? '' : `: ${options.argFile}`}`,
      )
    }
  }
  const run = async (commands: Iterable<readonly string[]>): Promise<void> => {
    for (const command of commands) {
      if (runner.stopped) return
      await runner.run(command, builder.built)
    }
  }
  try {
    for await (const chunk of input) {
      for (const item of items.push(decode(chunk as Buffer))) await run(builder.push(item))
      if (runner.stopped) return
    }
    for (const item of items.push(decode())) await run(builder.push(item))
    for (const item of items.end()) await run(builder.push(item))
    await run(builder.end(options.runIfEmpty))
  } catch (error) {
    if (runner.interruptedBy !== undefined) return
    await run(builder.pending())
    if ((error as NodeJS.ErrnoException).syscall === 'read') {
      throw new UsageError(`${options.argFile ?? 'standard input'}: ${fileProblem(error)}`)
    }
    throw error
  }
}

function separation({ null: nul, delimiter, replace }: XargsOptions): Separation {
  if (nul) return { kind: 'delimiter', delimiter: '\0' }
  if (delimiter !== undefined) return { kind: 'delimiter', delimiter }
  return { kind: replace === undefined ? 'words' : 'lines' }
}

function openInput(argFile: string | undefined): Readable {
  if (argFile === undefined || argFile === '-') return process.stdin
  try {
    return createReadStream('', { fd: openSync(argFile, 'r') })
  } catch (error) {
    throw new UsageError(`cannot open input file ${argFile}: ${fileProblem(error)}`)
  }
}

/** How long a command line may be. */
function maxChars(wanted: number | undefined): number {
  let environment = HEADROOM
  for (const [key, value = ''] of Object.entries(process.env)) {
    environment += Buffer.byteLength(key) + Buffer.byteLength(value) + 2 + POINTER_BYTES
  }
  const most = argMax(wanted) - environment
  if (wanted !== undefined && wanted > most) {
    console.error(`khelper: value for -s option should be <= ${most}`)
  }
  return Math.min(wanted ?? DEFAULT_MAX_CHARS, most)
}

/** Asked of the system only where it can make a difference. */
function argMax(wanted: number | undefined): number {
  if ((wanted ?? 0) <= DEFAULT_MAX_CHARS) return FALLBACK_ARG_MAX
  try {
    return Number(execFileSync('getconf', ['ARG_MAX'], { encoding: 'utf8' }))
  } catch {
    return FALLBACK_ARG_MAX
  }
}

/** Ends as somebody who was killed by the signal: whoever started us sees it. */
function dieOf(signal: NodeJS.Signals): void {
  process.exitCode = shellExitCode({ exitCode: null, signalCode: signal })
  process.once('exit', () => process.kill(process.pid, signal))
}
