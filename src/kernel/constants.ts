/**
 * Linux's constants of the usermode helper, with today's values (Linux 6.17, include/linux/umh.h).
 */

/** Do not wait: the call returns once the helper is queued; how its exec or exit went is not seen. */
export const UMH_NO_WAIT = 0
/** Wait for the exec: 0 once the program has been started, or `-errno`. */
export const UMH_WAIT_EXEC = 1
/** Wait for the process: its raw wait status, or `-errno` if it never ran. */
export const UMH_WAIT_PROC = 2
/** Or-ed in: an abort breaks the wait with `-ERESTARTSYS`; the helper goes on. */
export const UMH_KILLABLE = 4
/** Or-ed in: the waiter may be treated as frozen. Changes no result. */
export const UMH_FREEZABLE = 8

/** A wait mode with its flags. */
export type WaitMode = number

/** Allocation must not wait: no free descriptor gives `null`. */
export const GFP_ATOMIC = 'GFP_ATOMIC'
/** Allocation may wait for a free descriptor, first come, first served. */
export const GFP_KERNEL = 'GFP_KERNEL'
export type GfpFlags = typeof GFP_ATOMIC | typeof GFP_KERNEL

/** `usermodehelper_disable` states (enum umh_disable_depth). */
export const UMH_ENABLED = 0
export const UMH_FREEZING = 1
export const UMH_DISABLED = 2
export type DisableDepth = typeof UMH_ENABLED | typeof UMH_FREEZING | typeof UMH_DISABLED
