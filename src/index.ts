/**
 * khelper: runs programs and worker code from Node.js the way the Linux kernel calls user space.
 */
export { type BootOptions, boot } from './boot.js'
export type { HelperContext, HelperMain } from './exec/in-thread.js'
export {
  type DisableDepth,
  GFP_ATOMIC,
  GFP_KERNEL,
  type GfpFlags,
  UMH_DISABLED,
  UMH_ENABLED,
  UMH_FREEZABLE,
  UMH_FREEZING,
  UMH_KILLABLE,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  type WaitMode,
} from './kernel/constants.js'
export { HelperError, SystemError } from './kernel/errors.js'
export {
  attach,
  type Kernel,
  type KernelHandle,
  type KernelStats,
  type LauncherInfo,
} from './kernel/kernel.js'
export { Keyring } from './kernel/keyring.js'
export type { ProcFile, ProcTree } from './kernel/proc/tree.js'
export type {
  Helper,
  HelperInput,
  KillOptions,
  OutputTarget,
  ResourceLimit,
  Rlimit,
  RunOptions,
  RunResult,
  Rusage,
  StdinSource,
} from './kernel/run/types.js'
export type { SetupOptions, SubprocessInfo } from './kernel/subprocess-info.js'
export type { KhelperDeath } from './kernel/supervisor.js'
export type { Envp, ExecOptions } from './kernel/umh.js'
