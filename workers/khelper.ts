/**
 * A khelper thread: takes calls from khelper_wq, one after the other, and executes them.
 *
 * While there is nothing to do it blocks on the wait queue, having looked at khelper_wq once more. It may
 * block only if its event loop has nothing to do either: while there are timers and sockets that an in-thread
 * helper left behind, it awaits the wait queue instead.
 */
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { Backoff } from '../src/atomics-sync/index.js'
import { binfmt } from '../src/exec/binfmt.js'
import { Completer } from '../src/kernel/complete.js'
import {
  Control,
  Khelper,
  type KhelperIndex,
  KhelperState,
  khelperState,
  Launcher,
  Memory,
  RunState,
  Slot,
  type SlotIndex,
  SlotState,
  Step,
} from '../src/kernel/memory.js'
import { loadNative } from '../src/kernel/native-loading.js'
import type { KhelperData, KhelperMessage } from '../src/kernel/supervisor.js'
import { hasWork, isInThread, takeWork, tellFlushers } from '../src/kernel/workqueue.js'
import { errno, loadLibc, mallocTrim, waitStatusOf } from '../src/libc/index.js'

/** Calls between two looks at what in-thread helpers have left to the event loop. */
const CALLS_PER_TURN = 256
/** About what it takes to wake a sleeping thread. */
const WAKE_UP_MS = 0.05
/** Short calls between two looks at how many are waiting. */
const CALLS_PER_BACKLOG = 16
/**
 * Each thread that ends leaves some megabytes free in malloc's arenas, of which there are eight for each processor, and
 * what a long-lived block lies behind stays there: so many threads after the last, one gives back what there is of it.
 */
const THREADS_PER_TRIM = 32

const { buffer, khelper, serial, scratch, retireAfter } = workerData as KhelperData
const memory = Memory.attach(buffer)
const { words, queue, idleKhelpers } = memory
const row = memory.khelper(khelper as KhelperIndex)
const [none, starting, loading, running, dead, leaving] = [
  KhelperState.NONE,
  KhelperState.STARTING,
  KhelperState.LOADING,
  KhelperState.RUNNING,
  KhelperState.DEAD,
  KhelperState.LEAVING,
].map(state => khelperState(state, serial)) as [number, number, number, number, number, number]
// Given up while it came up: the row is another thread's by now.
if (Atomics.compareExchange(words, row + Khelper.STATE, starting, loading) !== starting) process.exit()
/** Should loading fail, its row says so: the supervisor may be blocked, and hear of no event. */
const failed = () => void Atomics.store(words, row + Khelper.STATE, none)
process.on('exit', failed)
const runState = memory.control(Control.RUN_STATE)
const completer = new Completer(memory)
const posix = words[memory.control(Control.LAUNCHER)] === Launcher.POSIX_SPAWN
const libcAndHandlers = loadNative(memory, RunState.STOPPED, () => {
  const libc = posix ? loadLibc() : undefined
  if (libc !== undefined && serial % THREADS_PER_TRIM === 0) mallocTrim(libc.library)
  return { libc, handlers: binfmt(memory, completer, khelper as KhelperIndex, libc, scratch, tellThrown) }
})
if (libcAndHandlers === undefined) process.exit()
const { libc, handlers } = libcAndHandlers

/** Holds the event loop open while it only awaits the wait queue, which does not. */
const open = setInterval(() => {}, 2 ** 30)
const resourcesAtStart = process.getActiveResourcesInfo().length

process.off('exit', failed)
/** An in-thread helper that exits ends this thread: its call has its status. What else it held is the supervisor's. */
let exited = false
process.on('exit', code => {
  exited = true
  if (code !== 0) {
    Atomics.store(words, row + Khelper.STATE, leaving)
    tell({ ran: handlers.lastInThread })
  }
  handlers.close()
  const current = Atomics.load(words, row + Khelper.CURRENT)
  const slot = (current - 1) as SlotIndex
  if (
    current > 0 &&
    isInThread(memory, slot) &&
    Atomics.compareExchange(words, row + Khelper.CURRENT, current, 0) === current
  ) {
    completer.umhComplete(slot, waitStatusOf(code))
  }
  Atomics.store(words, row + Khelper.STATE, dead)
})

function tell(message: KhelperMessage): void {
  parentPort?.postMessage(message)
}

/** Whoever sees the call's end sees THROWN, too, and can wait for the message. */
function tellThrown(error: unknown, helper: string): void {
  if (Atomics.load(words, memory.control(Control.THROWN_HEARD)) === 0) return
  const { message, stack } = error instanceof Error ? error : new Error(inspect(error))
  const threadId = words[row + Khelper.THREAD_ID] ?? 0
  tell({ thrown: { message: String(message), stack: String(stack) }, threadId, helper })
  Atomics.add(words, row + Khelper.THROWN, 1)
}

const stopping = () => Atomics.load(words, runState) >= RunState.STOPPED
const forPrograms = khelper === memory.khelperForPrograms
const ready = () => hasWork(memory, forPrograms) || stopping()

const mustTurn = () => handlers.inThreadUsed && process.getActiveResourcesInfo().length > resourcesAtStart

/** Executes one call; a promise if that takes a turn of the event loop. */
function execute(slot: SlotIndex): Promise<void> | undefined {
  const slotRow = memory.slot(slot)
  Atomics.store(words, row + Khelper.CURRENT, slot + 1)
  // Written by this thread only, and read to see whether it moves.
  words[row + Khelper.TAKEN] = ((words[row + Khelper.TAKEN] ?? 0) + 1) | 0
  words[slotRow + Slot.KHELPER] = khelper + 1
  const before = Atomics.compareExchange(words, slotRow + Slot.STATE, SlotState.QUEUED, SlotState.EXECUTING)
  if (before === SlotState.CANCELLED) {
    Atomics.store(words, row + Khelper.CURRENT, 0)
    completer.fail(slot, errno('ECANCELED'), Step.NONE)
    return undefined
  }
  return handlers.execute(slot)
}

function executed(): void {
  if (Atomics.load(words, row + Khelper.CURRENT) !== 0) Atomics.store(words, row + Khelper.CURRENT, 0)
  tellFlushers(memory)
}

const turnOfEventLoop = () => new Promise<void>(resolve => setImmediate(resolve))

/**
 * Whether this thread may go on counting as one that looks for work while it executes a call: only a call that will
 * be over before a wake-up could have brought another thread to the queue. What is judged wrongly waits for no longer
 * than the callers' next look at the queue (`wakeStanding`).
 */
function short(slot: SlotIndex, calls: number): boolean {
  const expected = handlers.expected(slot)
  if (expected > WAKE_UP_MS) return false
  // Short, but so many that another thread is worth its wake-up.
  if (calls % CALLS_PER_BACKLOG === 0 && queue.size * expected > WAKE_UP_MS) idleKhelpers.wakeUp()
  return true
}

async function work(): Promise<void> {
  const backoff = new Backoff()
  let calls = 0
  let looking = false
  /** Whether the last call was a short one: then the next may come soon, and waiting for it awake pays. */
  let quick = false
  for (;;) {
    // A helper has caught what came out of its process.exit: the row is another thread's by now.
    if (exited) process.exit()
    const slot = takeWork(memory, forPrograms)
    if (slot !== undefined) {
      calls += 1
      quick = short(slot, calls)
      if (quick) {
        if (!looking) idleKhelpers.look(khelper)
        looking = true
      } else {
        if (looking && idleKhelpers.found(khelper) && queue.size > 0) idleKhelpers.wakeUpUnlessLooking()
        looking = false
      }
      const executing = execute(slot)
      if (executing !== undefined) await executing
      executed()
      // The supervisor puts another thread in its place.
      if (handlers.spent) break
      backoff.reset()
      if (calls % CALLS_PER_TURN === 0 && mustTurn()) await turnOfEventLoop()
    } else if (stopping()) {
      break
    } else if (!looking) {
      idleKhelpers.look(khelper)
      looking = true
    } else if (quick && !idleKhelpers.somebodyElseLooks(khelper) && backoff.spin()) {
      // One thread that stays awake for the next call is enough.
    } else if (mustTurn()) {
      handlers.rest()
      const rung = idleKhelpers.listen(khelper, ready)
      looking = rung !== null
      if (rung !== null) await rung
      else await turnOfEventLoop()
    } else {
      handlers.rest()
      const woken = idleKhelpers.sleep(khelper, ready, retireAfter)
      if (woken === 'timed-out') break
      looking = woken === 'rung'
      backoff.reset()
    }
  }
  idleKhelpers.forget(khelper)
}

Atomics.store(words, row + Khelper.THREAD_ID, libc?.gettid() ?? 0)
Atomics.store(words, row + Khelper.STATE, running)
Atomics.notify(words, row + Khelper.STATE)
// Not awaited here: an end that comes between a module's load and a top-level await is fatal to V8, and so to the service.
void work().then(() => clearInterval(open))
