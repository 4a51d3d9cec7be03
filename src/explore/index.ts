/**
 * khelper/explore: runs code that shares memory under every schedule of its threads.
 */
export { ExploreError, type ExploreOptions, type ExploreReport, explore, type Modules } from './explore.js'
export type { FailureKind, Scenario } from './run.js'
export { UnsupportedCode } from './transform.js'
