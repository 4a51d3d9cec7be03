/**
 * khelper/coredump: reports of what died in a service, to a file or a program.
 */
export { type CoreDump, Coredump, type CoredumpOptions, coredump } from './coredump.js'
export type { Death } from './death.js'
export { type CoreFacts, type CoreTarget, expandPattern } from './pattern.js'
