/**
 * The values that are set under /proc/sys. They are here and not with the applications that use them, because they can
 * be set before an application is loaded, and by whoever does not know it.
 */
import { MODPROBE, POWEROFF } from '../helper-programs.js'
import {
  capabilitySysctl,
  commandSysctl,
  corePatternSysctl,
  integerSysctl,
  placesSysctl,
  programSysctl,
} from './handlers.js'
import type { ProcTree } from './tree.js'

/** Room for a helper's path in Linux (KMOD_PATH_LEN, UEVENT_HELPER_PATH_LEN, POWEROFF_CMD_PATH_LEN). */
const HELPER_PATH_BYTES = 256
const CORE_PATTERN_BYTES = 128
const PATH_BYTES = 4096
const LARGEST_INT = 2 ** 31 - 1
const SMALLEST_INT = -(2 ** 31)

interface Masks {
  usermodehelperBset: bigint
  usermodehelperInheritable: bigint
}

export function defineSysctls(proc: ProcTree, kernel: Masks): void {
  const text = (
    kind: typeof programSysctl,
    path: string,
    initial: string,
    size = HELPER_PATH_BYTES,
    // What is there by default may be longer than what Linux has room for, and can be written back.
  ) => proc.define(path, kind(path, initial, Math.max(size, Buffer.byteLength(initial) + 1)))
  const number = (path: string, initial: number, least: number, most: number) =>
    proc.define(path, integerSysctl(path, initial, least, most))

  text(programSysctl, '/proc/sys/kernel/modprobe', MODPROBE)
  text(programSysctl, '/proc/sys/kernel/hotplug', '')
  text(commandSysctl, '/proc/sys/kernel/poweroff_cmd', POWEROFF)
  text(corePatternSysctl, '/proc/sys/kernel/core_pattern', 'core', CORE_PATTERN_BYTES)
  number('/proc/sys/kernel/core_pipe_limit', 0, 0, LARGEST_INT)
  number('/proc/sys/kernel/core_uses_pid', 0, SMALLEST_INT, LARGEST_INT)
  proc.define('/proc/sys/kernel/modules_disabled', oneWay('/proc/sys/kernel/modules_disabled'))

  // Of applications that are not in use there is nothing to be seen.
  for (const path of ['/proc/modules', '/proc/keys', '/proc/key-users']) proc.define(path, { read: () => '' })

  const bset = '/proc/sys/kernel/usermodehelper/bset'
  proc.define(
    bset,
    capabilitySysctl(
      bset,
      () => kernel.usermodehelperBset,
      mask => {
        kernel.usermodehelperBset = mask
      },
    ),
  )
  const inheritable = '/proc/sys/kernel/usermodehelper/inheritable'
  proc.define(
    inheritable,
    capabilitySysctl(
      inheritable,
      () => kernel.usermodehelperInheritable,
      mask => {
        kernel.usermodehelperInheritable = mask
      },
    ),
  )

  number('/proc/sys/kernel/keys/maxkeys', 200, 1, LARGEST_INT)
  number('/proc/sys/kernel/keys/maxbytes', 20_000, 1, LARGEST_INT)
  number('/proc/sys/kernel/keys/root_maxkeys', 1_000_000, 1, LARGEST_INT)
  number('/proc/sys/kernel/keys/root_maxbytes', 25_000_000, 1, LARGEST_INT)
  number('/proc/sys/kernel/keys/gc_delay', 300, 0, LARGEST_INT)

  // What Linux has as paths that are compiled in, as options of the build or as files of the system.
  text(commandSysctl, '/proc/sys/khelper/reboot_cmd', POWEROFF)
  text(programSysctl, '/proc/sys/khelper/request_key', '/sbin/request-key', PATH_BYTES)
  text(placesSysctl, '/proc/sys/khelper/module_directory', '', PATH_BYTES)
  text(placesSysctl, '/proc/sys/khelper/modprobe_config', '', PATH_BYTES)
  number('/proc/sys/khelper/module_autoload_dups', 0, 0, 1)
}

/** A switch that is turned on and never off. */
function oneWay(path: string) {
  const sysctl = integerSysctl(path, 0, 1, 1)
  return { read: sysctl.read, write: sysctl.write }
}

/** A sysctl's value: its file without the line feed. */
export const readSysctl = (kernel: { readonly proc: ProcTree }, name: string): string =>
  kernel.proc.read(`/proc/sys/${name}`).replace(/\n$/, '')
