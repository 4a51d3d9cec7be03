/**
 * The C names over a default kernel, which is booted at the first call and keeps nothing alive.
 *
 * Return values are the kernel's: 0, `-errno`, or the raw wait status. A trailing `null` in argv and envp, as C
 * needs it, is taken and ignored.
 */
import type { Writable } from 'node:stream'
import {
  type DisableDepth,
  type GFP_ATOMIC,
  type GFP_KERNEL,
  UMH_DISABLED,
  type WaitMode,
} from './kernel/constants.js'
import type { Keyring } from './kernel/keyring.js'
import type { SetupOptions, SubprocessInfo } from './kernel/subprocess-info.js'
import type { Envp, ExecOptions } from './kernel/umh.js'
import { errno, errnoName } from './libc/errno.js'
import { default_kernel } from './linux/default-kernel.js'

export {
  GFP_ATOMIC,
  GFP_KERNEL,
  UMH_DISABLED,
  UMH_ENABLED,
  UMH_FREEZABLE,
  UMH_FREEZING,
  UMH_KILLABLE,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
} from './kernel/constants.js'

export { Keyring } from './kernel/keyring.js'
export * from './linux/applications.js'
export { default_kernel, shutdown_default_kernel } from './linux/default-kernel.js'

/** As <linux/errno.h> has them: positive. */
export const ENOENT = errno('ENOENT')
export const ENOMEM = errno('ENOMEM')
export const EACCES = errno('EACCES')
export const EBUSY = errno('EBUSY')
export const EINVAL = errno('EINVAL')
export const EAGAIN = errno('EAGAIN')
export const E2BIG = errno('E2BIG')
export const ENOEXEC = errno('ENOEXEC')
export const ERESTARTSYS = errno('ERESTARTSYS')

/** C's vector of strings: what follows the first NULL is not part of it. */
export type StringVector = readonly (string | null)[]

/** What is no array is for the kernel to refuse. */
function upToNull(vector: StringVector): readonly string[] {
  const end = Array.isArray(vector) ? vector.indexOf(null) : -1
  return (end < 0 ? vector : vector.slice(0, end)) as readonly string[]
}

const environment = (envp: StringVector | null): Envp => (envp === null ? null : upToNull(envp))
const vector = upToNull

/** With GFP_ATOMIC the structure or `null`; with GFP_KERNEL a promise of it. */
export function call_usermodehelper_setup<Data = unknown>(
  path: string | null,
  argv: StringVector,
  envp: StringVector | null,
  gfp_mask: typeof GFP_ATOMIC,
  options?: SetupOptions<Data>,
): SubprocessInfo<Data> | null
export function call_usermodehelper_setup<Data = unknown>(
  path: string | null,
  argv: StringVector,
  envp: StringVector | null,
  gfp_mask: typeof GFP_KERNEL,
  options?: SetupOptions<Data>,
): Promise<SubprocessInfo<Data>>
export function call_usermodehelper_setup<Data = unknown>(
  path: string | null,
  argv: StringVector,
  envp: StringVector | null,
  gfp_mask: typeof GFP_ATOMIC | typeof GFP_KERNEL,
  options?: SetupOptions<Data>,
): SubprocessInfo<Data> | null | Promise<SubprocessInfo<Data>> {
  return default_kernel().callUsermodehelperSetup(
    path,
    vector(argv),
    environment(envp),
    gfp_mask as typeof GFP_ATOMIC,
    options,
  )
}

/** Gives the helper secrets. */
export function call_usermodehelper_setkeys(info: SubprocessInfo, session_keyring: Keyring): void {
  default_kernel().callUsermodehelperSetkeys(info, session_keyring)
}

export function call_usermodehelper_setcleanup<Data>(
  info: SubprocessInfo<Data>,
  cleanup: (info: SubprocessInfo<Data>) => void,
): void {
  default_kernel().callUsermodehelperSetcleanup(info, cleanup)
}

/** @returns the stream, or `-errno` if no pipe can be made */
export function call_usermodehelper_stdinpipe<Data>(info: SubprocessInfo<Data>): Writable | number {
  try {
    return default_kernel().callUsermodehelperStdinpipe(info)
  } catch (error) {
    return systemErrno(error)
  }
}

export function call_usermodehelper_freeinfo<Data>(info: SubprocessInfo<Data>): void {
  default_kernel().callUsermodehelperFreeinfo(info)
}

export function call_usermodehelper_exec<Data>(
  info: SubprocessInfo<Data>,
  wait: WaitMode,
  options?: ExecOptions,
): Promise<number> {
  return default_kernel().callUsermodehelperExec(info, wait, options)
}

/** Blocks this thread until it is over. */
export function call_usermodehelper_exec_sync<Data>(info: SubprocessInfo<Data>, wait: WaitMode): number {
  return default_kernel().callUsermodehelperExecSync(info, wait)
}

export function call_usermodehelper(
  path: string,
  argv: StringVector,
  envp: StringVector | null,
  wait: WaitMode,
  options?: ExecOptions,
): Promise<number> {
  return default_kernel().callUsermodehelper(path, vector(argv), environment(envp), wait, options)
}

/** Blocks this thread until it is over. */
export function call_usermodehelper_sync(
  path: string,
  argv: StringVector,
  envp: StringVector | null,
  wait: WaitMode,
): number {
  return default_kernel().callUsermodehelperSync(path, vector(argv), environment(envp), wait)
}

/** Setup, setkeys and exec in one. */
export function call_usermodehelper_keys(
  path: string,
  argv: StringVector,
  envp: StringVector | null,
  session_keyring: Keyring,
  wait: WaitMode,
): Promise<number> {
  return default_kernel().callUsermodehelperKeys(path, vector(argv), environment(envp), session_keyring, wait)
}

/** The result of the exec, and the stream to the helper's standard input. */
export async function call_usermodehelper_pipe(
  path: string,
  argv: StringVector,
  envp: StringVector | null,
): Promise<{ readonly retval: number; readonly filp: Writable | null }> {
  try {
    const { retval, stdin } = await default_kernel().callUsermodehelperPipe(
      path,
      vector(argv),
      environment(envp),
    )
    return { retval, filp: stdin }
  } catch (error) {
    return { retval: systemErrno(error), filp: null }
  }
}

export function usermodehelper_disable(): Promise<number> {
  return default_kernel().usermodehelperDisable(UMH_DISABLED)
}

export function usermodehelper_enable(): Promise<void> {
  return default_kernel().usermodehelperEnable()
}

export function __usermodehelper_disable(depth: DisableDepth): Promise<number> {
  return default_kernel().usermodehelperDisable(depth)
}

export function __usermodehelper_set_disable_depth(depth: DisableDepth): Promise<void> {
  return default_kernel().usermodehelperSetDisableDepth(depth)
}

export function usermodehelper_read_trylock(): Promise<number> {
  return default_kernel().usermodehelperReadTrylock()
}

/** @param timeout milliseconds */
export function usermodehelper_read_lock_wait(timeout: number): Promise<number> {
  return default_kernel().usermodehelperReadLockWait(timeout)
}

export function usermodehelper_read_unlock(): void {
  default_kernel().usermodehelperReadUnlock()
}

/** What the system refused, as a negative number; a mistake of the caller stays an error. */
function systemErrno(error: unknown): number {
  const number = (error as NodeJS.ErrnoException).errno
  if (typeof number !== 'number') throw error
  return number
}

/** The name of an error number, for messages. */
export const errno_name = errnoName
