/**
 * khelper/kmod: modules that are loaded and unloaded while the service runs.
 */
import { perKernel } from '../per-kernel.js'
import { Kmod } from './kmod.js'

export { Kmod, type ModuleInfo } from './kmod.js'
export type { InsmodOptions, RmmodOptions } from './loader.js'
export { Module, ModuleState } from './module.js'
export type { ModuleContext, ModuleExports, ModuleOwner } from './module-exports.js'
export type { ParameterDeclaration, ParameterDetails, ParameterValue } from './parameters.js'
export { RequestLog } from './request-log.js'
export type { RequestOptions } from './request-module.js'

/** The modules of a kernel. */
export const kmod = perKernel(kernel => new Kmod(kernel))
