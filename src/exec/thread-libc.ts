/**
 * Loads the C library on a helper thread.
 *
 * A thread that is ended while koffi's native part is being loaded takes the whole process with it: an
 * error that it cannot throw any more is fatal to Node's native interface. So whoever ends the process
 * first says EXITING and then waits until nobody is loading (`Supervisor.exit`), and a thread that is
 * about to load first says so and then looks whether the process is exiting. One of both sees the other.
 */
import { Control, type Memory, RunState } from '../kernel/memory.js'
import { type Libc, loadLibc } from '../libc/index.js'

/** @returns undefined if the process is exiting: the thread has nothing more to do */
export function loadThreadLibc(memory: Memory): Libc | undefined {
  const { words } = memory
  const loading = memory.control(Control.LOADING)
  Atomics.add(words, loading, 1)
  try {
    if (Atomics.load(words, memory.control(Control.RUN_STATE)) === RunState.EXITING) return undefined
    return loadLibc()
  } finally {
    Atomics.sub(words, loading, 1)
    Atomics.notify(words, loading)
  }
}
