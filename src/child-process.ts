/**
 * `khelper/child_process`: `node:child_process` with khelper under it. Options, streams, events, IPC and errors are
 * Node's own; only the launch is khelper's. What khelper cannot do is Node's too (see the README).
 */
import childProcess from 'node:child_process'
import { promisify } from 'node:util'
import { withKhelper } from './child-process/swap.js'

// biome-ignore lint/suspicious/noExplicitAny: Node's overloads are kept as they are
type AnyFunction = (...args: any[]) => any

/** The same function, whose children are started through khelper, and its promisified form with it. */
function throughKhelper<Native extends AnyFunction>(native: Native): Native {
  const wrapped = wrap(native)
  const promisified = Reflect.get(native, promisify.custom) as AnyFunction | undefined
  if (promisified !== undefined) {
    Object.defineProperty(wrapped, promisify.custom, { value: wrap(promisified) })
  }
  return wrapped
}

function wrap<Native extends AnyFunction>(native: Native): Native {
  const wrapped = ((...args: Parameters<Native>) => withKhelper(() => native(...args))) as Native
  Object.defineProperty(wrapped, 'name', { value: native.name })
  Object.defineProperty(wrapped, 'length', { value: native.length })
  return wrapped
}

export const spawn: typeof childProcess.spawn = throughKhelper(childProcess.spawn)
export const exec: typeof childProcess.exec = throughKhelper(childProcess.exec)
export const execFile: typeof childProcess.execFile = throughKhelper(childProcess.execFile)
export const fork: typeof childProcess.fork = throughKhelper(childProcess.fork)
export const spawnSync: typeof childProcess.spawnSync = throughKhelper(childProcess.spawnSync)
export const execSync: typeof childProcess.execSync = throughKhelper(childProcess.execSync)
export const execFileSync: typeof childProcess.execFileSync = throughKhelper(childProcess.execFileSync)

/** Node's, whose `spawn` starts the program through khelper; Node's own children are instances of it as well. */
export class ChildProcess extends childProcess.ChildProcess {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof childProcess.ChildProcess
  }

  spawn(options: unknown): unknown {
    const { spawn: native } = childProcess.ChildProcess.prototype as unknown as { spawn: AnyFunction }
    return withKhelper(() => native.call(this, options))
  }
}

export default {
  ...childProcess,
  ChildProcess,
  spawn,
  exec,
  execFile,
  fork,
  spawnSync,
  execSync,
  execFileSync,
}

export type {
  ChildProcessByStdio,
  ChildProcessWithoutNullStreams,
  CommonOptions,
  ExecException,
  ExecFileException,
  ExecFileOptions,
  ExecFileSyncOptions,
  ExecOptions,
  ExecSyncOptions,
  ForkOptions,
  IOType,
  MessageOptions,
  SendHandle,
  Serializable,
  SerializationType,
  SpawnOptions,
  SpawnSyncOptions,
  SpawnSyncReturns,
  StdioNull,
  StdioOptions,
  StdioPipe,
  StdioPipeNamed,
} from 'node:child_process'
