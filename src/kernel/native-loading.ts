/**
 * Loads native code on a thread that may be ended.
 *
 * A thread that is ended while koffi is being loaded, or while it makes one of its functions, takes the
 * whole process with it: an error that it cannot throw any more is fatal to Node's native interface. So
 * whoever ends a thread or the process first says so (STOPPED, EXITING) and then waits until nobody is loading
 * (`Supervisor.stop` and `exit`), and a thread that is about to load first says that it does and then looks whether
 * it is still wanted. One of both sees the other.
 */
import { isMainThread } from 'node:worker_threads'
import { collectYoungObjects } from '../libc/index.js'
import { Control, type Memory } from './memory.js'

/**
 * @param unwanted the `RunState` from which on this thread is not wanted any more
 * @param load loads the library and makes every function that the thread will call
 * @returns undefined if it is not wanted: the thread has nothing more to do
 */
export function loadNative<Loaded>(memory: Memory, unwanted: number, load: () => Loaded): Loaded | undefined {
  const loaded = loadWhileWanted(memory, unwanted, load)
  // The main thread ends with the process, which leaves nothing.
  if (!isMainThread) collectYoungObjects()
  return loaded
}

function loadWhileWanted<Loaded>(memory: Memory, unwanted: number, load: () => Loaded): Loaded | undefined {
  const { words } = memory
  const loading = memory.control(Control.LOADING)
  Atomics.add(words, loading, 1)
  try {
    if (Atomics.load(words, memory.control(Control.RUN_STATE)) >= unwanted) return undefined
    return load()
  } finally {
    Atomics.sub(words, loading, 1)
    Atomics.notify(words, loading)
  }
}
