/**
 * What is written into cgroupfs for a limit.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Limits } from '../limits.js'
import type { Controller } from '../types.js'
import type { Place } from './real-group.js'

/** @throws what the system says */
export function writeLimit({ kind, folder }: Place, controller: Controller, limits: Limits): void {
  for (const [file, value] of filesOf(kind, controller, limits)) {
    const path = join(folder, file)
    // Swap is counted only where the system was built and booted for it.
    if (/swap|memsw/.test(file) && !existsSync(path)) continue
    writeFileSync(path, value)
  }
}

/** In the order in which they can be written. */
function filesOf(kind: Place['kind'], controller: Controller, limits: Limits): [string, string][] {
  const { memory, pids, cpu } = limits
  if (controller === 'pids') return [['pids.max', String(pids)]]
  if (controller === 'memory') {
    // Swap is no way around the limit.
    return kind === 'v2'
      ? [
          ['memory.max', String(memory)],
          ['memory.swap.max', '0'],
        ]
      : [
          ['memory.limit_in_bytes', String(memory)],
          ['memory.memsw.limit_in_bytes', String(memory)],
        ]
  }
  return kind === 'v2'
    ? [['cpu.max', `${cpu?.quota} ${cpu?.period}`]]
    : [
        ['cpu.cfs_period_us', String(cpu?.period)],
        ['cpu.cfs_quota_us', String(cpu?.quota)],
      ]
}
