/**
 * The wait_for_helper thread: waits for processes to exit, and ends the calls that wait for them.
 *
 * With posix_spawn it blocks: on its doorbell while there is no process, else in epoll_wait, which an event wakes.
 * Its event loop gets a turn now and then, without which nobody could end this thread. With the launcher
 * child_process it also starts the programs, and lives in its event loop.
 */
import { workerData } from 'node:worker_threads'
import { Doorbell } from '../src/atomics-sync/index.js'
import { ChildProcessLauncher } from '../src/exec/child-process-launcher.js'
import { Reaper } from '../src/exec/reaper.js'
import { Completer } from '../src/kernel/complete.js'
import { Control, Launcher, Memory, RunState, type SlotIndex } from '../src/kernel/memory.js'
import { loadNative } from '../src/kernel/native-loading.js'
import type { ReaperData } from '../src/kernel/supervisor.js'
import { loadLibc } from '../src/libc/index.js'

/** Longest wait in epoll_wait: a thread that is there cannot be terminated. */
const WAIT_MS = 100
/** Longest time without a turn of the event loop. */
const TURN_MS = 10
/** How often the end is looked for while children still run. */
const LOOK_MS = 100

const { buffer, scratch } = workerData as ReaperData
const memory = Memory.attach(buffer)
const { words, launches } = memory
const doorbell = new Doorbell(buffer, memory.byteOffset(memory.control(Control.REAPER_DOORBELL)))
const runState = () => Atomics.load(words, memory.control(Control.RUN_STATE))
const processes = () => Atomics.load(words, memory.control(Control.PROCESSES))

/** Whether this thread has nothing left to do. */
function over(): boolean {
  const state = runState()
  return (
    state === RunState.EXITING || (state === RunState.STOPPED && processes() === 0 && launches.size === 0)
  )
}

async function reap(): Promise<void> {
  const reaper = loadNative(
    memory,
    RunState.EXITING,
    () => new Reaper(memory, loadLibc(), new Completer(memory)),
  )
  if (reaper === undefined) return
  const ready = () => processes() > 0 || runState() >= RunState.STOPPED
  let turned = performance.now()
  while (!over()) {
    if (processes() === 0) doorbell.sleep(ready)
    else reaper.turn(WAIT_MS)
    if (performance.now() - turned > TURN_MS) {
      await new Promise<void>(resolve => setImmediate(resolve))
      turned = performance.now()
    }
  }
}

async function launch(): Promise<void> {
  const launcher = new ChildProcessLauncher(memory, new Completer(memory), scratch ?? '')
  // Holds the event loop open while it awaits the doorbell, and sees the end although nobody rings for a child's exit.
  const look = setInterval(() => over() && doorbell.ring(), LOOK_MS)
  while (!over()) {
    for (let slot = launches.pop(); slot !== undefined; slot = launches.pop())
      launcher.launch(slot as SlotIndex)
    launcher.settle()
    await doorbell.listen(() => launches.size > 0 || over())
    // Children's exits are seen between any two launches.
    await new Promise<void>(resolve => setImmediate(resolve))
  }
  clearInterval(look)
}

// Not awaited here: an end that comes between a module's load and a top-level await is fatal to V8, and so to the service.
void (words[memory.control(Control.LAUNCHER)] === Launcher.POSIX_SPAWN ? reap() : launch())
