/**
 * An in-thread helper that does nothing, as a contender: what is left is the dispatch.
 */
import { type Kernel, UMH_WAIT_PROC } from '../../index.js'
import { SUBJECT } from './figures.js'
import { contender } from './in-flight.js'
import type { Contender } from './measure.js'

/** The helper's module. */
export const NOOP = new URL('./noop-helper.js', import.meta.url).href
export const NOOP_ENVP = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']

export const noopContender = (kernel: Kernel, limit: number): Contender =>
  contender(SUBJECT, limit, serial =>
    kernel.callUsermodehelper(NOOP, ['noop', serial], NOOP_ENVP, UMH_WAIT_PROC),
  )
