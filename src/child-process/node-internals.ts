/**
 * What Node's ChildProcess and the native handle under it look like from here: none of it is documented, all of it is
 * checked before it is relied on, and where it is different everything is left to Node.
 */
import type { ChildProcess } from 'node:child_process'

/** Node's wrapper of a uv_pipe_t. */
export interface PipeHandle {
  open(fd: number): number
  close(): void
  readStart?(): number
  readonly fd: number
}

/** An entry of stdio as ChildProcess.prototype.spawn hands it to its native handle. */
export type NativeStdio =
  | { readonly type: 'ignore' }
  | { readonly type: 'pipe' | 'overlapped'; readonly handle: PipeHandle; readonly ipc?: boolean }
  | { readonly type: 'inherit' | 'fd'; readonly fd: number }
  | { readonly type: 'wrap'; readonly handle: { readonly fd: number } }

/** What the native handle is asked to start. */
export interface NativeRequest {
  readonly file: string
  readonly args: readonly string[] | undefined
  readonly cwd: string | undefined
  readonly envPairs: readonly string[] | undefined
  readonly stdio: readonly NativeStdio[]
  readonly detached: boolean
  readonly uid: number | undefined
  readonly gid: number | undefined
}

export type OnExit = (exitCode: number, signalCode: string) => void

/** The native handle of a ChildProcess. */
export interface NativeProcess {
  onexit: OnExit
  readonly pid?: number | undefined
  spawn(...request: readonly unknown[]): number
  kill(signal: number): number
  ref(): void
  unref(): void
  hasRef(): boolean
  close(callback?: () => void): void
  getAsyncId?(): number
}

export type ChildWithHandle = ChildProcess & { _handle: NativeProcess | null }

/** Node 24 and later pass eight values; this is the flag among them that says detached. */
const DETACHED_FLAG = 1
const POSITIONS = 8

/** Both shapes of the request that there are; undefined for any other. */
export function readRequest(request: readonly unknown[]): NativeRequest | undefined {
  const [first] = request
  if (request.length === 1 && typeof first === 'object' && first !== null) {
    const options = first as NativeRequest
    return Array.isArray(options.stdio) && typeof options.file === 'string'
      ? {
          ...options,
          detached: Boolean(options.detached),
          uid: given(options.uid),
          gid: given(options.gid),
        }
      : undefined
  }
  if (request.length !== POSITIONS || typeof first !== 'string') return undefined
  const [file, args, cwd, envPairs, stdio, flags, uid, gid] = request as [
    string,
    readonly string[] | undefined,
    string | undefined,
    readonly string[] | undefined,
    readonly NativeStdio[],
    number,
    number | undefined,
    number | undefined,
  ]
  if (!Array.isArray(stdio) || typeof flags !== 'number') return undefined
  const detached = (flags & DETACHED_FLAG) !== 0
  return { file, args, cwd, envPairs, stdio, detached, uid: given(uid), gid: given(gid) }
}

const given = (id: number | null | undefined): number | undefined =>
  id === undefined || id === null || id < 0 ? undefined : id
