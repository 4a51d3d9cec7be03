/**
 * Launches a program by posix_spawn from the khelper thread, and hands it to the wait_for_helper thread.
 *
 * posix_spawn shares the service's memory until the exec, so its cost does not grow with the service.
 * Whatever a launch makes (a row, pipes, a pidfd) is written into the table of processes as it is
 * made, by the system call itself where there is one: a khelper that dies in between leaves nothing
 * that its supervisor cannot find.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Doorbell } from '../atomics-sync/index.js'
import { type CapabilityMasks, NO_LIMITS, readMasks } from '../kernel/capability-masks.js'
import type { Completer } from '../kernel/complete.js'
import { handOver } from '../kernel/hand-over.js'
import { closeOwned, closePipes, WATCH_BITS } from '../kernel/launch-descriptors.js'
import {
  Control,
  ExecState,
  Khelper,
  type KhelperIndex,
  type Memory,
  Process,
  type ProcessIndex,
  Slot,
  SlotFlag,
  type SlotIndex,
  Stdio,
  Step,
  stdioHasPath,
} from '../kernel/memory.js'
import { findProgram } from '../kernel/path-search.js'
import { allocateProcess, freeProcess, signalProcess } from '../kernel/process-table.js'
import { killTree, markOf } from '../kernel/process-tree.js'
import { tellWatcher } from '../kernel/service-death.js'
import {
  type Address,
  asFd,
  EPOLLIN,
  EPOLLONESHOT,
  errno,
  errnoOf,
  type Fd,
  type FileActions,
  FileActionsFactory,
  type Libc,
  ProcessGroup,
  SpawnAttributes,
  setTimerSlack,
} from '../libc/index.js'
import { describe, giveOrders, needsStep, STEP_DESCRIPTORS, type StepFile, stepImage } from './exec-step.js'
import { NativePayloadReader } from './native-payload.js'
import type { Steering } from './payload-cursor.js'
import { openFlags } from './stdio.js'

const STDIO_COUNT = 3
const WORD = 4
/** No process's pid. */
const GONE = 0

/** Something that failed before the exec. */
interface Failure {
  readonly error: number
  readonly step: number
}

/** The descriptors of one launch: where each comes from, and what is closed when it is over. */
interface Descriptors {
  /** By the helper's number; undefined: /dev/null for 0 to 2, closed above. */
  readonly sources: (number | undefined)[]
  /** What the exec step opens, as the helper. */
  readonly files: StepFile[]
  readonly made: Fd[]
}

const groupOf = (flags: number): ProcessGroup => {
  if (flags & (SlotFlag.DETACHED | SlotFlag.SESSION)) return ProcessGroup.SESSION
  return flags & SlotFlag.FOREGROUND ? ProcessGroup.INHERITED : ProcessGroup.OWN
}

const WANTS = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM'] as const
const isWantOfMeans = (error: number): boolean => WANTS.some(name => errno(name) === Math.abs(error))
const stepOf = (error: number): number => (isWantOfMeans(error) ? Step.FORK : Step.EXEC_STEP)

/** Why the exec step could not be started; what it cannot do it tells itself. */
const explainStep = (error: number): Failure => ({
  error,
  step: error === errno('E2BIG') ? Step.EXECVE : stepOf(error),
})

export class PosixLauncher {
  readonly #memory: Memory
  readonly #libc: Libc
  readonly #completer: Completer
  /** The wait_for_helper thread sleeps while there is no process. */
  readonly #reaper: Doorbell
  readonly #row: number
  readonly #payload: NativePayloadReader
  readonly #shared: Address
  readonly #shell = Buffer.from('/bin/sh\0')
  readonly #shellAddress: Address
  readonly #factory: FileActionsFactory
  readonly #attributes: Readonly<Record<ProcessGroup, SpawnAttributes>>
  /** All three on /dev/null: what most helpers of the kernel's own get; made once. */
  readonly #ignored: FileActions
  constructor(memory: Memory, libc: Libc, completer: Completer, khelper: KhelperIndex) {
    this.#memory = memory
    this.#libc = libc
    this.#completer = completer
    this.#reaper = new Doorbell(memory.buffer, memory.byteOffset(memory.control(Control.REAPER_DOORBELL)))
    this.#row = memory.khelper(khelper)
    const { library } = libc
    this.#payload = new NativePayloadReader(memory, library)
    this.#shared = library.addressOf(memory.bytes)
    this.#shellAddress = library.addressOf(this.#shell)
    this.#factory = new FileActionsFactory(library)
    this.#attributes = {
      [ProcessGroup.INHERITED]: new SpawnAttributes(library, ProcessGroup.INHERITED),
      [ProcessGroup.OWN]: new SpawnAttributes(library, ProcessGroup.OWN),
      [ProcessGroup.SESSION]: new SpawnAttributes(library, ProcessGroup.SESSION),
    }
    this.#ignored = this.#factory.create()
    for (let entry = 0; entry < STDIO_COUNT; entry += 1) this.#ignored.openNull(entry)
    this.#ignored.closeFrom(STDIO_COUNT)
    this.#holdReserve()
  }

  /** Frees what the thread holds outside of launches. */
  close(): void {
    this.#giveUpReserve()
    this.#ignored.destroy()
  }

  /** This thread is about to sleep: keeps nothing of the calls that it has launched. */
  rest(): void {
    this.#payload.forget()
  }

  /** Starts a slot's program; ends the call, or leaves that to the wait_for_helper thread. */
  launch(slot: SlotIndex): void {
    const { words } = this.#memory
    const slotRow = this.#memory.slot(slot)
    const steering = this.#payload.open(slot)
    if (!this.#holdReserve()) {
      this.#refuse(slot, errno('EMFILE'), Step.FORK)
      return
    }
    const process = allocateProcess(this.#memory)
    if (process < 0) {
      this.#refuse(slot, errno('EAGAIN'), Step.PROCESS_TABLE)
      return
    }
    this.#reaper.ring()
    const index = process as ProcessIndex
    const row = this.#memory.process(index)
    Atomics.store(words, this.#row + Khelper.STARTING, index + 1)
    const failure = this.#start(slot, slotRow, row, steering)
    if (failure !== undefined) {
      Atomics.store(words, this.#row + Khelper.STARTING, 0)
      closePipes(this.#memory, this.#libc, row)
      freeProcess(this.#memory, index)
      this.#refuse(slot, failure.error, failure.step)
    } else this.#handOver(slot, slotRow, index, row)
  }

  /** Signals another call's helper with all its descendants; see `process-tree.ts`. */
  killTree(slot: SlotIndex): void {
    const { tree } = this.#payload.open(slot).settings
    if (tree !== undefined) {
      const { index, generation } = tree.process
      const kill = (pid: number) => killTree(this.#libc, { ...tree, pid }) >= 0
      // While the row is held the helper's pid stays its own; without it only its descendants are left.
      const held = signalProcess(this.#memory, index as ProcessIndex, generation, tree.signal, pid =>
        kill(Math.abs(pid)),
      )
      if (!held) kill(GONE)
    }
    this.#completer.execDone(slot, ExecState.STARTED)
    Atomics.store(this.#memory.words, this.#row + Khelper.CURRENT, 0)
    this.#completer.umhComplete(slot, 0)
  }

  /** The call ends without its program; the descriptors made for it are closed. */
  #refuse(slot: SlotIndex, error: number, step: number): void {
    closeOwned(this.#memory, this.#libc, slot)
    Atomics.store(this.#memory.words, this.#row + Khelper.CURRENT, 0)
    this.#completer.fail(slot, error, step)
  }

  #start(slot: SlotIndex, slotRow: number, row: number, steering: Steering): Failure | undefined {
    const { words } = this.#memory
    const flags = words[slotRow + Slot.FLAGS] ?? 0
    let path: Uint8Array | undefined
    if (flags & SlotFlag.SEARCH) {
      const found = findProgram(steering.path, steering.search ?? '', steering.cwd)
      if (typeof found === 'number') return this.#explain(found, steering)
      path = Buffer.from(`${found}\0`)
    }
    const descriptors: Descriptors = { sources: [], files: [], made: [] }
    let actions: FileActions | undefined
    try {
      const failure = this.#openDescriptors(slotRow, row, steering, descriptors)
      if (failure !== undefined) return failure
      const masks = readMasks(this.#memory)
      const stepping = descriptors.files.length > 0 || masks !== NO_LIMITS || needsStep(steering.settings)
      const image = stepping ? this.#orderStep(row, steering, masks, path, descriptors) : undefined
      if (typeof image === 'object') return image
      const moved = this.#clearLowNumbers(descriptors, image)
      if (typeof moved === 'object') return moved
      actions = stepping ? this.#stepActions(descriptors) : this.#actions(descriptors, steering)
      const addresses = this.#payload.addresses(slot)
      const group = groupOf(flags)
      words[row + Process.GROUP] = group === ProcessGroup.INHERITED || flags & SlotFlag.ALONE ? 0 : 1
      const pid = this.#shared + (row + Process.PID) * WORD
      const spawn = (file: Address, argv: Address): number =>
        this.#libc.posixSpawn(
          pid,
          file,
          (actions as FileActions).address,
          this.#attributes[group].address,
          argv,
          addresses.envp,
        )
      const mark = markOf(Atomics.add(words, this.#memory.control(Control.LAUNCH_SERIAL), 1))
      words[row + Process.MARK] = mark
      setTimerSlack(this.#libc, mark)
      if (moved !== undefined) {
        const step = Buffer.from(`/proc/self/fd/${moved}\0`)
        const error = spawn(this.#libc.library.addressOf(step), addresses.argv)
        return this.#started(row, error, explainStep)
      }
      const program = path === undefined ? addresses.path : this.#libc.library.addressOf(path)
      const error = spawn(program, addresses.argv)
      const script = error === errno('ENOEXEC') && steering.settings.scripts
      return this.#started(
        row,
        script ? spawn(this.#shellAddress, this.#payload.shellArgv(this.#shellAddress, program)) : error,
        number => this.#explain(number, steering),
      )
    } finally {
      if (actions !== undefined && actions !== this.#ignored) actions.destroy()
      for (const fd of descriptors.made) this.#libc.close(fd)
    }
  }

  #started(row: number, error: number, explain: (error: number) => Failure): Failure | undefined {
    if (error === 0) return undefined
    this.#memory.words[row + Process.PID] = 0
    return explain(error)
  }

  /** posix_spawn does not say which step failed: a working directory that is none explains it. */
  #explain(error: number, { cwd }: Steering): Failure {
    if (cwd !== undefined && !isDirectory(cwd)) return { error, step: Step.CHDIR }
    return { error, step: isWantOfMeans(error) ? Step.FORK : Step.EXECVE }
  }

  /**
   * Makes what the exec step needs beside the helper's descriptors, and puts it before them: its orders, and the socket
   * that tells how it went.
   * @returns the descriptor of its program
   */
  #orderStep(
    row: number,
    { path, cwd, settings }: Steering,
    masks: CapabilityMasks,
    found: Uint8Array | undefined,
    { sources, files, made }: Descriptors,
  ): number | Failure {
    const image = stepImage(this.#memory, this.#libc)
    if (image < 0) return { error: image, step: stepOf(image) }
    const secrets = settings.keys === undefined ? [] : readSecrets(settings.keys)
    if (typeof secrets === 'number') return { error: secrets, step: Step.KEYS }
    const description = describe({
      descriptors: sources.length,
      settings,
      masks,
      secrets,
      directory: cwd,
      files,
      program: found ?? Buffer.from(`${path}\0`),
    })
    for (const [, secret] of secrets) secret.fill(0)
    const at = row + Process.STEP_SOCKET
    const ends = this.#memory.words.subarray(at, at + 2)
    const orders = giveOrders(this.#libc, description, ends)
    if (orders < 0) return { error: orders, step: stepOf(orders) }
    if (orders !== ends[1]) made.push(asFd(orders))
    sources.unshift(orders, ends[1])
    return image
  }

  #openDescriptors(slotRow: number, row: number, steering: Steering, into: Descriptors): Failure | undefined {
    const { words } = this.#memory
    for (let entry = 0; entry < STDIO_COUNT; entry += 1) {
      const kind = words[slotRow + Slot.STDIO + entry] ?? Stdio.IGNORE
      if (kind === Stdio.IGNORE) {
        into.sources.push(undefined)
      } else if (kind === Stdio.CAPTURE) {
        const at = row + (entry === 1 ? Process.OUT_PIPE : Process.ERR_PIPE)
        const error = this.#libc.pipeInto(words.subarray(at, at + 2))
        if (error < 0) return { error, step: Step.PIPE }
        into.sources.push(words[at + 1])
      } else if (stdioHasPath(kind)) {
        into.files.push({ entry, flags: openFlags(kind), path: steering.files[entry] ?? '' })
        into.sources.push(undefined)
      } else {
        const fd = words[slotRow + Slot.STDIO_FD + entry] ?? 0
        // The service's own streams do not block, and it shares the file with them.
        if (kind === Stdio.FD) this.#libc.setBlocking(fd)
        into.sources.push(fd)
      }
    }
    for (const descriptor of steering.settings.descriptors ?? []) into.sources.push(descriptor ?? undefined)
    return undefined
  }

  /**
   * A source that has one of the child's numbers could be overwritten before it is copied: it is copied out of the way.
   * @param image the descriptor of the exec step's program, if there is one
   * @returns what that is now
   */
  #clearLowNumbers({ sources, made }: Descriptors, image: number | undefined): number | undefined | Failure {
    const clear = (source: number): number => {
      const copy = this.#libc.duplicateAbove(source, sources.length)
      if (copy >= 0) made.push(asFd(copy))
      return copy
    }
    for (const [entry, source] of sources.entries()) {
      if (source === undefined || source >= sources.length || source === entry) continue
      const copy = clear(source)
      if (copy < 0) return { error: copy, step: Step.PIPE }
      sources[entry] = copy
    }
    if (image === undefined || image >= sources.length) return image
    const copy = clear(image)
    return copy < 0 ? { error: copy, step: Step.PIPE } : copy
  }

  #actions({ sources }: Descriptors, { cwd }: Steering): FileActions {
    const plain = sources.length === STDIO_COUNT && sources.every(source => source === undefined)
    if (plain && cwd === undefined) return this.#ignored
    const actions = this.#factory.create()
    for (const [entry, source] of sources.entries()) {
      if (source !== undefined) actions.duplicate(source, entry)
      else if (entry < STDIO_COUNT) actions.openNull(entry)
      else actions.close(entry)
    }
    actions.closeFrom(sources.length)
    if (cwd !== undefined) actions.changeDirectory(cwd)
    return actions
  }

  /** The exec step moves the helper's descriptors to their numbers, opens its files and closes what is above. */
  #stepActions({ sources, files }: Descriptors): FileActions {
    const actions = this.#factory.create()
    for (const [entry, source] of sources.entries()) {
      const own = entry - STEP_DESCRIPTORS
      if (source !== undefined) actions.duplicate(source, entry)
      else if (own < STDIO_COUNT && !files.some(file => file.entry === own)) actions.openNull(entry)
      else actions.close(entry)
    }
    return actions
  }

  /** The program runs, or its step does: from here its exit may be seen at any moment by the wait_for_helper thread. */
  #handOver(slot: SlotIndex, slotRow: number, index: ProcessIndex, row: number): void {
    const { words } = this.#memory
    const libc = this.#libc
    const epoll = asFd(words[this.#memory.control(Control.EPOLL_FD)] ?? -1)
    if (((words[slotRow + Slot.FLAGS] ?? 0) & SlotFlag.UNLISTED) === 0)
      tellWatcher(this.#memory, libc, '+', words[row + Process.PID] ?? 0)
    handOver(
      this.#memory,
      libc,
      this.#completer,
      slot,
      index,
      pid => this.#pidfd(pid),
      () => {
        Atomics.store(words, this.#row + Khelper.CURRENT, 0)
        Atomics.store(words, this.#row + Khelper.STARTING, 0)
      },
      () => {
        const pidfd = (words[row + Process.PIDFD] ?? 0) - 1
        if (pidfd < 0) return false
        return libc.epollAdd(epoll, asFd(pidfd), EPOLLIN | EPOLLONESHOT, index << WATCH_BITS) === 0
      },
    )
  }

  #pidfd(pid: number): number {
    const pidfd = this.#libc.pidfdOpen(pid)
    return pidfd >= 0 || !this.#giveUpReserve() ? pidfd : this.#libc.pidfdOpen(pid)
  }

  /**
   * Holds a descriptor for the pidfd of a program that already runs when descriptors have run out. It stands in shared
   * memory: this thread may be ended at any moment, and its supervisor then closes it.
   * @returns whether there is one
   */
  #holdReserve(): boolean {
    const at = this.#row + Khelper.RESERVE
    if (this.#memory.words[at] !== 0) return true
    const fd = this.#libc.eventfd()
    if (fd < 0) return false
    Atomics.store(this.#memory.words, at, fd + 1)
    return true
  }

  /** @returns whether there was one */
  #giveUpReserve(): boolean {
    const fd = Atomics.exchange(this.#memory.words, this.#row + Khelper.RESERVE, 0) - 1
    if (fd >= 0) this.#libc.close(asFd(fd))
    return fd >= 0
  }
}

/** @returns an error number if they cannot be read */
function readSecrets(folder: string): [name: string, secret: Buffer][] | number {
  try {
    return readdirSync(folder).map(name => [name, readFileSync(join(folder, name))])
  } catch (error) {
    return errnoOf(error, 'EIO')
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
