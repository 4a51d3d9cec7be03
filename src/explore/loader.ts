/**
 * Loads modules as coroutines, with all that they import; what is not JavaScript source stays what it is.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire, SourceMap } from 'node:module'
import { basename, extname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import { REPLACED, type Runtime } from './runtime.js'
import { type Parsed, parseSource, transformModule, UnsupportedCode } from './transform.js'

type Exports = Record<string, unknown>

/** Files that are loaded as they are: there is no shared memory in them. */
const BUILT_IN = /^(node|data):/

export interface Loader {
  /** Everything is parsed, and can be instantiated any number of times. */
  readonly load: (runtime: Runtime) => Exports
}

interface Unit {
  readonly parsed: Parsed
  readonly resolved: ReadonlyMap<string, string>
  compiled: ((...args: unknown[]) => void) | undefined
}

/**
 * Reads a module and what it imports.
 * @param entry the `file:` URL of a module, or source text with the URL that stands for it
 * @throws UnsupportedCode for what cannot be explored, SyntaxError
 */
export async function loadModules(entry: {
  readonly url: string
  readonly source?: string
}): Promise<Loader> {
  const units = new Map<string, Unit>()
  const natives = new Map<string, Exports>()
  const accessors = new Set<string>()
  const add = async (url: string, source?: string): Promise<void> => {
    if (units.has(url) || natives.has(url)) return
    if (BUILT_IN.test(url)) {
      natives.set(url, (await import(url)) as Exports)
      return
    }
    const file = fileURLToPath(url)
    const parsed = parseSource(source ?? (await readSource(file)), file)
    for (const name of parsed.accessors) accessors.add(name)
    const resolved = new Map(parsed.imports.map(name => [name, resolve(name, url)] as const))
    units.set(url, { parsed, resolved, compiled: undefined })
    for (const next of resolved.values()) await add(next)
  }
  await add(entry.url, entry.source)
  for (const unit of units.values()) {
    const { parsed } = unit
    const code = transformModule(parsed, accessors, placeOf(parsed.file))
    unit.compiled = compileFunction(code, ['$', '$import', '$export', ...REPLACED], {
      filename: parsed.file,
    }) as (...args: unknown[]) => void
  }
  return {
    load: ({ globals, operations }) => {
      const loaded = new Map<string, Exports>(natives)
      const instantiate = (url: string): Exports => {
        const known = loaded.get(url)
        if (known !== undefined) return known
        const exports: Exports = {}
        loaded.set(url, exports)
        const unit = units.get(url)
        if (unit?.compiled === undefined) throw new UnsupportedCode(`not loaded: ${url}`)
        const define = (name: string, get: () => unknown) =>
          Object.defineProperty(exports, name, { get, enumerable: true, configurable: true })
        const exporter = Object.assign(define, {
          all: (other: Exports) => {
            for (const name of Object.keys(other)) if (name !== 'default') define(name, () => other[name])
          },
        })
        const own = Object.create(operations, { meta: { value: { url } } }) as Record<string, unknown>
        unit.compiled(
          own,
          (name: string) => instantiate(unit.resolved.get(name) ?? name),
          exporter,
          ...REPLACED.map(name => globals[name]),
        )
        return exports
      }
      return instantiate(entry.url)
    },
  }
}

async function readSource(file: string): Promise<string> {
  const text = readFileSync(file, 'utf8')
  if (!/^\.[cm]?ts$/.test(extname(file))) return text
  // A test runner that runs TypeScript brings esbuild along.
  const name = 'esbuild'
  const esbuild = (await import(createRequire(file).resolve(name)).catch(() => undefined)) as
    | { transform(text: string, options: object): Promise<{ readonly code: string }> }
    | undefined
  if (esbuild === undefined) {
    throw new UnsupportedCode(`${file} is TypeScript: install esbuild, or name the compiled file`)
  }
  return (await esbuild.transform(text, { loader: 'ts', format: 'esm', target: 'es2022' })).code
}

function resolve(name: string, from: string): string {
  if (BUILT_IN.test(name)) return name
  if (/^(\.|\/|file:)/.test(name)) {
    const url = new URL(name, from)
    // TypeScript names the file that its compiler will write.
    if (!existsSync(url) && url.pathname.endsWith('.js')) {
      const source = new URL(url.href.replace(/\.js$/, '.ts'))
      if (existsSync(source)) return source.href
    }
    return url.href
  }
  try {
    const found = createRequire(from).resolve(name)
    return found.startsWith('/') ? pathToFileURL(found).href : `node:${found.replace(/^node:/, '')}`
  } catch {
    return import.meta.resolve(name)
  }
}

/** Names lines as whoever wrote them knows them: by the source map, where there is one. */
function placeOf(file: string): (line: number, column: number) => string {
  const own = (line: number) => `${basename(file)}:${line}`
  const mapFile = `${file}.map`
  if (!existsSync(mapFile)) return own
  const map = new SourceMap(
    JSON.parse(readFileSync(mapFile, 'utf8')) as ConstructorParameters<typeof SourceMap>[0],
  )
  return (line, column) => {
    const found = map.findEntry(line - 1, column)
    return 'originalSource' in found
      ? `${basename(found.originalSource)}:${found.originalLine + 1}`
      : own(line)
  }
}
