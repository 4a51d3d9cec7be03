export * from './errno.js'
export * from './libc.js'
export type { Address, Library } from './library.js'
export * from './posix-spawn.js'
