/**
 * The wait_for_helper thread: waits for processes to exit, and ends the calls that wait for them.
 *
 * While there is no process it blocks on its doorbell; otherwise in epoll_wait, which an event wakes. Its
 * event loop gets a turn now and then, without which nobody could end this thread.
 */
import { workerData } from 'node:worker_threads'
import { Doorbell } from '../src/atomics-sync/index.js'
import { Reaper } from '../src/exec/reaper.js'
import { Completer } from '../src/kernel/complete.js'
import { Control, Memory, RunState } from '../src/kernel/memory.js'
import type { ReaperData } from '../src/kernel/supervisor.js'
import { loadLibc } from '../src/libc/index.js'

/** Longest wait in epoll_wait: a thread that is there cannot be terminated. */
const WAIT_MS = 100
/** Longest time without a turn of the event loop. */
const TURN_MS = 10

const memory = Memory.attach((workerData as ReaperData).buffer)
const { words } = memory
const reaper = new Reaper(memory, loadLibc(), new Completer(memory))
const doorbell = new Doorbell(memory.buffer, memory.byteOffset(memory.control(Control.REAPER_DOORBELL)))
const runState = () => Atomics.load(words, memory.control(Control.RUN_STATE))
const processes = () => Atomics.load(words, memory.control(Control.PROCESSES))
const ready = () => processes() > 0 || runState() >= RunState.STOPPED
const turnOfEventLoop = () => new Promise<void>(resolve => setImmediate(resolve))

let turned = performance.now()
for (;;) {
  const state = runState()
  if (state === RunState.EXITING || (state === RunState.STOPPED && processes() === 0)) break
  if (processes() === 0) doorbell.sleep(ready)
  else reaper.turn(WAIT_MS)
  if (performance.now() - turned > TURN_MS) {
    await turnOfEventLoop()
    turned = performance.now()
  }
}
