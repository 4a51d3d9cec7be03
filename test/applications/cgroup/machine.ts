/**
 * What this machine has of control groups, for tests to skip what it has not, with the reason.
 */
import { accessSync, constants } from 'node:fs'
import { Cgroups } from '../../../src/applications/cgroup/cgroups.js'
import { findRoots } from '../../../src/applications/cgroup/real/roots.js'
import type { CgroupRoots } from '../../../src/applications/cgroup/types.js'
import { boot } from '../../../src/index.js'

const found = findRoots()

function writable(folder: string | undefined): boolean {
  try {
    if (folder !== undefined) accessSync(folder, constants.W_OK)
    return folder !== undefined
  } catch {
    return false
  }
}

/** @returns why there can be no group with such limits; false: there can */
async function noLimits(): Promise<string | false> {
  await using kernel = boot({ khelpers: 1 })
  const groups = new Cgroups(kernel)
  try {
    groups.create('/probe', { 'memory.max': '64M', 'pids.max': 10, 'cpu.max': 0.5 })
    return false
  } catch (error) {
    return `no limits here: ${(error as Error).message}`
  }
}

export const machine: {
  readonly roots: CgroupRoots
  readonly noV2: string | false
  readonly noV1: string | false
  readonly noLimits: string | false
} = {
  roots: found,
  noV2: !writable(found.v2) && 'cgroup v2 is not mounted, or not writable',
  noV1: !writable(found.v1?.pids) && 'the controller pids of cgroup v1 is not mounted, or not writable',
  noLimits: await noLimits(),
}
