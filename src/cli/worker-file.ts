/**
 * Where the compiled threads and in-thread helpers are, which are loaded by their path.
 */

/** Of this file and of the bundles that it ends up in, `workers` is two folders up. */
export const workerFile = (name: string): URL => new URL(`../../workers/${name}.js`, import.meta.url)
