/**
 * A program as `node:child_process` sees one: started, signalled, ended; what is made of that is the caller's.
 *
 * Unlike `run` it knows no timeouts, no captured output and no promises: it is what stands under Node's own
 * ChildProcess in the place of its native handle.
 */
import { errno } from '../libc/index.js'
import { awaitExec } from './await-exec.js'
import type { CallSpec } from './call-spec.js'
import type { Caller, DescriptorWaiter, Ending } from './caller.js'
import { UMH_WAIT_PROC } from './constants.js'
import { Slot, SlotFlag, type SlotIndex, Waiter } from './memory.js'
import type { Signaller } from './signaller.js'
import type { UsermodeHelperState } from './usermodehelper.js'
import { queueWork } from './workqueue.js'

/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20
/** Generous for a launch under load; a process that exits waits no longer for it. */
const LONGEST_FINISH_MS = 2_000

/** Its exec is told of, so that nobody has to ask. */
const NOTHING = (): void => {}

export interface ProcessEvents {
  /** The exec has succeeded. */
  started(pid: number): void
  /** 0 or the raw wait status; `-errno` if the program never ran. Comes once, and last. */
  ended(retval: number): void
}

/** What a process call needs of its kernel. */
export interface ProcessHost {
  readonly caller: Caller
  readonly state: UsermodeHelperState
  readonly signaller: Signaller
  /** Looks after the threads while this one is blocked. */
  watch(): void
}

export class ProcessCall implements Ending, DescriptorWaiter {
  readonly #host: ProcessHost
  readonly #events: ProcessEvents
  readonly spec: CallSpec
  #slot: SlotIndex | undefined
  #pid: number | undefined
  #ended = false
  #referenced = true

  constructor(host: ProcessHost, spec: CallSpec, events: ProcessEvents) {
    this.#host = host
    this.spec = { ...spec, flags: spec.flags | SlotFlag.TELL_EXEC }
    this.#events = events
  }

  /** @throws what `writeCall` throws; nothing is held then */
  start(): void {
    this.#host.caller.setup(this)
  }

  taken(slot: SlotIndex): void {
    const { caller, state } = this.#host
    const { words } = caller.memory
    const row = caller.memory.slot(slot)
    const enabled = state.enter()
    if (!enabled || (words[row + Slot.FLAGS] ?? 0) & SlotFlag.TOO_BIG) {
      caller.release(slot)
      state.leave()
      process.nextTick(() => this.#end(-errno(enabled ? 'E2BIG' : 'EBUSY')))
      return
    }
    this.#slot = slot
    words[row + Slot.WAIT] = UMH_WAIT_PROC
    words[row + Slot.WAITER] = Waiter.ASYNC
    caller.queued(slot, this)
    if (!this.#referenced) caller.unreference()
    caller.onExec(slot, () => {
      this.#pid = words[row + Slot.PID] ?? 0
      this.#events.started(this.#pid)
    })
    queueWork(caller.memory, slot)
  }

  failed(error: unknown): void {
    process.nextTick(() => {
      throw error
    })
  }

  ended(slot: SlotIndex): void {
    const { caller, state } = this.#host
    const retval = caller.memory.words[caller.memory.slot(slot) + Slot.RETVAL] ?? 0
    this.#slot = undefined
    if (!this.#referenced) caller.reference()
    caller.release(slot)
    state.leave()
    this.#end(retval)
  }

  #end(retval: number): void {
    this.#ended = true
    this.#events.ended(retval)
  }

  dropped(slot: SlotIndex): void {
    this.#host.caller.release(slot)
  }

  /** Whether this call keeps the process alive while it is in flight. */
  get referenced(): boolean {
    return this.#referenced
  }

  set referenced(referenced: boolean) {
    if (referenced === this.#referenced) return
    this.#referenced = referenced
    if (this.#slot === undefined) return
    if (referenced) this.#host.caller.reference()
    else this.#host.caller.unreference()
  }

  /** Blocks until the exec is over, or there is a process and it takes long; undefined if it failed. */
  get pid(): number | undefined {
    if (this.#pid !== undefined) return this.#pid
    const { caller } = this.#host
    while (this.#slot === undefined && !this.#ended) {
      caller.sleep(BLOCKED_LOOK_MS)
      this.#host.watch()
    }
    if (this.#slot === undefined) return undefined
    const row = caller.memory.slot(this.#slot)
    awaitExec(caller.memory, this.#slot, () => this.#host.watch(), NOTHING)
    const pid = caller.memory.words[row + Slot.PID] ?? 0
    if (pid === 0) return undefined
    this.#pid = pid
    return pid
  }

  /** The service is going: sees the exec through, if a khelper can get to it. */
  finishLaunch(): void {
    if (this.#slot === undefined) return
    const { memory } = this.#host.caller
    awaitExec(memory, this.#slot, NOTHING, NOTHING, performance.now() + LONGEST_FINISH_MS)
  }

  /** @returns whether there was a process to signal; waits for the exec before it looks, unless that takes long */
  kill(signal: number): boolean {
    void this.pid
    return this.#slot !== undefined && this.#host.signaller.signalCall(this.#slot, signal)
  }
}
