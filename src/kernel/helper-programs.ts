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

/**
 * Whether a path names a program wherever the service is: from the root, or as the URL of an in-thread helper. The kernel
 * starts no other by itself: a relative one would be one of whatever folder the service was started in, run with its
 * rights. (Linux takes them from the root folder.)
 */
export const isFromRoot = (path: string): boolean => path.startsWith('/') || path.startsWith('file:')

/** The folder of the modules that come with khelper. */
export const BUILTIN_MODULES = new URL('../modules/', import.meta.url)
