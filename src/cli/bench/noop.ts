/**
 * An in-thread helper that does nothing, as a contender: what is left is the dispatch.
 */
import { type Kernel, UMH_WAIT_PROC } from '../../index.js'
import { NOOP } from '../../kernel/helper-programs.js'
import { SUBJECT } from './figures.js'
import { contender } from './in-flight.js'
import type { Contender } from './measure.js'

export { NOOP }
export const NOOP_ENVP = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']

export const noopContender = (kernel: Kernel, limit: number): Contender =>
  contender(SUBJECT, limit, serial =>
    kernel.callUsermodehelper(NOOP, ['noop', serial], NOOP_ENVP, UMH_WAIT_PROC),
  )
