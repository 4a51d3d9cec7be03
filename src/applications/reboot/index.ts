/**
 * khelper/reboot: the orderly end of a service.
 */
export type { RebootAction, RebootListener, RebootNotice, RebootNotifierOptions } from './notifiers.js'
export type { RebootOptions } from './options.js'
export { Reboot, reboot } from './reboot.js'
