/**
 * khelper/uevent: what happens in a service, told to whoever listens and to a program of the operator's.
 */
export { KOBJECT_ACTIONS, type KobjectAction } from './actions.js'
export {
  addUeventVar,
  KobjUeventEnv,
  UEVENT_BUFFER_SIZE,
  UEVENT_NUM_ENVP,
  type UeventVariables,
} from './env.js'
export { Kobject, type KobjectOptions, Kset, type KsetOptions } from './kobject.js'
export type { ListenOptions, ReceivedUevent, Uevent, UeventListener } from './listener.js'
export { Uevents, uevents } from './uevents.js'
