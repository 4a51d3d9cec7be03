/**
 * An application has one state for each kernel, made when it is first asked for and ended with the kernel.
 */
import type { Kernel } from '../kernel/kernel.js'

/**
 * @param make the application's state for a kernel
 * @returns gives that of a kernel, always the same
 */
export function perKernel<Application>(
  make: (kernel: Kernel) => Application,
): (kernel: Kernel) => Application {
  const applications = new WeakMap<Kernel, Application>()
  return kernel => {
    const known = applications.get(kernel)
    if (known !== undefined) return known
    const application = make(kernel)
    applications.set(kernel, application)
    return application
  }
}
