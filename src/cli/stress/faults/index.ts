/**
 * Everything that goes wrong in `khelper stress`.
 */
import type { Fault } from '../context.js'
import { descriptors } from './descriptors.js'
import { disable } from './disable.js'
import { fds } from './fds.js'
import { khelperDeath } from './khelper-death.js'
import { clock, fullDisk, sigchld, signals } from './others.js'

export const FAULTS: readonly Fault[] = [
  khelperDeath,
  disable,
  descriptors,
  fds,
  fullDisk,
  clock,
  signals,
  sigchld,
]
