/**
 * Synchronisation between threads over SharedArrayBuffer and Atomics. Knows nothing of helpers; each
 * structure attaches to words of any SharedArrayBuffer, and zeroed memory is a valid empty one.
 */
export { Backoff } from './backoff.js'
export { Completion, ERESTARTSYS, type Signals } from './completion.js'
export { Doorbell, type Woken } from './doorbell.js'
export { LockFreeList } from './lock-free-list.js'
export { MpmcQueue } from './mpmc-queue.js'
export { Slab } from './slab.js'
export { WaitQueue } from './wait-queue.js'
