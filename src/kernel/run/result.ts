/**
 * From what is left in a descriptor to the result, or to the error that carries it.
 */
import { errno, errnoName, exitStatus, signalName, terminationSignal } from '../../libc/index.js'
import type { Captured } from '../captured.js'
import { UMH_WAIT_PROC } from '../constants.js'
import { HelperError, type HelperErrorDetails, launchMessage, syscallOf } from '../errors.js'
import { type Memory, Slot, SlotFlag, type SlotIndex, Step } from '../memory.js'
import { redacted, redactedCall } from '../redaction.js'
import type { RunArguments } from './arguments.js'
import type { RunResult, Rusage } from './types.js'

/** What the descriptor says of an ended call, beyond its captured output. */
export interface Outcome {
  readonly retval: number
  readonly pid: number | undefined
  readonly step: number
  readonly rusage: Rusage | null
  readonly outputTruncated: boolean
}

/** Why a helper was ended by the service, if it was. */
export interface Termination {
  readonly timedOut: boolean
  readonly aborted: boolean
  /** The signal that a helper was ended with before it had started. */
  readonly withdrawnBy: number | undefined
}

/** Before the descriptor is freed: what it says. */
export function readOutcome(memory: Memory, slot: SlotIndex): Outcome {
  const { words } = memory
  const row = memory.slot(slot)
  const pid = words[row + Slot.PID] ?? 0
  return {
    retval: words[row + Slot.RETVAL] ?? 0,
    pid: pid === 0 ? undefined : pid,
    step: words[row + Slot.FAILED_STEP] ?? 0,
    rusage: (words[row + Slot.FLAGS] ?? 0) & SlotFlag.RUSAGE ? readRusage(memory, row) : null,
    outputTruncated: words[row + Slot.TRUNCATED] === 1 || words[row + Slot.TRUNCATED + 1] === 1,
  }
}

function readRusage(memory: Memory, row: number): Rusage {
  const field = (index: number): number => memory.doubles[(row + Slot.RUSAGE) / 2 + index] ?? 0
  return {
    userCPUTime: field(0),
    systemCPUTime: field(1),
    maxRSS: field(2),
    minorPageFault: field(3),
    majorPageFault: field(4),
    fsRead: field(5),
    fsWrite: field(6),
    voluntaryContextSwitches: field(7),
    involuntaryContextSwitches: field(8),
  }
}

/** A call that has no descriptor: nothing was started. */
export function noOutcome(error: number, step: number): Outcome {
  return { retval: -error, pid: undefined, step, rusage: null, outputTruncated: false }
}

export function makeResult(
  args: RunArguments,
  outcome: Outcome,
  captured: Captured,
  { timedOut, aborted, withdrawnBy }: Termination,
  duration: number,
): RunResult<string | Buffer> {
  const waited = (args.wait & UMH_WAIT_PROC) !== 0
  const withdrawn = outcome.retval === -errno('ECANCELED') && withdrawnBy !== undefined
  const retval = withdrawn ? withdrawnBy : outcome.retval
  const ran = retval >= 0 && waited
  const signal = ran ? terminationSignal(retval) : 0
  const decode = (bytes: Buffer): string | Buffer =>
    args.encoding === 'buffer' ? bytes : bytes.toString(args.encoding)
  return {
    retval,
    exitCode: ran && signal === 0 ? exitStatus(retval) : null,
    signalCode: signal === 0 ? null : signalName(signal),
    stdout: decode(captured.stdout),
    stderr: decode(captured.stderr),
    pid: outcome.pid,
    rusage: outcome.rusage,
    timedOut,
    aborted,
    outputTruncated: outcome.outputTruncated,
    duration,
  }
}

/** The error for a result that is not a success; undefined for one that is. */
export function makeError(
  args: RunArguments,
  outcome: Outcome,
  result: RunResult<string | Buffer>,
): HelperError | undefined {
  const { path, argv, cwd } = redactedCall(args, args.secrets)
  const details: HelperErrorDetails = { ...result, path, cwd, argv }
  const command = argv[0] ?? path
  if (result.aborted) {
    const cause = args.signal?.reason
    return new HelperError('ABORT_ERR', `The helper was aborted: ${command}`, details, { cause })
  }
  if (result.retval < 0) {
    const error = -result.retval
    return new HelperError(
      errnoName(error),
      explain(
        launchMessage(error, outcome.step, path, cwd, fileOf(args, outcome.step)),
        args.secrets,
        outcome,
        result,
      ),
      { ...details, errno: result.retval, syscall: syscallOf(outcome.step) },
    )
  }
  if (result.timedOut) {
    return new HelperError('ETIMEDOUT', `Timed out after ${args.timeout} ms: ${command}`, {
      ...details,
      errno: -errno('ETIMEDOUT'),
    })
  }
  if (result.outputTruncated) {
    return new HelperError(
      'ERR_HELPER_MAX_OUTPUT',
      `Killed for writing more than ${args.maxOutput} bytes: ${command}; raise maxOutput or stream the output`,
      details,
    )
  }
  if (result.signalCode !== null) {
    return new HelperError('ERR_HELPER_SIGNAL', `Killed by ${result.signalCode}: ${command}`, details)
  }
  if (result.exitCode !== null && result.exitCode !== 0) {
    return new HelperError('ERR_HELPER_EXIT', `Exited with ${result.exitCode}: ${command}`, details)
  }
  return undefined
}

/** The file that was to be opened at a step. */
function fileOf({ stdin, stdout, stderr, secrets }: RunArguments, step: number): string | undefined {
  const target = [stdin, stdout, stderr][step - Step.STDIN]
  return typeof target === 'object' ? redacted(target.file, secrets) : undefined
}

/** An in-thread helper that cannot be imported has said why. */
function explain(
  message: string,
  secrets: readonly string[],
  { step }: Outcome,
  { stderr }: RunResult<string | Buffer>,
): string {
  const [why] = step === Step.IMPORT ? stderr.toString().split('\n') : ['']
  return why ? `${message} (${redacted(why, secrets)})` : message
}
