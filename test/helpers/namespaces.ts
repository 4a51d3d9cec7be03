/**
 * What a test may do that needs a mount of its own.
 */
import { spawnSync } from 'node:child_process'

/** Of `unshare`: may mount, and nobody else sees it. */
export const NAMESPACES: readonly string[] = ['--user', '--map-root-user', '--mount']

/** For `skip`. */
export const withoutNamespaces =
  spawnSync('unshare', [...NAMESPACES, 'true']).status !== 0 && 'needs namespaces'
