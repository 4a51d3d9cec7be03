/**
 * Makes JavaScript of TypeScript with what a project has for its tests, or else with what Node itself has.
 */
import * as nodeModule from 'node:module'
import { extname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UnsupportedCode } from './transform.js'

export interface JavaScript {
  readonly code: string
  /** A source map; undefined where all stands where it stood. */
  readonly map: string | undefined
}

export const isTypeScript = (file: string): boolean => /^\.[cm]?ts$/.test(extname(file))

interface Esbuild {
  transform(text: string, options: object): Promise<{ readonly code: string; readonly map: string }>
}

type ViteTransform = (text: string, file: string) => Promise<{ readonly code: string; readonly map: unknown }>

/** Vite 8 has the first, older ones have the other. */
interface Vite {
  readonly transformWithOxc?: ViteTransform
  readonly transformWithEsbuild?: ViteTransform
}

/** From Node 22.13 on; it takes away the types and leaves blanks. */
interface TypeStripping {
  readonly stripTypeScriptTypes?: (text: string) => string
}

/** @throws UnsupportedCode where nothing can do it, SyntaxError and what else a compiler throws */
export async function toJavaScript(text: string, file: string): Promise<JavaScript> {
  const esbuild = await installed<Esbuild>('esbuild', 'tsx', file)
  if (esbuild !== undefined) {
    const options = { loader: 'ts', format: 'esm', target: 'es2022', sourcemap: 'external', sourcefile: file }
    const { code, map } = await esbuild.transform(text, options)
    return { code, map }
  }
  const vite = await installed<Vite>('vite', 'vitest', file)
  const transform = vite?.transformWithOxc ?? vite?.transformWithEsbuild
  if (transform !== undefined) {
    const { code, map } = await transform(text, file)
    return { code, map: typeof map === 'string' ? map : JSON.stringify(map) }
  }
  const { stripTypeScriptTypes } = nodeModule as TypeStripping
  if (stripTypeScriptTypes !== undefined) return { code: stripTypeScriptTypes(text), map: undefined }
  throw new UnsupportedCode(
    `${file} is TypeScript, which Node ${process.versions.node} does not read: install esbuild beside it, or name the compiled file`,
  )
}

/** A package, as a file finds it, or else another package that needs it. */
async function installed<Package>(name: string, by: string, file: string): Promise<Package | undefined> {
  const path = found(name, file) ?? found(name, found(`${by}/package.json`, file))
  return path === undefined ? undefined : ((await import(pathToFileURL(path).href)) as Package)
}

function found(name: string, from: string | undefined): string | undefined {
  try {
    return from === undefined ? undefined : nodeModule.createRequire(from).resolve(name)
  } catch {
    return undefined
  }
}
