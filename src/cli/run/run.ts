/**
 * `khelper run`: runs one program in this terminal.
 */
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { boot, type Helper, HelperError, type RunOptions, type RunResult } from '../../index.js'
import { RUN_FAILED, shellExitCode } from '../exit-codes.js'
import { UsageError } from '../usage-error.js'

export interface RunCommandOptions {
  readonly json?: boolean
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds. */
  readonly timeout?: number
  readonly killSignal: string
  readonly launcher: 'auto' | 'posix_spawn' | 'child_process'
}

const STDIN = 0
/** Passed on to the program; it is the program's exit that ends khelper. */
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
/** Sent by a terminal to everyone in its foreground process group, the program included. */
const FROM_TERMINAL: readonly string[] = ['SIGINT', 'SIGQUIT']

export async function runCommand(
  file: string,
  args: readonly string[],
  options: RunCommandOptions,
): Promise<void> {
  await using kernel = boot({ khelpers: 1, launcher: options.launcher })
  const helper = start(() => kernel.run(file, args, runOptions(options)))
  const passOn = (signal: NodeJS.Signals): void => {
    // On a terminal the program shares our process group, and has the signal already.
    if (!(isatty(STDIN) && FROM_TERMINAL.includes(signal))) helper.kill(signal)
  }
  for (const signal of PASSED_ON) process.on(signal, passOn)
  let error: HelperError | undefined
  const result = await helper.catch((failure: unknown) => {
    if (!(failure instanceof HelperError)) throw failure
    error = failure
    return failure as unknown as RunResult
  })
  for (const signal of PASSED_ON) process.off(signal, passOn)
  if (options.json) console.log(JSON.stringify(report(file, args, result, error)))
  else if (error !== undefined && failedItself(error)) console.error(`khelper: ${error.message}`)
  process.exitCode = shellExitCode(result, error?.code)
}

function start(run: () => Helper): Helper {
  try {
    return run()
  } catch (error) {
    process.exitCode = RUN_FAILED
    throw new UsageError((error as Error).message)
  }
}

function runOptions({
  json,
  cwd,
  env,
  timeout,
  killSignal,
}: RunCommandOptions): RunOptions & { encoding: 'utf8' } {
  if (!(killSignal in constants.signals)) throw new UsageError(`--kill-signal: no such signal: ${killSignal}`)
  const output = json ? 'capture' : 'inherit'
  return {
    stdin: 'inherit',
    stdout: output,
    stderr: output,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    killSignal: killSignal as NodeJS.Signals,
    ...(cwd !== undefined && { cwd }),
    ...(timeout !== undefined && { timeout }),
  }
}

/** Whether nobody has said yet what went wrong: a program that ran has told itself. */
function failedItself({ exitCode, signalCode, timedOut }: HelperError): boolean {
  return timedOut || (exitCode === null && signalCode === null)
}

function report(file: string, args: readonly string[], result: RunResult, error: HelperError | undefined) {
  const { retval, exitCode, signalCode, pid, duration, timedOut, stdout, stderr, rusage } = result
  return {
    program: file,
    args,
    exitCode,
    signalCode,
    retval,
    pid: pid ?? null,
    duration,
    timedOut,
    stdout,
    stderr,
    rusage,
    error: error === undefined ? null : { code: error.code, message: error.message },
  }
}
