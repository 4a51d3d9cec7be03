/**
 * The C library by FFI: the only importer of koffi.
 *
 * Everything here is a synchronous call that the calling thread makes by itself: koffi's asynchronous
 * calls and callbacks are not safe in worker threads. Addresses travel as numbers (they fit in 53 bits),
 * so that a call allocates nothing.
 */
import { createRequire } from 'node:module'
import { arch, platform } from 'node:process'
import { isMainThread } from 'node:worker_threads'

/** A pointer as a number; 0 is NULL. */
export type Address = number

/** A function of the C library: takes numbers and addresses. */
type Call = (...args: readonly (number | NodeJS.TypedArray | string | null)[]) => number

/** What a binding module can do for us: find functions, tell addresses and the last error number. */
export interface Library {
  /** @param prototype in C, pointers as `void *` (typed arrays and strings) or `uintptr_t` (addresses) */
  func(prototype: string): Call
  addressOf(array: NodeJS.TypedArray): Address
  /** The calling thread's `errno`; read it right after the call that failed. */
  errno(): number
}

/** The part of koffi's face that is used here. */
interface Koffi {
  readonly types: Record<string, unknown>
  load(path: null): { func(prototype: string): Call & { info: unknown } }
  address(value: NodeJS.TypedArray): bigint | number
  errno(): number
}

/** Layouts below (rusage, pointers, epoll_event) are those of 64-bit little-endian Linux. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64']

/**
 * Loads the C library of this process.
 * @throws Error that says in one sentence what is missing
 */
export function loadLibrary(): Library {
  if (platform !== 'linux') throw new Error(`posix_spawn with pidfd needs Linux, this is ${platform}`)
  if (!ARCHITECTURES.includes(arch)) throw new Error(`no layouts for the ${arch} architecture`)
  const { load, address, errno } = loadKoffi()
  const library = load(null)
  return {
    func(prototype) {
      const call = library.func(prototype)
      // Externals that describe the prototype: see `loadKoffi`.
      call.info = undefined
      return call
    },
    addressOf: array => Number(address(array)),
    errno: () => errno(),
  }
}

/**
 * On a thread that may be ended, an instance of its own without its types, which prototypes name by their text: each
 * external that is there at a thread's end is leaked by Node, and every type is one. See `collectYoungObjects` for when
 * they go. Whoever else uses koffi on this thread has another instance.
 */
function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url)
  // The main thread ends with the process; what is loaded already is another's.
  if (isMainThread || require.resolve('koffi') in require.cache) return require('koffi')
  const loadedBefore = new Set(Object.keys(require.cache))
  const koffi: Koffi = require('koffi')
  for (const path of Object.keys(require.cache)) if (!loadedBefore.has(path)) delete require.cache[path]
  for (const name of Object.keys(koffi.types)) delete koffi.types[name]
  return koffi
}
