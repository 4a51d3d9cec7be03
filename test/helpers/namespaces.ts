/**
 * What a test may do that needs a mount of its own.
 */
import { spawnSync } from 'node:child_process'
import { NAMESPACES } from '../../src/cli/stress/full-disk.js'

/** For `skip`. */
export const withoutNamespaces =
  spawnSync('unshare', [...NAMESPACES, 'true']).status !== 0 && 'needs namespaces'
