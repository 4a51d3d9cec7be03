/**
 * One thread's end of the way there and back: it takes descriptors, queues them, and is told when their
 * calls have ended.
 *
 * Ended calls come back on a list in shared memory, of which this thread takes all there is. While calls
 * are in flight the event loop looks at the list by setImmediate for as long as it pays (a call that ends
 * soon is then seen within microseconds), and after that sleeps on its doorbell. A bound on what one turn
 * takes leaves room for timers and I/O.
 */
import { Doorbell, type LockFreeList } from '../atomics-sync/index.js'
import type { Libc } from '../libc/index.js'
import { type CallSpec, writeCall } from './call-spec.js'
import { InternedStrings } from './interned-strings.js'
import {
  Control,
  ExecState,
  type Memory,
  Owner,
  type OwnerIndex,
  OwnerState,
  Slot,
  type SlotIndex,
  SlotState,
} from './memory.js'
import { wipePayload } from './payload.js'
import { cancelWork, isInThread } from './workqueue.js'

/** Ended calls taken in one turn of the event loop. */
const CALLS_PER_TURN = 1024
/** How long the event loop keeps looking while it finds nothing, before it sleeps. */
const LOOK_MS = 0.05
const NOT_EMPTY = -1
/** After so many wake-ups that looking has not spared it is left off, and tried again once in so many. */
const FRUITLESS_LOOKS = 4
const LOOKS_AGAIN = 32
/** Waiters that are done with and still in the array. */
const WAITERS_SHIFTED = 4096
/** How often the threads are looked after while calls are in flight. */
const WATCH_MS = 20

/** What becomes of a slot when its call has ended, or when the kernel goes before it was queued. */
export interface Ending {
  /** The call has ended. Has to free the slot. */
  ended(slot: SlotIndex): void
  /** The kernel shuts down and the call was never queued. Has to free the slot. */
  dropped(slot: SlotIndex): void
}

/** Somebody waiting for a descriptor. */
export interface DescriptorWaiter {
  readonly spec: CallSpec
  /** It is its turn: the call stands in this slot. */
  taken(slot: SlotIndex): void
  /** The call cannot be written. */
  failed(error: unknown): void
}

export class Caller {
  readonly memory: Memory
  readonly libc: Libc | undefined
  readonly owner: OwnerIndex
  readonly interned: InternedStrings
  readonly #list: LockFreeList
  readonly #doorbell: Doorbell
  readonly #endings: (Ending | undefined)[] = []
  readonly #watch: () => void
  /** Whether this thread has to hear the doorbell although it has no call in flight. */
  readonly #alwaysListens: () => boolean
  #waiters: DescriptorWaiter[] = []
  #firstWaiter = 0
  /** SLOTS_FREED when this thread last looked for a descriptor. */
  #freedSeen = 0
  /** Taken from the list, not yet dealt with. */
  #chain = -1
  #inFlight = 0
  /** Those of the calls in flight that are in-thread helpers. */
  #inThread = 0
  /** Those of the calls in flight that do not keep the process alive. */
  #unreferenced = 0
  /** Who wants to hear of an exec that is not over yet. */
  readonly #execs = new Map<SlotIndex, () => void>()
  /** A turn is due, or not yet over. */
  #looking = false
  /** What is left of this turn's calls. */
  #budget = 0
  #listening = false
  /** When the event loop first looked and found nothing, after it had found something. */
  #emptySince = NOT_EMPTY
  /** Whether this turn of the event loop comes from the doorbell. */
  #rung = false
  /** Wake-ups since an end was found by looking. */
  #fruitless = 0
  /** A turn of the event loop in which idle environments are forgotten is due, although nothing is looked for. */
  #forgetting = false
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #whenIdle: (() => void)[] = []

  /**
   * @param watch called now and then while calls are in flight
   * @param alwaysListens whether other threads may ring although no call is in flight
   * @throws RangeError if no row is left for another thread
   */
  constructor(memory: Memory, libc: Libc | undefined, watch: () => void, alwaysListens: () => boolean) {
    this.memory = memory
    this.libc = libc
    this.#watch = watch
    this.#alwaysListens = alwaysListens
    this.owner = takeOwner(memory, libc)
    this.interned = new InternedStrings(memory, this.owner)
    this.#list = memory.completedOf(this.owner)
    this.#doorbell = new Doorbell(memory.buffer, memory.byteOffset(memory.owner(this.owner) + Owner.DOORBELL))
  }

  /** Calls queued and not yet ended. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** This thread has left: it makes no more calls. */
  get closed(): boolean {
    return this.#closed
  }

  /** GFP_ATOMIC: takes a descriptor and writes the call into it, or gives `undefined`. */
  trySetup(spec: CallSpec): SlotIndex | undefined {
    return this.#hasWaiters ? undefined : this.#allocate(spec)
  }

  #allocate(spec: CallSpec): SlotIndex | undefined {
    const slot = this.memory.slots.allocate() as SlotIndex
    if (slot < 0) return undefined
    if (writeCall(this.memory, this.interned, this.owner, slot, spec)) return slot
    this.memory.slots.free(slot)
    return undefined
  }

  /** Writes a call that is set up anew. @returns whether there was room; if not, only its descriptor is held */
  rewrite(slot: SlotIndex, spec: CallSpec): boolean {
    this.#releaseStrings(slot)
    return writeCall(this.memory, this.interned, this.owner, slot, spec)
  }

  /** GFP_KERNEL: gives a descriptor to `waiter`, at once or when it is its turn; first come, first served. */
  setup(waiter: DescriptorWaiter): void {
    const slot = this.trySetup(waiter.spec)
    if (slot !== undefined) {
      waiter.taken(slot)
      return
    }
    // Counted before the second look in #admit, so that whoever frees a descriptor after that tells us.
    if (!this.#hasWaiters) Atomics.add(this.memory.words, this.memory.control(Control.SLOT_WAITERS), 1)
    this.#waiters.push(waiter)
    this.#awaken()
    this.#admit()
  }

  /** A waiter that does not want a descriptor any more. */
  withdraw(waiter: DescriptorWaiter): void {
    const index = this.#waiters.indexOf(waiter, this.#firstWaiter)
    if (index < 0) return
    this.#waiters.splice(index, 1)
    if (!this.#hasWaiters) this.#noWaiters()
  }

  /** Whether somebody on this thread waits for a descriptor. */
  get #hasWaiters(): boolean {
    return this.#firstWaiter < this.#waiters.length
  }

  /** Gives descriptors that have become free to those who wait, in their order. */
  #admit(): void {
    // Read before looking: a descriptor that is freed after that makes the two differ.
    this.#freedSeen = Atomics.load(this.memory.words, this.memory.control(Control.SLOTS_FREED))
    while (this.#hasWaiters) {
      const waiter = this.#waiters[this.#firstWaiter]
      if (waiter === undefined) return
      let slot: SlotIndex | undefined
      try {
        slot = this.#allocate(waiter.spec)
        if (slot === undefined) return
      } catch (error) {
        this.#shiftWaiter()
        waiter.failed(error)
        continue
      }
      this.#shiftWaiter()
      waiter.taken(slot)
    }
  }

  #shiftWaiter(): void {
    this.#firstWaiter += 1
    if (!this.#hasWaiters) this.#noWaiters()
    else if (this.#firstWaiter >= WAITERS_SHIFTED) {
      this.#waiters = this.#waiters.slice(this.#firstWaiter)
      this.#firstWaiter = 0
    }
  }

  #noWaiters(): void {
    this.#waiters = []
    this.#firstWaiter = 0
    Atomics.sub(this.memory.words, this.memory.control(Control.SLOT_WAITERS), 1)
    if (this.#inFlight === 0) this.#rest()
  }

  /** Says what becomes of a slot that is set up and not queued. */
  own(slot: SlotIndex, ending: Ending): void {
    this.#endings[slot] = ending
  }

  /** The slot is about to be queued by a thread that blocks until its end. */
  disown(slot: SlotIndex): void {
    this.#endings[slot] = undefined
  }

  /** A queued call: `ending` hears of its end. */
  queued(slot: SlotIndex, ending: Ending): void {
    this.#endings[slot] = ending
    this.#inFlight += 1
    if (isInThread(this.memory, slot)) this.#inThread += 1
    if (this.#inFlight === this.#unreferenced + 1) this.#awaken()
    else if (!this.#looking && !this.#listening) this.#look()
  }

  /** From now on a call in flight does not keep the process alive; to be undone before it ends, or by its end. */
  unreference(): void {
    this.#unreferenced += 1
    if (this.#inFlight === this.#unreferenced && !this.#hasWaiters) this.#timer?.unref()
  }

  reference(): void {
    this.#unreferenced -= 1
    if (this.#inFlight === this.#unreferenced + 1) this.#timer?.ref()
  }

  /**
   * Lets `started` hear when the exec of a call that was queued with TELL_EXEC has succeeded: before the call's end,
   * and not at all if it failed.
   */
  onExec(slot: SlotIndex, started: () => void): void {
    this.#execs.set(slot, started)
  }

  #execState(slot: SlotIndex): number {
    return Atomics.load(this.memory.words, this.memory.slot(slot) + Slot.EXEC)
  }

  #tellExecs(): void {
    for (const [slot, started] of this.#execs) {
      if (this.#execState(slot) !== ExecState.STARTED) continue
      this.#execs.delete(slot)
      started()
    }
  }

  #execOver(): boolean {
    for (const slot of this.#execs.keys()) if (this.#execState(slot) === ExecState.STARTED) return true
    return false
  }

  /**
   * Withdraws a call that no khelper has taken up: it still ends, and its slot comes back, once a khelper finds it.
   * Until then the slot keeps nothing of it: a khelper that finds it withdrawn reads of its strings only the path of
   * an in-thread helper, which is interned.
   * @returns whether it was pending
   */
  cancel(slot: SlotIndex): boolean {
    // Wiped behind the compare-exchange: had a khelper won it, it would be reading.
    if (!cancelWork(this.memory, slot)) return false
    wipePayload(this.memory, slot)
    this.#releaseEnvironment(slot)
    this.#forgetSoon()
    return true
  }

  /** Gives a slot back; its call has ended, or was never queued. */
  release(slot: SlotIndex): void {
    const { words } = this.memory
    const row = this.memory.slot(slot)
    this.#endings[slot] = undefined
    this.#releaseStrings(slot)
    Atomics.store(words, row + Slot.STATE, SlotState.FREE)
    this.memory.slots.free(slot)
    this.#forgetSoon()
    if (Atomics.load(words, this.memory.control(Control.SLOT_WAITERS)) > 0) this.#tellWaiters()
  }

  #releaseStrings(slot: SlotIndex): void {
    const { words } = this.memory
    wipePayload(this.memory, slot)
    this.#releaseEnvironment(slot)
    const program = words[this.memory.slot(slot) + Slot.PROGRAM] ?? 0
    if (program > 0) this.interned.release(program - 1)
  }

  #releaseEnvironment(slot: SlotIndex): void {
    const { words } = this.memory
    const at = this.memory.slot(slot) + Slot.ENVIRONMENT
    const environment = words[at] ?? 0
    words[at] = 0
    if (environment > 0) this.interned.release(environment - 1)
  }

  /** An environment that no call uses is wiped in the next turn of the event loop, unless another call has come for it. */
  #forgetSoon(): void {
    if (this.#looking || this.#forgetting || !this.interned.hasIdle) return
    this.#forgetting = true
    setImmediate(() => {
      this.#forgetting = false
      this.#forget()
    })
  }

  #forget(): void {
    if (!this.interned.hasIdle) return
    this.interned.forget()
    // There may have been no room for what waits.
    if (this.#hasWaiters) this.#admit()
  }

  /** A descriptor is free: this thread's waiters take it, or other threads' hear of it. */
  #tellWaiters(): void {
    if (this.#hasWaiters) {
      this.#admit()
      return
    }
    const { words } = this.memory
    Atomics.add(words, this.memory.control(Control.SLOTS_FREED), 1)
    for (let index = 0; index < this.memory.owners; index += 1) {
      const row = this.memory.owner(index as OwnerIndex)
      if (index === this.owner || Atomics.load(words, row + Owner.STATE) !== OwnerState.LIVE) continue
      new Doorbell(this.memory.buffer, this.memory.byteOffset(row + Owner.DOORBELL)).ring()
    }
  }

  /** The event loop starts to look, and stays open until nothing is in flight. */
  #awaken(): void {
    if (this.#timer === undefined) this.#timer = setInterval(() => this.#tick(), WATCH_MS)
    else this.#timer.ref()
    if (!this.#looking && !this.#listening) this.#look()
  }

  #tick(): void {
    this.#watch()
    if (this.#inFlight > 0 || this.#hasWaiters) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Starts to hear the doorbell, although nothing is in flight. */
  listen(): void {
    if (!this.#looking && !this.#listening) this.#look()
  }

  #look(): void {
    this.#looking = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#budget = CALLS_PER_TURN
    this.#forget()
    this.#drainOn()
  }

  /**
   * One look at the list, and another behind the promises that it has settled: what they have dispatched may
   * have ended already, and a turn of the event loop costs more than several calls.
   */
  readonly #drainOn = (): void => {
    if (this.#closed) return
    let count = 0
    // An exception out of somebody's callback is the process's; the ends of all others are still to come.
    let thrown = true
    try {
      if (this.#execs.size > 0) this.#tellExecs()
      count = this.drain(this.#budget)
      thrown = false
    } finally {
      if (thrown) this.#look()
    }
    this.#budget -= count
    if (count > 0) {
      this.#found()
      if (this.#budget > 0) {
        queueMicrotask(this.#drainOn)
        return
      }
    } else if (this.#emptySince === NOT_EMPTY) this.#emptySince = performance.now()
    this.#looking = false
    if (this.#hasWaiters) this.#admit()
    if (this.#looking) return
    const waits = this.#inFlight > 0 || this.#hasWaiters
    if (this.#chain >= 0 || (waits && this.#lookingPays())) this.#look()
    else if (waits || this.#alwaysListens()) this.#listen()
    this.#forgetSoon()
  }

  /**
   * Looking pays where calls end soon after each other; where they do not, it only takes their processor. A program
   * takes longer than a wake-up by far, and has more use for the processor.
   */
  #lookingPays(): boolean {
    if (this.#inThread === 0) return false
    if (this.#fruitless >= FRUITLESS_LOOKS && this.#fruitless % LOOKS_AGAIN !== 0) return false
    return this.#emptySince === NOT_EMPTY || performance.now() - this.#emptySince < LOOK_MS
  }

  #found(): void {
    this.#fruitless = this.#rung ? this.#fruitless + 1 : 0
    this.#rung = false
    this.#emptySince = NOT_EMPTY
  }

  /** What is looked at once more before this thread sleeps. */
  readonly #ready = (): boolean =>
    !this.#list.empty ||
    (this.#execs.size > 0 && this.#execOver()) ||
    (this.#hasWaiters &&
      Atomics.load(this.memory.words, this.memory.control(Control.SLOTS_FREED)) !== this.#freedSeen)

  #listen(): void {
    if (this.#listening) return
    const rung = this.#doorbell.listen(this.#ready)
    if (rung === null) {
      this.#look()
      return
    }
    this.#listening = true
    rung.then(() => {
      this.#listening = false
      if (this.#closed) return
      this.#rung = true
      this.#watch()
      if (this.#looking) return
      this.#looking = true
      this.#turn()
    })
  }

  /**
   * Deals with up to `limit` ended calls.
   * @returns how many there were
   */
  drain(limit: number): number {
    let count = 0
    while (count < limit) {
      if (this.#chain < 0) this.#chain = this.#list.takeAll()
      if (this.#chain < 0) break
      const slot = this.#chain as SlotIndex
      this.#chain = this.#list.next(slot)
      count += 1
      this.#end(slot)
    }
    return count
  }

  #end(slot: SlotIndex): void {
    const ending = this.#endings[slot]
    this.#endings[slot] = undefined
    this.#inFlight -= 1
    if (isInThread(this.memory, slot)) this.#inThread -= 1
    if (this.#execs.size > 0) this.#tellExec(slot)
    ending?.ended(slot)
    if (this.#inFlight === 0) this.#rest()
    else if (this.#inFlight === this.#unreferenced && !this.#hasWaiters) this.#timer?.unref()
  }

  /** The call has ended: its exec is over. */
  #tellExec(slot: SlotIndex): void {
    const started = this.#execs.get(slot)
    if (started === undefined) return
    this.#execs.delete(slot)
    if (this.#execState(slot) === ExecState.STARTED) started()
  }

  #rest(): void {
    if (this.#hasWaiters) return
    this.#timer?.unref()
    for (const idle of this.#whenIdle.splice(0)) idle()
  }

  /** Counts something else as in flight, such as output that is still being read; to be called when it is over. */
  hold(): () => void {
    this.#inFlight += 1
    if (this.#inFlight === this.#unreferenced + 1) this.#awaken()
    return () => {
      this.#inFlight -= 1
      if (this.#inFlight === 0) this.#rest()
    }
  }

  /** Blocks this thread until a call of its own has ended or `timeout` milliseconds have gone by. */
  sleep(timeout: number): void {
    if (this.#chain < 0) this.#doorbell.sleep(this.#ready, timeout)
    this.drain(CALLS_PER_TURN)
    this.#admit()
  }

  /** Resolves when no call is in flight and nobody waits for a descriptor. */
  idle(): Promise<void> {
    if (this.#inFlight === 0 && !this.#hasWaiters) return Promise.resolve()
    return new Promise(resolve => this.#whenIdle.push(resolve))
  }

  /** Takes back every slot that was set up and never queued. */
  dropUnqueued(): void {
    for (const [slot, ending] of this.#endings.entries()) {
      if (ending === undefined) continue
      const state = this.memory.words[this.memory.slot(slot as SlotIndex) + Slot.STATE]
      if (state === SlotState.SETUP) ending.dropped(slot as SlotIndex)
    }
  }

  /** Leaves: gives back this thread's row and interned strings. Nothing may be in flight. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.interned.clear()
    Atomics.store(this.memory.words, this.memory.owner(this.owner) + Owner.STATE, OwnerState.FREE)
    this.#doorbell.ring()
  }
}

/** Takes a row in the table of calling threads. */
function takeOwner(memory: Memory, libc: Libc | undefined): OwnerIndex {
  const { words } = memory
  for (let index = 0; index < memory.owners; index += 1) {
    const row = memory.owner(index as OwnerIndex)
    const before = Atomics.compareExchange(words, row + Owner.STATE, OwnerState.FREE, OwnerState.LIVE)
    if (before !== OwnerState.FREE) continue
    words[row + Owner.THREAD_ID] = libc?.gettid() ?? 0
    return index as OwnerIndex
  }
  throw Object.assign(new RangeError(`a kernel takes calls from at most ${memory.owners} threads at once`), {
    code: 'ERR_OUT_OF_RANGE',
  })
}
