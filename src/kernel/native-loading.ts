/**
 * Loads native code on a thread that may be ended.
 *
 * A thread that is ended while koffi is being loaded, or while it makes one of its functions, takes the
 * whole process with it: an error that it cannot throw any more is fatal to Node's native interface. So
 * whoever ends the process first says EXITING and then waits until nobody is loading (`Supervisor.exit`),
 * and a thread that is about to load first says so and then looks whether the process is exiting. One of
 * both sees the other.
 */
import { Control, type Memory, RunState } from './memory.js'

/**
 * @param load loads the library and makes every function that the thread will call
 * @returns undefined if the process is exiting: the thread has nothing more to do
 */
export function loadNative<Loaded>(memory: Memory, load: () => Loaded): Loaded | undefined {
  const { words } = memory
  const loading = memory.control(Control.LOADING)
  Atomics.add(words, loading, 1)
  try {
    if (Atomics.load(words, memory.control(Control.RUN_STATE)) === RunState.EXITING) return undefined
    return load()
  } finally {
    Atomics.sub(words, loading, 1)
    Atomics.notify(words, loading)
  }
}
