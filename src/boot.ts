/**
 * boot, as users have it: the kernel, and what of its applications an option asks for.
 */
import { systemCalls } from './applications/system-calls/index.js'
import { boot as bootKernel, type Kernel, type BootOptions as KernelOptions } from './kernel/kernel.js'

export interface BootOptions extends KernelOptions {
  /**
   * The path of a Unix socket to be opened for helpers and operators (`khelper insmod --socket …`), for this user only.
   * It is open when `kernel.ready` resolves, which rejects if it cannot be, or if others could put another socket at its
   * path: a folder on the way that is another user's, or that others can write to and that is not sticky.
   */
  readonly socket?: string
}

/**
 * Boots a kernel on this thread. It comes back at once; calls made before the threads are up wait in the queue.
 * @throws TypeError, RangeError for options that cannot be; an error with the code of what the system refused
 */
export function boot(options: BootOptions = {}): Kernel {
  const kernel = bootKernel(options)
  if (options.socket === undefined) return kernel
  const listening = systemCalls(kernel).listen(options.socket)
  kernel.prepare(listening)
  // Whoever does not await `ready` is told all the same, and the service goes on without the socket.
  listening.catch((error: Error) => process.emitWarning(error.message, 'khelper'))
  return kernel
}
