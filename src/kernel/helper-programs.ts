/**
 * In-thread helpers that come with khelper and do what the programs of these names do on Linux. Named here, two folders
 * deep, because the bundle's chunks are as deep.
 */
export const MODPROBE = new URL('../../workers/modprobe.js', import.meta.url).href
export const POWEROFF = new URL('../../workers/poweroff.js', import.meta.url).href
