/**
 * Launches programs by node:child_process on the wait_for_helper thread: where posix_spawn cannot be had, and
 * on demand. Slower, and with the same results but for the rusage, which Node does not tell.
 *
 * The children belong to this thread's event loop, which alone sees them exit: were the thread ended, they would
 * stay zombies for ever. So nothing else runs here.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { platform } from 'node:process'
import type { Readable } from 'node:stream'
import { type CapturedStream, markByName, scratchFile } from '../kernel/captured.js'
import type { Completer } from '../kernel/complete.js'
import { UMH_WAIT_PROC } from '../kernel/constants.js'
import {
  Control,
  ExecState,
  type Memory,
  Slot,
  SlotFlag,
  type SlotIndex,
  SlotState,
  Stdio,
  Step,
  stdioHasPath,
} from '../kernel/memory.js'
import { findProgram } from '../kernel/path-search.js'
import { tellPid } from '../kernel/pending-signal.js'
import { signalGroup } from '../kernel/process-tree.js'
import { sendByNode } from '../kernel/signaller.js'
import { tellFlushers } from '../kernel/workqueue.js'
import { errno, errnoOf, waitStatusOf } from '../libc/index.js'
import { openStdioFile } from './stdio.js'
import { type StringPayload, StringPayloadReader } from './string-payload.js'

const STDIO_COUNT = 3
const PRIVATE = 0o600
const ELF = Buffer.from('\x7fELF', 'latin1')
/** There where more than ELF and #! may be executed (binfmt_misc). */
const OTHER_FORMATS = '/proc/sys/fs/binfmt_misc/register'

/** One captured stream: its bytes go into a scratch file as they come. */
interface Capture {
  readonly stream: CapturedStream
  readonly readable: Readable
  fd: number | undefined
  bytes: number
}

/** A launched program whose call is to be ended at its exit. */
interface Child {
  readonly slot: SlotIndex
  readonly process: ChildProcess
  readonly captures: readonly Capture[]
  status: number | undefined
}

class LaunchFailure extends Error {
  readonly error: number
  readonly step: number

  constructor(error: number, step: number) {
    super()
    this.error = error
    this.step = step
  }
}

export class ChildProcessLauncher {
  readonly #memory: Memory
  readonly #completer: Completer
  readonly #scratch: string
  readonly #payload: StringPayloadReader
  readonly #processes: number
  /** Helpers that have exited, and whose output is still open. */
  readonly #lingering = new Set<Child>()

  constructor(memory: Memory, completer: Completer, scratch: string) {
    this.#memory = memory
    this.#completer = completer
    this.#scratch = scratch
    this.#payload = new StringPayloadReader(memory)
    this.#processes = memory.control(Control.PROCESSES)
  }

  /** Starts a slot's program; its call is ended by the events that follow. */
  launch(slot: SlotIndex): void {
    const payload = this.#payload.read(slot)
    this.#payload.forget()
    Atomics.add(this.#memory.words, this.#processes, 1)
    this.#start(slot, payload)
      .catch(error => {
        if (error instanceof LaunchFailure) this.#fail(slot, error.error, error.step)
        else this.#fail(slot, errnoOf(error, 'EIO'), Step.EXECVE)
      })
      // The khelper has told them when the call was not executed yet.
      .finally(() => tellFlushers(this.#memory))
  }

  /** What descendants keep open is not waited for once their helper was to be ended. */
  settle(): void {
    const { words } = this.#memory
    for (const { slot, captures } of this.#lingering) {
      if (Atomics.load(words, this.#memory.slot(slot) + Slot.KILLED) !== 1) continue
      for (const { readable } of captures) readable.destroy()
    }
  }

  /** Nothing was started. */
  #fail(slot: SlotIndex, error: number, step: number): void {
    Atomics.sub(this.#memory.words, this.#processes, 1)
    this.#completer.fail(slot, error, step)
  }

  async #start(slot: SlotIndex, payload: StringPayload): Promise<void> {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const flags = words[row + Slot.FLAGS] ?? 0
    if (payload.cwd !== undefined && !isDirectory(payload.cwd))
      throw new LaunchFailure(errno('ENOENT'), Step.CHDIR)
    const opened: FileHandle[] = []
    const sockets: Socket[] = []
    try {
      const stdio: ('ignore' | 'pipe' | number | Socket)[] = []
      for (let entry = 0; entry < STDIO_COUNT; entry += 1) {
        const kind = words[row + Slot.STDIO + entry] ?? Stdio.IGNORE
        if (kind === Stdio.IGNORE) stdio.push('ignore')
        else if (kind === Stdio.CAPTURE) stdio.push('pipe')
        else if (kind === Stdio.SOCKET) {
          const socket = await connected(payload.files[entry] ?? '')
          sockets.push(socket)
          stdio.push(socket)
        } else if (stdioHasPath(kind)) {
          const file = await openStdioFile(kind, payload.files[entry] ?? '').catch(error => {
            throw new LaunchFailure(errnoOf(error, 'EIO'), Step.STDIN + entry)
          })
          opened.push(file)
          stdio.push(file.fd)
        } else stdio.push(words[row + Slot.STDIO_FD + entry] ?? entry)
      }
      const [argv0, ...args] = payload.argv
      const options = {
        argv0: argv0 ?? '',
        cwd: payload.cwd,
        env: environmentObject(payload.envp),
        stdio,
        detached: (flags & (SlotFlag.FOREGROUND | SlotFlag.IN_THREAD)) === 0,
      }
      const program = this.#program(flags, payload)
      if (!isProgram(resolve(payload.cwd ?? '.', program)))
        throw new LaunchFailure(errno('ENOEXEC'), Step.EXECVE)
      const child = spawn(program, args, options)
      this.#follow(slot, child)
      await new Promise<void>(done => {
        child.once('spawn', done)
        child.once('error', () => done())
      })
    } finally {
      for (const file of opened) void file.close()
      for (const socket of sockets) socket.destroy()
    }
  }

  #program(flags: number, { path, search, cwd }: StringPayload): string {
    if ((flags & SlotFlag.SEARCH) === 0) return path.includes('/') ? path : `./${path}`
    const found = findProgram(path, search ?? '', cwd)
    if (typeof found === 'number') throw new LaunchFailure(found, Step.EXECVE)
    return found
  }

  #follow(slot: SlotIndex, process: ChildProcess): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    const waited = ((words[row + Slot.WAIT] ?? 0) & UMH_WAIT_PROC) !== 0
    const child: Child = { slot, process, captures: this.#captures(row, process), status: undefined }
    let ended = false
    const end = () => {
      if (ended) return
      ended = true
      this.#lingering.delete(child)
      for (const capture of child.captures) if (capture.fd !== undefined) closeSync(capture.fd)
      if (waited && child.status !== undefined) this.#completer.umhComplete(slot, child.status)
    }
    process.once('error', error => {
      if (process.pid !== undefined) return
      this.#fail(slot, errnoOf(error, 'EIO'), Step.EXECVE)
    })
    process.once('spawn', () => {
      const pending = tellPid(this.#memory, slot, process.pid ?? 0)
      if (pending !== undefined) signalChild(process, pending.signal)
      this.#completer.execDone(slot, ExecState.STARTED)
      if (waited) Atomics.store(words, row + Slot.STATE, SlotState.RUNNING)
      else this.#completer.umhComplete(slot, 0)
    })
    process.once('exit', (code, signal) => {
      Atomics.sub(words, this.#processes, 1)
      child.status = waitStatus(code, signal)
      if (!waited) return
      this.#lingering.add(child)
      this.settle()
    })
    process.once('close', end)
    if (waited) for (const capture of child.captures) this.#collect(child, row, capture)
  }

  #captures(row: number, process: ChildProcess): Capture[] {
    const captures: Capture[] = []
    for (const [stream, readable] of [process.stdout, process.stderr].entries()) {
      if (this.#memory.words[row + Slot.STDIO + 1 + stream] !== Stdio.CAPTURE || readable === null) continue
      captures.push({ stream: stream as CapturedStream, readable, fd: undefined, bytes: 0 })
    }
    return captures
  }

  #collect(child: Child, row: number, capture: Capture): void {
    const limit = this.#memory.doubles[(row + Slot.MAX_OUTPUT) / 2] ?? 0
    capture.readable.on('data', (chunk: Buffer) => {
      const kept = chunk.subarray(0, Math.max(0, limit - capture.bytes))
      if (kept.byteLength > 0) {
        if (capture.fd === undefined) {
          capture.fd = openSync(scratchFile(this.#scratch, child.slot, capture.stream), 'w', PRIVATE)
          markByName(this.#memory, child.slot, capture.stream)
        }
        writeSync(capture.fd, kept)
        capture.bytes += kept.byteLength
      }
      if (kept.byteLength < chunk.byteLength) this.#overflow(child, row, capture)
    })
  }

  /** More than may be kept: the helper is ended, and what there is so far is its output. */
  #overflow({ process }: Child, row: number, capture: Capture): void {
    const { words } = this.#memory
    words[row + Slot.TRUNCATED + capture.stream] = 1
    Atomics.store(words, row + Slot.KILLED, 1)
    capture.readable.destroy()
    signalChild(process, words[row + Slot.KILL_SIGNAL] ?? constants.signals.SIGTERM)
    const grace = words[row + Slot.GRACE] ?? -1
    if (grace < 0) return
    const overdue = setTimeout(() => signalChild(process, constants.signals.SIGKILL), grace)
    process.once('exit', () => clearTimeout(overdue))
  }
}

function signalChild({ pid, exitCode, signalCode }: ChildProcess, signal: number): void {
  if (pid !== undefined && exitCode === null && signalCode === null) signalGroup(pid, signal, sendByNode)
}

/** As wait4(2) has it. Whether a core was dumped Node does not tell. */
function waitStatus(code: number | null, signal: NodeJS.Signals | null): number {
  return signal === null ? waitStatusOf(code ?? 0) : constants.signals[signal]
}

/**
 * libuv gives a file that execve refuses with ENOEXEC to the shell, as execvp(3) does. Neither the kernel nor
 * posix_spawn does, so it is refused here.
 */
function isProgram(path: string): boolean {
  if (platform !== 'linux' || existsSync(OTHER_FORMATS)) return true
  const start = Buffer.alloc(ELF.byteLength)
  try {
    const fd = openSync(path, 'r')
    try {
      readSync(fd, start)
    } finally {
      closeSync(fd)
    }
  } catch {
    // Missing, a folder, or executable without being readable: spawn itself says what is wrong, if anything is.
    return true
  }
  return start.equals(ELF) || start.toString('latin1', 0, 2) === '#!'
}

function environmentObject(envp: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = Object.create(null)
  for (const entry of envp) {
    const equals = entry.indexOf('=', 1)
    environment[entry.slice(0, equals)] = entry.slice(equals + 1)
  }
  return environment
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    // What comes is the helper's to read, not ours.
    socket.pause()
    socket.once('connect', () => resolve(socket.off('error', reject)))
    socket.once('error', reject)
  })
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
