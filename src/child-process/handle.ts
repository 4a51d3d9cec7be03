/**
 * What stands under a ChildProcess in the place of Node's native handle, and starts its program through khelper.
 *
 * Node's own JavaScript stays above it: options, stdio streams, IPC and events are Node's. What differs is that the
 * launch is still under way when `spawn` returns. So nothing of the child is shown before the exec is over: `spawn`
 * is held back, its streams are not read, and `pid` waits for the exec if somebody asks for it before.
 */
import { AsyncResource } from 'node:async_hooks'
import type { CallSpec, StdioEntry } from '../kernel/call-spec.js'
import type { Kernel } from '../kernel/kernel.js'
import { SlotFlag, Stdio } from '../kernel/memory.js'
import type { ProcessCall } from '../kernel/process-call.js'
import { errno, exitStatus, signalName, terminationSignal } from '../libc/index.js'
import { childEnvironment, childSearchPath, isFile, mayBeTooLong, workingDirectory } from './child-spec.js'
import { dropInKernel } from './default-kernel.js'
import { type ChildDescriptors, openDescriptors } from './descriptors.js'
import {
  type ChildWithHandle,
  type NativeProcess,
  type NativeRequest,
  type OnExit,
  type PipeHandle,
  readRequest,
} from './node-internals.js'

const STDIO_COUNT = 3
/** Launches that are under way: a process that ends takes the time to see them through, as Node's fork has. */
const launching = new Set<ProcessCall>()
process.prependListener('exit', () => {
  for (const call of launching) call.finishLaunch()
})

export class HelperHandle implements NativeProcess {
  readonly #child: ChildWithHandle
  readonly #native: NativeProcess
  readonly #resource = new AsyncResource('PROCESSWRAP')
  #call: ProcessCall | undefined
  /** What has become of the child and not yet been told. */
  readonly #news: (() => void)[] = []
  /** Node has come to the point where it emits `spawn`. */
  #mayTell = false
  #exited = false
  onexit: OnExit

  constructor(child: ChildWithHandle, native: NativeProcess) {
    this.#child = child
    this.#native = native
    this.onexit = native.onexit
  }

  /** @returns 0, or `-errno` as the native handle would */
  spawn(...request: readonly unknown[]): number {
    const kernel = dropInKernel()
    const read = readRequest(request)
    const outcome = kernel === undefined || read === undefined ? undefined : this.#launch(kernel, read)
    if (outcome !== undefined) return outcome
    this.#child._handle = this.#native
    return this.#native.spawn(...request)
  }

  /** @returns undefined for what is to be left to Node */
  #launch(kernel: Kernel, request: NativeRequest): number | undefined {
    if (request.file === '' || request.args?.length === 0) return undefined
    if (request.uid !== undefined || request.gid !== undefined || kernel.libc === undefined) return undefined
    if (request.cwd !== undefined && isFile(request.cwd)) return -errno('ENOTDIR')
    const { args = [request.file] } = request
    if (!Array.isArray(args)) return undefined
    const envp = childEnvironment(request.envPairs)
    if (mayBeTooLong(args, envp)) return undefined
    const descriptors = openDescriptors(kernel.libc, request.stdio)
    if (typeof descriptors === 'number') return descriptors
    const gates = descriptors.pipes.map(({ handle }) => new ReadGate(handle))
    const open = (): void => {
      descriptors.closeChildEnds()
      for (const gate of gates) gate.open()
    }
    try {
      const call = kernel.process(callSpec({ ...request, args, envPairs: envp }, descriptors), {
        started: () => {
          launching.delete(call)
          this.#tell(() => {
            open()
            this.#child.emit('spawn')
          })
        },
        ended: retval => {
          launching.delete(call)
          this.#tell(() => {
            open()
            // What the child wrote before its end is told before its end, as libuv does.
            setImmediate(() => setImmediate(() => this.#tell(() => this.#exit(retval))))
          })
        },
      })
      call.start()
      this.#call = call
      launching.add(call)
    } catch {
      // Strings that cannot be, or a kernel that has shut down: whose error it is, Node says.
      for (const gate of gates) gate.open()
      descriptors.closeChildEnds()
      descriptors.closeOurEnds()
      return undefined
    }
    for (const { handle, fd } of descriptors.pipes) handle.open(fd)
    this.#holdSpawnEvent()
    return 0
  }

  #holdSpawnEvent(): void {
    const child = this.#child
    Object.defineProperty(child, 'emit', {
      configurable: true,
      writable: true,
      value: (event: string | symbol, ...args: unknown[]): boolean => {
        if (event !== 'spawn') return Object.getPrototypeOf(child).emit.call(child, event, ...args)
        Reflect.deleteProperty(child, 'emit')
        this.#mayTell = true
        this.#tellAll()
        return true
      },
    })
  }

  #tell(news: () => void): void {
    this.#news.push(news)
    if (this.#mayTell) this.#tellAll()
  }

  #tellAll(): void {
    for (let news = this.#news.shift(); news !== undefined; news = this.#news.shift()) {
      try {
        this.#resource.runInAsyncScope(news)
      } catch (error) {
        // A listener's: it must not keep other calls from ending.
        process.nextTick(() => {
          throw error
        })
      }
    }
  }

  #exit(retval: number): void {
    this.#exited = true
    const signal = retval > 0 ? terminationSignal(retval) : 0
    if (retval < 0) this.onexit(retval, '')
    else if (signal !== 0) this.onexit(0, signalName(signal))
    else this.onexit(exitStatus(retval), '')
  }

  /** Undefined while the launch is under way: Node reads it at once, and must not wait. See `launchedPid`. */
  get pid(): undefined {
    return undefined
  }

  /** The pid, for who asks: waits for the exec. */
  get launchedPid(): number | undefined {
    return this.#call?.pid
  }

  kill(signal: number): number {
    return !this.#exited && this.#call?.kill(signal) ? 0 : -errno('ESRCH')
  }

  ref(): void {
    if (this.#call !== undefined) this.#call.referenced = true
  }

  unref(): void {
    if (this.#call !== undefined) this.#call.referenced = false
  }

  hasRef(): boolean {
    return this.#call?.referenced === true && !this.#exited
  }

  close(callback?: () => void): void {
    this.#native.close(callback)
  }

  getAsyncId(): number {
    return this.#resource.asyncId()
  }
}

/** Holds reading from a pipe back until its child is there. */
class ReadGate {
  readonly #handle: PipeHandle
  #wanted = false

  constructor(handle: PipeHandle) {
    this.#handle = handle
    for (const [name, wanted] of [
      ['readStart', true],
      ['readStop', false],
    ] as const) {
      Object.defineProperty(handle, name, {
        configurable: true,
        writable: true,
        value: () => {
          this.#wanted = wanted
          return 0
        },
      })
    }
  }

  open(): void {
    if (!Object.hasOwn(this.#handle, 'readStart')) return
    Reflect.deleteProperty(this.#handle, 'readStart')
    Reflect.deleteProperty(this.#handle, 'readStop')
    if (this.#wanted) this.#handle.readStart?.()
  }
}

function callSpec(
  request: NativeRequest & { readonly args: readonly string[]; readonly envPairs: readonly string[] },
  { child }: ChildDescriptors,
): CallSpec {
  const stdio: StdioEntry[] = child
    .slice(0, STDIO_COUNT)
    .map(fd => (fd === undefined ? { kind: Stdio.IGNORE, fd: 0 } : { kind: Stdio.FD, fd }))
  return {
    path: request.file,
    argv: request.args,
    envp: request.envPairs,
    flags: SlotFlag.ALONE | (request.detached ? SlotFlag.DETACHED : SlotFlag.FOREGROUND),
    cwd: request.cwd ?? workingDirectory(),
    search: childSearchPath(request.file, request.envPairs),
    settings: { scripts: true, descriptors: child.slice(STDIO_COUNT).map(fd => fd ?? null) },
    stdio,
  }
}
