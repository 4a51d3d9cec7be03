/**
 * The kernel behind the C names: booted at the first call, and nothing is kept alive by it.
 */
import { isSystemError } from '../kernel/errors.js'
import { boot, type Kernel } from '../kernel/kernel.js'

let kernel: Kernel | undefined

/** The kernel behind these functions; booted here if it is not yet. */
export function default_kernel(): Kernel {
  kernel ??= boot()
  return kernel
}

/** Ends the default kernel; the next call boots another. */
export async function shutdown_default_kernel(): Promise<void> {
  const ending = kernel
  kernel = undefined
  await ending?.shutdown()
}

/** What the kernel refuses, as the number that C has for it; a mistake of the caller stays an error. */
export function numberOf(error: unknown): number {
  if (isSystemError(error)) return error.retval
  throw error
}

/** 0, or `-errno`. */
export function retvalOf(call: () => void): number {
  try {
    call()
    return 0
  } catch (error) {
    return numberOf(error)
  }
}

/** What it gives, or `-errno`. */
export async function resultOf<Result>(call: () => Promise<Result>): Promise<Result | number> {
  try {
    return await call()
  } catch (error) {
    return numberOf(error)
  }
}

/** 0, or `-errno`. */
export async function asyncRetvalOf(call: () => Promise<unknown>): Promise<number> {
  const result = await resultOf(async () => {
    await call()
    return 0
  })
  return result
}
