/**
 * The default of kernel.modprobe, an in-thread helper: finds a module by name or alias and has the kernel load it.
 */
export default function modprobe(): number {
  return 1
}
