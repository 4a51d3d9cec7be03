/**
 * The socket of system calls: from helpers and operators to the kernel.
 */
import { perKernel } from '../per-kernel.js'
import { SystemCallServer } from './server.js'

export { type ClientOptions, SystemCallClient } from './client.js'
export { type Grant, SystemCallServer } from './server.js'

/** A kernel's socket; closed until somebody opens it, or a helper needs it. */
export const systemCalls = perKernel(kernel => new SystemCallServer(kernel))
