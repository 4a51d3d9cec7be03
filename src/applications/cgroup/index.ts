/**
 * Control groups for helpers: counted, limited and ended together, and a release agent that is told when one is empty.
 */
export { type Cgroups, cgroups } from './cgroups.js'
export type { Group } from './group.js'
export { GroupHelperError } from './group-helper-error.js'
export type { LimitOptions } from './limits.js'
export type { Controller, GroupCounts, GroupHelper, GroupOptions, GroupResult, RealKind } from './types.js'
