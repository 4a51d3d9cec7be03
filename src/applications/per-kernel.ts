/**
 * An application has one state for each kernel, made when it is first asked for and ended with the kernel. It
 * is on the thread that booted the kernel: one of their own for attached threads would be another application each.
 */
import { isAttached } from '../kernel/errors.js'
import type { Kernel } from '../kernel/kernel.js'

/**
 * @param make the application's state for a kernel
 * @returns gives that of a kernel, always the same; throws ERR_KHELPER_ATTACHED on an attached thread
 */
export function perKernel<Application>(
  make: (kernel: Kernel) => Application,
): (kernel: Kernel) => Application {
  const applications = new WeakMap<Kernel, Application>()
  return kernel => {
    const known = applications.get(kernel)
    if (known !== undefined) return known
    if (kernel.attached) throw isAttached()
    const application = make(kernel)
    applications.set(kernel, application)
    return application
  }
}
