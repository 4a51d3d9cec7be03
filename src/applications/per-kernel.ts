/**
 * An application has one state for each kernel, made when it is first asked for and ended with the kernel. It is the
 * state of the thread that booted the kernel: what an attached thread held would be another service's keys, modules or
 * events under the same name.
 */
import { unsupported } from '../kernel/errors.js'
import type { Kernel } from '../kernel/kernel.js'

/**
 * @param make the application's state for a kernel
 * @returns gives that of a kernel, always the same; throws ERR_KHELPER_UNSUPPORTED on an attached thread
 */
export function perKernel<Application>(
  make: (kernel: Kernel) => Application,
): (kernel: Kernel) => Application {
  const applications = new WeakMap<Kernel, Application>()
  return kernel => {
    if (kernel.attached) {
      throw unsupported(
        'The applications of a kernel belong to the thread that booted it: use them there, or call them from this one over boot({ socket }) and khelper/system-calls',
      )
    }
    const known = applications.get(kernel)
    if (known !== undefined) return known
    const application = make(kernel)
    applications.set(kernel, application)
    return application
  }
}
