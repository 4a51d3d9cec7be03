/**
 * In-thread helpers and modules that come with khelper. Named here, two folders deep, because the bundle's chunks are as
 * deep.
 */
const worker = (name: string): string => new URL(`../../workers/${name}.js`, import.meta.url).href

/** Do what the programs of these names do on Linux. */
export const MODPROBE = worker('modprobe')
export const POWEROFF = worker('poweroff')
/** Does nothing: what is left is the dispatch. */
export const NOOP = worker('noop')

/** The folder of the modules that come with khelper. */
export const BUILTIN_MODULES = new URL('../modules/', import.meta.url)
