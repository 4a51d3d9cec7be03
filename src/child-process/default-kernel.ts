/**
 * The kernel under the drop-in: one for each thread that starts a program, booted with the first.
 */
import { boot, type Kernel } from '../kernel/kernel.js'

let kernel: Kernel | undefined

/**
 * @returns undefined where programs cannot be started by posix_spawn, or no kernel can be booted for want of something:
 *   Node does it as well as we could
 */
export function dropInKernel(): Kernel | undefined {
  try {
    kernel ??= boot()
  } catch {
    return undefined
  }
  return kernel.libc === undefined ? undefined : kernel
}
