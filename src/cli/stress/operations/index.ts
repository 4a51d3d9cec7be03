/**
 * Everything that `khelper stress` does.
 */
import type { Operation } from '../context.js'
import * as completions from './completions.js'
import * as inThread from './in-thread.js'
import * as runs from './run.js'
import * as structures from './structures.js'
import * as umh from './umh.js'

/** From Node 24 on, a thread that runs out of memory fast enough takes the process along: V8 calls that fatal. */
const FATAL_MEMORY_NODE = 24
const tooMuch = Number.parseInt(process.versions.node, 10) >= FATAL_MEMORY_NODE ? 'in-thread/memory' : ''

export const OPERATIONS: readonly Operation[] = [completions, structures, umh, runs, inThread]
  .flatMap((module): Operation[] => Object.values(module))
  .filter(({ name }) => name !== tooMuch)
