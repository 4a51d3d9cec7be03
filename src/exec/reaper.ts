/**
 * wait_for_helper: sees processes exit, collects what they wrote, reaps them and ends their calls.
 *
 * One epoll set holds a pidfd for each process and the pipes of captured output, so an exit costs the
 * same however many processes there are. Captured output is moved by splice(2) from its pipe into a
 * file in memory, without passing through JavaScript; the caller reads that file when the call has ended.
 *
 * A call ends when the process has exited and every captured pipe is at its end, as `close` comes after
 * `exit` in node:child_process. Until then the process stays a zombie, so that its process group's
 * number cannot become somebody else's and the group can still be signalled. Once somebody has
 * signalled the helper to end it, pipes that a descendant still holds are not waited for.
 *
 * A launch by an exec step is told here how it went, by a pipe in the same set: no khelper waits for it.
 */
import type { Completer } from '../kernel/complete.js'
import { isStepAsked, stepFailed, stepSucceeded } from '../kernel/hand-over.js'
import { WATCH_BITS, Watch, watchStep } from '../kernel/launch-descriptors.js'
import {
  Control,
  type Memory,
  Process,
  type ProcessIndex,
  ProcessState,
  Slot,
  SlotFlag,
  type SlotIndex,
} from '../kernel/memory.js'
import { claimForReaping, freeProcess, signalProcess } from '../kernel/process-table.js'
import { killTree, startOf } from '../kernel/process-tree.js'
import { tellWatcher } from '../kernel/service-death.js'
import {
  asFd,
  EPOLLIN,
  EPOLLONESHOT,
  type EpollEvents,
  errno,
  type Fd,
  type Libc,
  WNOHANG,
} from '../libc/index.js'

const EVENTS_AT_ONCE = 64
const SPLICE_BYTES = 1024 * 1024
const SIGKILL = 9
/** How often unwatched processes and overdue kills are looked at. */
const LOOK_MS = 10
/** struct rusage in 64-bit words: two timevals, then longs. */
const RUSAGE = {
  UTIME: 0,
  STIME: 2,
  MAXRSS: 4,
  MINFLT: 8,
  MAJFLT: 9,
  INBLOCK: 11,
  OUBLOCK: 12,
  NVCSW: 16,
  NIVCSW: 17,
}
const MICROSECONDS = 1_000_000

/** One captured stream. */
interface Capture {
  readonly pipeAt: number
  file: Fd | undefined
  bytes: number
  truncated: boolean
}

interface Child {
  readonly stdout: Capture
  readonly stderr: Capture
  exited: boolean
}

interface OverdueKill {
  readonly index: ProcessIndex
  readonly generation: number
  readonly at: number
}

export class Reaper {
  readonly #memory: Memory
  readonly #libc: Libc
  readonly #completer: Completer
  readonly #epoll: Fd
  readonly #event: Fd
  readonly #events: EpollEvents
  readonly #counter = new Uint8Array(8)
  /** Which step failed, and why. */
  readonly #toldWords = new Uint32Array(2)
  readonly #told = new Uint8Array(this.#toldWords.buffer)
  readonly #children = new Map<ProcessIndex, Child>()
  #kills: OverdueKill[] = []
  #unwatched = false

  constructor(memory: Memory, libc: Libc, completer: Completer) {
    this.#memory = memory
    this.#libc = libc
    this.#completer = completer
    this.#epoll = asFd(memory.words[memory.control(Control.EPOLL_FD)] ?? -1)
    this.#event = asFd(memory.words[memory.control(Control.EVENT_FD)] ?? -1)
    this.#events = libc.epollEvents(EVENTS_AT_ONCE)
    // A predecessor that died may have taken an event and not dealt with it.
    this.#unwatched = true
  }

  /** Waits up to `timeout` milliseconds for something to happen, and deals with it. */
  turn(timeout: number): void {
    const wait = this.#unwatched || this.#kills.length > 0 ? Math.min(timeout, LOOK_MS) : timeout
    const count = this.#libc.epollWait(this.#epoll, this.#events, wait)
    for (let event = 0; event < count; event += 1) {
      const data = this.#libc.epollEventData(this.#events, event)
      const index = (data >> WATCH_BITS) as ProcessIndex
      switch (data & ((1 << WATCH_BITS) - 1)) {
        case Watch.EXIT:
          this.#exited(index)
          break
        case Watch.STDOUT:
          this.#readable(index, this.#child(index).stdout)
          break
        case Watch.STDERR:
          this.#readable(index, this.#child(index).stderr)
          break
        case Watch.STEP:
          this.#stepped(index)
          break
        default:
          this.#woken()
      }
    }
    if (this.#unwatched) this.#lookAtUnwatched()
    if (this.#kills.length > 0) this.#killOverdue()
  }

  #child(index: ProcessIndex): Child {
    let child = this.#children.get(index)
    if (child === undefined) {
      const row = this.#memory.process(index)
      const capture = (pipe: number): Capture => ({
        pipeAt: row + pipe,
        file: undefined,
        bytes: 0,
        truncated: false,
      })
      child = { stdout: capture(Process.OUT_PIPE), stderr: capture(Process.ERR_PIPE), exited: false }
      this.#children.set(index, child)
    }
    return child
  }

  /** Somebody has marked a call as killed, or handed over a process that has no pidfd. */
  #woken(): void {
    this.#libc.read(this.#event, this.#counter)
    this.#unwatched = true
    for (const [index, child] of this.#children) if (child.exited) this.#settle(index, child)
  }

  /** Sees to it that every process is watched; stops looking when each is. */
  #lookAtUnwatched(): void {
    const { words } = this.#memory
    let left = Atomics.load(words, this.#memory.control(Control.PROCESSES))
    let unwatched = false
    for (let index = 0; index < this.#memory.size.descriptors && left > 0; index += 1) {
      const process = index as ProcessIndex
      const row = this.#memory.process(process)
      const state = Atomics.load(words, row + Process.STATE)
      if (state === ProcessState.FREE) continue
      left -= 1
      if (state !== ProcessState.LIVE && state !== ProcessState.SIGNALLING) continue
      if (Atomics.load(words, row + Process.HANDED_OVER) === 0) continue
      // Watched already is as good: the event comes at once where there is something to read.
      if (isStepAsked(this.#memory, process)) watchStep(this.#memory, this.#libc, process, this.#epoll)
      if (!this.#watch(process, row)) unwatched = true
    }
    this.#unwatched = unwatched
  }

  /** @returns whether the process has a pidfd now, or has been dealt with */
  #watch(index: ProcessIndex, row: number): boolean {
    const { words } = this.#memory
    const known = (words[row + Process.PIDFD] ?? 0) - 1
    const pidfd = known >= 0 ? known : this.#libc.pidfdOpen(words[row + Process.PID] ?? 0)
    if (pidfd < 0) {
      // No descriptor for it: whether it has exited can still be asked, without reaping it.
      if (!this.#libc.hasExited(words[row + Process.PID] ?? 0)) return false
      this.#exited(index)
      return true
    }
    words[row + Process.PIDFD] = pidfd + 1
    // Already there is as good: a khelper may have died just before or just after it added it.
    this.#libc.epollAdd(this.#epoll, asFd(pidfd), EPOLLIN | EPOLLONESHOT, index << WATCH_BITS)
    return true
  }

  /**
   * The exec step has told that it failed, or its socket is closed: then the program runs, or somebody has killed the
   * process before it could.
   */
  #stepped(index: ProcessIndex): void {
    const { words } = this.#memory
    const row = this.#memory.process(index)
    const pipe = words[row + Process.STEP_SOCKET] ?? 0
    if (pipe === 0) return
    const told = this.#libc.read(asFd(pipe), this.#told)
    words[row + Process.STEP_SOCKET] = 0
    this.#libc.epollDelete(this.#epoll, asFd(pipe))
    this.#libc.close(asFd(pipe))
    if (told < this.#told.byteLength) {
      stepSucceeded(this.#memory, this.#completer, index)
      return
    }
    const { stdout, stderr } = this.#child(index)
    for (const capture of [stdout, stderr]) {
      this.#closePipe(capture)
      if (capture.file !== undefined) this.#libc.close(capture.file)
      capture.file = undefined
    }
    const [step = 0, error = 0] = this.#toldWords
    stepFailed(this.#memory, this.#libc, this.#completer, index, error, step)
  }

  #exited(index: ProcessIndex): void {
    this.#stepped(index)
    const child = this.#child(index)
    child.exited = true
    for (const capture of [child.stdout, child.stderr]) {
      while (this.#openPipe(capture) !== undefined && this.#collect(index, capture));
    }
    this.#settle(index, child)
  }

  #readable(index: ProcessIndex, capture: Capture): void {
    if (this.#openPipe(capture) === undefined) return
    this.#collect(index, capture)
    const child = this.#child(index)
    if (child.exited) this.#settle(index, child)
  }

  #openPipe(capture: Capture): Fd | undefined {
    const fd = this.#memory.words[capture.pipeAt] ?? 0
    return fd === 0 ? undefined : asFd(fd)
  }

  #closePipe(capture: Capture): void {
    const fd = this.#openPipe(capture)
    if (fd === undefined) return
    this.#memory.words[capture.pipeAt] = 0
    this.#libc.epollDelete(this.#epoll, fd)
    this.#libc.close(fd)
  }

  /**
   * Moves what stands in a capture's pipe into its file.
   * @returns whether there may be more at once
   */
  #collect(index: ProcessIndex, capture: Capture): boolean {
    const pipe = this.#openPipe(capture)
    if (pipe === undefined) return false
    const room = this.#limit(index) - capture.bytes
    if (room <= 0) return this.#overflow(index, capture, pipe)
    if (capture.file === undefined) {
      const file = this.#libc.memfd('khelper-output')
      if (file < 0) return this.#giveUp(index, capture)
      capture.file = asFd(file)
    }
    const moved = this.#libc.splice(pipe, capture.file, Math.min(room, SPLICE_BYTES))
    if (moved > 0) {
      capture.bytes += moved
      return true
    }
    if (moved === 0) this.#closePipe(capture)
    else if (moved !== -errno('EAGAIN') && moved !== -errno('EINTR')) this.#giveUp(index, capture)
    return false
  }

  /** The limit is reached: whether that is the end, or one byte too many, the next read tells. */
  #overflow(index: ProcessIndex, capture: Capture, pipe: Fd): boolean {
    const discard = this.#libc.memfd('khelper-overflow')
    if (discard < 0) return this.#giveUp(index, capture)
    const more = this.#libc.splice(pipe, asFd(discard), 1)
    this.#libc.close(asFd(discard))
    if (more === 0) this.#closePipe(capture)
    if (more > 0) this.#giveUp(index, capture)
    return false
  }

  /** No more of this stream can be kept: the helper is ended, and what there is so far is its output. */
  #giveUp(index: ProcessIndex, capture: Capture): false {
    capture.truncated = true
    this.#closePipe(capture)
    this.#kill(index)
    return false
  }

  #limit(index: ProcessIndex): number {
    const slot = this.#slotRow(index)
    return slot === undefined ? 0 : (this.#memory.doubles[(slot + Slot.MAX_OUTPUT) / 2] ?? 0)
  }

  #slotRow(index: ProcessIndex): number | undefined {
    const slot = (this.#memory.words[this.#memory.process(index) + Process.SLOT] ?? 0) - 1
    return slot < 0 ? undefined : this.#memory.slot(slot as SlotIndex)
  }

  #kill(index: ProcessIndex): void {
    const { words } = this.#memory
    const slot = this.#slotRow(index)
    if (slot === undefined) return
    const generation = words[this.#memory.process(index) + Process.GENERATION] ?? 0
    Atomics.store(words, slot + Slot.KILLED, 1)
    this.#signal(index, generation, words[slot + Slot.KILL_SIGNAL] ?? SIGKILL)
    const grace = words[slot + Slot.GRACE] ?? -1
    if (grace >= 0) this.#kills.push({ index, generation, at: performance.now() + grace })
  }

  #killOverdue(): void {
    const now = performance.now()
    const overdue = this.#kills.filter(kill => kill.at <= now)
    this.#kills = this.#kills.filter(
      kill =>
        kill.at > now &&
        this.#memory.words[this.#memory.process(kill.index) + Process.GENERATION] === kill.generation &&
        this.#children.has(kill.index),
    )
    for (const { index, generation } of overdue) this.#signal(index, generation, SIGKILL)
  }

  /** The helper and all its descendants. */
  #signalTree(pid: number, index: ProcessIndex, generation: number, signal: number): boolean {
    const mark = this.#memory.words[this.#memory.process(index) + Process.MARK] ?? 0
    const start = startOf(pid) ?? 0
    return killTree(this.#libc, { pid, mark, start, signal, process: { index, generation } }) > 0
  }

  #signal(index: ProcessIndex, generation: number, signal: number): void {
    signalProcess(this.#memory, index, generation, signal, (pid, number) =>
      this.#signalTree(Math.abs(pid), index, generation, number),
    )
  }

  /** Ends the call of a process that has exited, once nothing more is to come from it. */
  #settle(index: ProcessIndex, child: Child): void {
    const slot = this.#slotRow(index)
    const killed = slot !== undefined && Atomics.load(this.#memory.words, slot + Slot.KILLED) === 1
    const captures = [child.stdout, child.stderr]
    if (captures.some(capture => this.#openPipe(capture) !== undefined)) {
      if (!killed) return
      for (const capture of captures) this.#closePipe(capture)
    }
    this.#reap(index, child)
  }

  #reap(index: ProcessIndex, child: Child): void {
    const { words } = this.#memory
    const row = this.#memory.process(index)
    claimForReaping(this.#memory, index)
    tellWatcher(this.#memory, this.#libc, '-', words[row + Process.PID] ?? 0)
    const { pid, status } = this.#libc.wait4(words[row + Process.PID] ?? 0, WNOHANG)
    const pidfd = (words[row + Process.PIDFD] ?? 0) - 1
    if (pidfd >= 0) {
      this.#libc.epollDelete(this.#epoll, asFd(pidfd))
      this.#libc.close(asFd(pidfd))
    }
    const slot = (words[row + Process.SLOT] ?? 0) - 1
    this.#children.delete(index)
    freeProcess(this.#memory, index)
    if (slot < 0) return
    this.#tell(slot as SlotIndex, child, pid > 0)
    this.#completer.umhComplete(slot as SlotIndex, pid > 0 ? status : pid)
  }

  #tell(slot: SlotIndex, child: Child, reaped: boolean): void {
    const { words } = this.#memory
    const row = this.#memory.slot(slot)
    for (const [entry, capture] of [child.stdout, child.stderr].entries()) {
      words[row + Slot.CAPTURED + entry] = capture.file === undefined ? 0 : capture.file + 1
      words[row + Slot.TRUNCATED + entry] = capture.truncated ? 1 : 0
    }
    if (!reaped) return
    words[row + Slot.FLAGS] = (words[row + Slot.FLAGS] ?? 0) | SlotFlag.RUSAGE
    this.#tellUsage((row + Slot.RUSAGE) / 2)
  }

  #tellUsage(at: number): void {
    const { doubles } = this.#memory
    const { rusage } = this.#libc
    const field = (word: number): number => Number(rusage[word] ?? 0n)
    doubles[at] = field(RUSAGE.UTIME) * MICROSECONDS + field(RUSAGE.UTIME + 1)
    doubles[at + 1] = field(RUSAGE.STIME) * MICROSECONDS + field(RUSAGE.STIME + 1)
    doubles[at + 2] = field(RUSAGE.MAXRSS)
    doubles[at + 3] = field(RUSAGE.MINFLT)
    doubles[at + 4] = field(RUSAGE.MAJFLT)
    doubles[at + 5] = field(RUSAGE.INBLOCK)
    doubles[at + 6] = field(RUSAGE.OUBLOCK)
    doubles[at + 7] = field(RUSAGE.NVCSW)
    doubles[at + 8] = field(RUSAGE.NIVCSW)
  }
}
