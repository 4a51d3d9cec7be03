/**
 * The C names of what the kernel uses helpers for, over the default kernel: 0, `-errno`, or the raw wait status.
 */

import { type Key, type KeyId, keys, type RequestKeyOptions } from '../applications/keys/index.js'
import { type InsmodOptions, kmod, type Module, type RequestOptions } from '../applications/kmod/index.js'
import { reboot } from '../applications/reboot/index.js'
import {
  type Pattern,
  patternBytes,
  type TextSearchOps,
  type TsConfig,
  type TsState,
  textsearch,
} from '../applications/textsearch/index.js'
import {
  addUeventVar,
  type Kobject,
  type KobjectAction,
  type KobjUeventEnv,
  type UeventVariables,
  uevents,
} from '../applications/uevent/index.js'
import { type UmdInfo, usermodeDrivers } from '../applications/usermode-driver/index.js'
import { outOfRange, wrongType } from '../kernel/errors.js'
import { asyncRetvalOf, default_kernel, numberOf, resultOf, retvalOf } from './default-kernel.js'

/**
 * The first `len` bytes, as C hands them over; all of them without it. What is no array is for the kernel to refuse.
 * @throws TypeError, RangeError where C would read beyond what there is
 */
function firstBytes(bytes: Uint8Array, len: number | undefined): Uint8Array {
  if (len === undefined || !(bytes instanceof Uint8Array)) return bytes
  if (typeof len !== 'number') throw wrongType('len', 'of type number', len)
  if (!Number.isInteger(len) || len < 0 || len > bytes.length) {
    throw outOfRange('len', `a whole number up to the ${bytes.length} bytes that are given`, len)
  }
  return bytes.subarray(0, len)
}

const modules = () => kmod(default_kernel())

// kernel/module/kmod.c, kernel/module/main.c

/** 0, `-errno`, or what modprobe's wait status was. */
export const request_module = (name: string, options?: RequestOptions): Promise<number> =>
  modules().requestRetval(true, name, options)

export const request_module_nowait = (name: string, options?: RequestOptions): Promise<number> =>
  modules().requestRetval(false, name, options)

/** @param look C's macro evaluates its argument again; here it is a function */
export const try_then_request_module = <Found>(look: () => Found, name: string): Promise<Found> =>
  modules().tryThenRequestModule(look, name)

/** @param file the module's file, where C has its image */
export const init_module = (file: string | URL, params = '', options?: InsmodOptions): Promise<number> =>
  asyncRetvalOf(() => modules().insmod(file, params, options))

/** O_TRUNC in the flags of delete_module: by force. */
export const O_TRUNC = 0o1000

export const delete_module = (name: string, flags = 0): Promise<number> =>
  asyncRetvalOf(() => modules().rmmod(name, { force: (flags & O_TRUNC) !== 0 }))

export const find_module = (name: string): Module | null => modules().findModule(name) ?? null
/** `null` stands for code that is no module, which is always there. */
export const try_module_get = (module: Module | null): boolean => module === null || module.tryGet()
export const module_put = (module: Module | null): void => module?.put()

// lib/textsearch.c

const search = () => textsearch(default_kernel())

export const textsearch_register = (ops: TextSearchOps): number => retvalOf(() => search().register(ops))
export const textsearch_unregister = (ops: TextSearchOps): number => retvalOf(() => search().unregister(ops))

/**
 * The configuration, or `-errno` in its place (ERR_PTR).
 * @param len bytes of the pattern that count: of a string's UTF-8, and 4 for each token
 */
export const textsearch_prepare = (
  algo: string,
  pattern: Pattern,
  len?: number,
  _gfp_mask?: number,
  flags = 0,
): Promise<TsConfig | number> =>
  resultOf(() => search().prepare(algo, firstBytes(patternBytes(pattern), len), flags))

export const textsearch_destroy = (conf: TsConfig): void => search().destroy(conf)
export const textsearch_find = (conf: TsConfig, state: TsState): number => search().find(conf, state)
export const textsearch_next = (conf: TsConfig, state: TsState): number => search().next(conf, state)
export const textsearch_find_continuous = (
  conf: TsConfig,
  state: TsState,
  data: Uint8Array,
  len?: number,
): number => search().findContinuous(conf, state, firstBytes(data, len))
export const textsearch_get_pattern = (conf: TsConfig): Uint8Array => search().getPattern(conf)
export const textsearch_get_pattern_len = (conf: TsConfig): number => search().getPatternLen(conf)

// lib/kobject_uevent.c

export const kobject_uevent = (kobj: Kobject, action: KobjectAction): number =>
  retvalOf(() => uevents(default_kernel()).kobjectUevent(kobj, action))
export const kobject_uevent_env = (kobj: Kobject, action: KobjectAction, envp: UeventVariables): number =>
  retvalOf(() => uevents(default_kernel()).kobjectUeventEnv(kobj, action, envp))
export const kobject_synth_uevent = (kobj: Kobject, text: string): number =>
  retvalOf(() => uevents(default_kernel()).synthesize(kobj, text))
export const add_uevent_var = (env: KobjUeventEnv, variable: string): number =>
  retvalOf(() => addUeventVar(env, variable))

// kernel/reboot.c

export const orderly_poweroff = (force: boolean): void => {
  void reboot(default_kernel()).orderlyPoweroff(force)
}
export const orderly_reboot = (): void => reboot(default_kernel()).orderlyReboot()

// security/keys

const ring = () => keys(default_kernel())

/** The key, or `-errno` in its place (ERR_PTR). */
export const request_key = (
  type: string,
  description: string,
  callout_info?: string | Uint8Array | null,
  options?: RequestKeyOptions,
): Promise<Key | number> =>
  resultOf(() => ring().requestKey(type, description, callout_info ?? undefined, options))

/** The key's serial number, or `-errno`. */
export const add_key = async (
  type: string,
  description: string,
  payload: string | Uint8Array,
  keyring: KeyId,
): Promise<number> =>
  resultOf(async () => (await ring().addKey(type, description, payload, { keyring })).serial)

/** What the operation gives, or `-errno`; operations by their names without `KEYCTL_`, in small letters. */
export async function keyctl(operation: string, ...args: unknown[]): Promise<unknown> {
  try {
    return (await ring().keyctl(operation, args, ring().credentials)) ?? 0
  } catch (error) {
    return numberOf(error)
  }
}

export const key_validate = (key: Key): number => retvalOf(() => key.validate())

export const key_link = (keyring: KeyId, key: KeyId): Promise<number> =>
  asyncRetvalOf(async () => ring().link(key, keyring))
export const key_unlink = (keyring: KeyId, key: KeyId): number => retvalOf(() => ring().unlink(key, keyring))
export const key_revoke = (key: KeyId): Promise<number> => asyncRetvalOf(async () => ring().revoke(key))
export const key_invalidate = (key: KeyId): Promise<number> =>
  asyncRetvalOf(async () => ring().invalidate(key))

// kernel/usermode_driver.c

const drivers = () => usermodeDrivers(default_kernel())

export const umd_load_blob = (info: UmdInfo, data: Uint8Array, len?: number): number =>
  retvalOf(() => drivers().umdLoadBlob(info, firstBytes(data, len)))
export const umd_unload_blob = (info: UmdInfo): number => retvalOf(() => drivers().umdUnloadBlob(info))
export const fork_usermode_driver = (info: UmdInfo): Promise<number> =>
  asyncRetvalOf(() => drivers().forkUsermodeDriver(info))
/** Kills the driver as well: in C that is the caller's to do before, with the `tgid` that is given up here. */
export const umd_cleanup_helper = (info: UmdInfo): void => drivers().umdCleanup(info)
