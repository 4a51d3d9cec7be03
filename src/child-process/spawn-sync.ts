/**
 * `spawnSync` and its relatives: Node's JavaScript above, khelper in the place of its native function.
 */
import { constants } from 'node:os'
import type { CallSpec, StdioEntry } from '../kernel/call-spec.js'
import type { Kernel } from '../kernel/kernel.js'
import { SlotFlag, Stdio } from '../kernel/memory.js'
import { errno, exitStatus, signalName, terminationSignal } from '../libc/index.js'
import { childEnvironment, childSearchPath, isFile, workingDirectory } from './child-spec.js'
import { dropInKernel } from './default-kernel.js'

const STDIO_COUNT = 3

type SyncStdio =
  | { readonly type: 'ignore' }
  | { readonly type: 'pipe'; readonly input?: ArrayBufferView | null; readonly readable?: boolean }
  | { readonly type: 'inherit' | 'fd'; readonly fd: number }

/** What Node's spawnSync hands to its native function. */
export interface SyncRequest {
  readonly file: string
  readonly args?: readonly string[]
  readonly cwd?: string
  readonly envPairs?: readonly string[]
  readonly stdio: readonly SyncStdio[]
  readonly detached?: boolean
  readonly uid?: number
  readonly gid?: number
  readonly timeout?: number
  readonly maxBuffer?: number
  readonly killSignal?: number
}

/** What it gets from it. */
export interface SyncResult {
  readonly pid: number
  readonly status: number | null
  readonly signal: string | null
  readonly output: (Buffer | null)[] | null
  readonly error?: number
}

/** @returns undefined for what is to be left to Node */
export function spawnSync(request: SyncRequest): SyncResult | undefined {
  const kernel = dropInKernel()
  if (kernel === undefined || !canRun(request)) return undefined
  if (request.cwd && isFile(request.cwd)) return failed(-errno('ENOTDIR'))
  const [first] = request.stdio
  const input = first?.type === 'pipe' ? bytesOf(first.input) : undefined
  try {
    return result(kernel, request, input)
  } catch {
    // Strings that cannot be, or a kernel that has shut down: whose error it is, Node says.
    return undefined
  }
}

const failed = (error: number): SyncResult => ({ pid: 0, status: null, signal: null, output: null, error })

function canRun({ file, args, stdio, uid, gid }: SyncRequest): boolean {
  if (file === '' || args?.length === 0 || !Array.isArray(stdio)) return false
  if ((uid !== undefined && uid !== null) || (gid !== undefined && gid !== null)) return false
  return stdio.every(
    (entry, index) =>
      entry.type === 'ignore' ||
      entry.type === 'inherit' ||
      entry.type === 'fd' ||
      (entry.type === 'pipe' && index < STDIO_COUNT && (index === 0 || !entry.input)),
  )
}

function result(kernel: Kernel, request: SyncRequest, input: Uint8Array | undefined): SyncResult | undefined {
  const { timeout = 0, maxBuffer = 0, stdio } = request
  const outcome = kernel.processSync(callSpec(request), input, timeout > 0 ? timeout : undefined)
  if (outcome === undefined) return undefined
  const { retval, pid, timedOut, outputTruncated, captured } = outcome
  if (retval < 0) return failed(retval)
  const streams = [null, captured.stdout, captured.stderr]
  const signal = terminationSignal(retval)
  const output = stdio.map((entry, index) => (entry.type === 'pipe' ? (streams[index] ?? null) : null))
  const length = captured.stdout.byteLength + captured.stderr.byteLength
  const overflow = outputTruncated || (maxBuffer > 0 && length > maxBuffer)
  const error = timedOut ? -errno('ETIMEDOUT') : overflow ? -errno('ENOBUFS') : undefined
  return {
    pid,
    status: signal === 0 ? exitStatus(retval) : null,
    signal: signal === 0 ? null : signalName(signal),
    output,
    ...(error !== undefined && { error }),
  }
}

function callSpec(request: SyncRequest): CallSpec {
  const { file, args, cwd, detached, maxBuffer = 0, killSignal } = request
  const envp = childEnvironment(request.envPairs)
  const stdio = request.stdio.slice(0, STDIO_COUNT).map((entry): StdioEntry => {
    if (entry.type === 'pipe') return { kind: Stdio.CAPTURE, fd: 0 }
    return entry.type === 'ignore' ? { kind: Stdio.IGNORE, fd: 0 } : { kind: Stdio.FD, fd: entry.fd }
  })
  return {
    path: file,
    argv: args ?? [file],
    envp,
    flags: SlotFlag.ALONE | (detached ? SlotFlag.DETACHED : SlotFlag.FOREGROUND),
    cwd: cwd ?? workingDirectory(),
    search: childSearchPath(file, envp),
    settings: {
      scripts: true,
      descriptors: request.stdio.slice(STDIO_COUNT).map(entry => ('fd' in entry ? entry.fd : null)),
    },
    stdio,
    maxOutput: maxBuffer > 0 && Number.isFinite(maxBuffer) ? maxBuffer : Number.MAX_SAFE_INTEGER,
    killSignal: killSignal || constants.signals.SIGTERM,
    grace: -1,
  }
}

const bytesOf = (input: ArrayBufferView | null | undefined): Uint8Array =>
  input === null || input === undefined
    ? new Uint8Array(0)
    : new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
