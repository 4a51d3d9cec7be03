/**
 * `khelper depmod`.
 */

import { depmod } from '../../applications/kmod/modprobe/depmod.js'
import { isSystemError } from '../../kernel/errors.js'
import { UsageError } from '../usage-error.js'

export function depmodCommand(folder: string): void {
  try {
    for (const warning of depmod(folder).warnings) console.error(`khelper: ${warning}`)
  } catch (error) {
    if (isSystemError(error)) throw new UsageError(error.message)
    throw error
  }
}
