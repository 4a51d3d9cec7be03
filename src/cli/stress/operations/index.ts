/**
 * Everything that `khelper stress` does.
 */
import type { Operation } from '../context.js'
import * as completions from './completions.js'
import * as inThread from './in-thread.js'
import * as runs from './run.js'
import * as structures from './structures.js'
import * as umh from './umh.js'

export const OPERATIONS: readonly Operation[] = [completions, structures, umh, runs, inThread].flatMap(
  (module): Operation[] => Object.values(module),
)
