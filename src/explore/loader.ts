/**
 * Loads modules as coroutines, with all that they import; what is not JavaScript source stays what it is.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { createRequire, SourceMap } from 'node:module'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import { REPLACED, type Runtime } from './runtime.js'
import {
  isCommonJs,
  PARAMETERS,
  type Parsed,
  parseSource,
  transformModule,
  UnsupportedCode,
} from './transform.js'
import { isTypeScript, type JavaScript, toJavaScript } from './typescript.js'

type Exports = Record<string, unknown>

/** Files that are loaded as they are: there is no shared memory in them. */
const BUILT_IN = /^(node|data):/
/** What bundlers and test runners try behind a path that names no file. */
const ENDINGS = ['.ts', '.js', '.mts', '.mjs', '/index.ts', '/index.js']

export interface Loader {
  /** Everything is parsed, and can be instantiated any number of times. */
  readonly load: (runtime: Runtime) => Exports
}

interface Unit {
  readonly parsed: Parsed
  /** The source map of what was parsed. */
  readonly map: string | undefined
  readonly resolved: ReadonlyMap<string, string>
  compiled: ((...args: unknown[]) => void) | undefined
}

/**
 * Reads a module and what it imports.
 * @param entry the `file:` URL of a module, or source text with the URL that stands for it
 * @throws UnsupportedCode for what cannot be explored, SyntaxError, ERR_MODULE_NOT_FOUND
 */
export async function loadModules(entry: {
  readonly url: string
  readonly source?: string
}): Promise<Loader> {
  const units = new Map<string, Unit>()
  const natives = new Map<string, Exports>()
  const accessors = new Set<string>()
  const constructors = new Set<string>()
  const add = async (url: string, source?: string): Promise<void> => {
    if (units.has(url) || natives.has(url)) return
    if (BUILT_IN.test(url)) {
      natives.set(url, (await import(url)) as Exports)
      return
    }
    const file = fileURLToPath(url)
    const text = source ?? readFileSync(file, 'utf8')
    if (source === undefined && isRequired(file, text)) {
      natives.set(url, required(file))
      return
    }
    const { code, map } =
      source === undefined ? await javaScriptOf(file, text) : { code: text, map: undefined }
    const parsed = parseSource(code, file)
    for (const name of parsed.accessors) accessors.add(name)
    for (const name of parsed.constructors) constructors.add(name)
    const importer = source === undefined ? file : `options.modules, from ${dirname(file)}`
    const resolved = new Map(parsed.imports.map(name => [name, resolve(name, url, importer)] as const))
    units.set(url, { parsed, map, resolved, compiled: undefined })
    for (const next of resolved.values()) await add(next)
  }
  await add(entry.url, entry.source)
  const changing = new Set([...units.values()].flatMap(({ parsed }) => [...parsed.changing]))
  for (const [url, unit] of units) {
    const { parsed, map, resolved } = unit
    const isLive = (name: string, imported: string): boolean => {
      const target = resolved.get(name) ?? name
      return units.has(target) && (changing.has(imported) || reaches(units, target, url))
    }
    const code = transformModule(parsed, {
      accessors,
      constructors,
      place: placeOf(parsed.file, map),
      isLive,
    })
    unit.compiled = compileFunction(code, [...PARAMETERS, ...REPLACED], {
      filename: parsed.file,
    }) as (...args: unknown[]) => void
  }
  return {
    load: ({ globals, operations, modules }) => {
      const loaded = new Map<string, Exports>()
      for (const [url, exports] of natives) loaded.set(url, withReplaced(exports, modules[url]))
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
            for (const name of Object.keys(other)) {
              if (name !== 'default' && !Object.hasOwn(exports, name)) define(name, () => other[name])
            }
          },
        })
        unit.compiled(
          operations,
          metaOf(url),
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

/** Whether one module imports another, itself or through others. */
function reaches(units: ReadonlyMap<string, Unit>, from: string, to: string): boolean {
  const seen = new Set<string>()
  const left = [from]
  for (let url = left.pop(); url !== undefined; url = left.pop()) {
    if (url === to) return true
    if (seen.has(url)) continue
    seen.add(url)
    left.push(...(units.get(url)?.resolved.values() ?? []))
  }
  return false
}

/** Whether Node has a file by `require`: it stays as it is. */
function isRequired(file: string, text: string): boolean {
  const ending = extname(file)
  return /^\.(cjs|json)$/.test(ending) || (ending !== '.mjs' && !isTypeScript(file) && isCommonJs(text))
}

/** A CommonJS module as `import` has it. */
function required(file: string): Exports {
  const exports: unknown = createRequire(file)(file)
  const isObject = (typeof exports === 'object' && exports !== null) || typeof exports === 'function'
  return { ...(isObject ? (exports as Exports) : {}), default: exports }
}

function withReplaced(exports: Exports, replaced: Exports | undefined): Exports {
  if (replaced === undefined) return exports
  return { ...exports, ...replaced, default: { ...(exports['default'] as Exports), ...replaced } }
}

const metaOf = (url: string): object => {
  const filename = fileURLToPath(url)
  return {
    url,
    filename,
    dirname: dirname(filename),
    resolve: (name: string) => resolve(name, url, filename),
  }
}

async function javaScriptOf(file: string, text: string): Promise<JavaScript> {
  if (isTypeScript(file)) return toJavaScript(text, file)
  const mapFile = `${file}.map`
  return { code: text, map: existsSync(mapFile) ? readFileSync(mapFile, 'utf8') : undefined }
}

const isFile = (url: URL): boolean => statSync(url, { throwIfNoEntry: false })?.isFile() ?? false

/** @param importer in words */
function resolve(name: string, from: string, importer: string): string {
  if (BUILT_IN.test(name)) return name
  const found = /^(\.|\/|file:)/.test(name) ? filePath(new URL(name, from)) : packagePath(name, from)
  if (found !== undefined) return found
  throw Object.assign(new Error(`Cannot find ${name}, imported by ${importer}`), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
}

function filePath(url: URL): string | undefined {
  // TypeScript names the file that its compiler will write.
  const source = new URL(url.href.replace(/\.([cm]?)js$/, '.$1ts'))
  return [url, source, ...ENDINGS.map(ending => new URL(`${url.href}${ending}`))].find(isFile)?.href
}

function packagePath(name: string, from: string): string | undefined {
  const imported = importPath(name, from)
  if (imported !== undefined) return imported
  try {
    const found = createRequire(from).resolve(name)
    return found.startsWith('/') ? pathToFileURL(found).href : `node:${found.replace(/^node:/, '')}`
  } catch {
    return ownPath(name)
  }
}

/** What a package has for `import`, which may be another file than that for `require`. */
function importPath(name: string, from: string): string | undefined {
  const [, owner = '', path = ''] = /^(@[^/]+\/[^/]+|[^@#./][^/]*)(\/.+)?$/.exec(name) ?? []
  for (const folder of (owner !== '' && createRequire(from).resolve.paths(name)) || []) {
    const file = join(folder, owner, 'package.json')
    if (!existsSync(file)) continue
    const { exports } = JSON.parse(readFileSync(file, 'utf8')) as { exports?: unknown }
    const target = exported(exports, `.${path}`)
    const url = target === undefined ? undefined : new URL(target, pathToFileURL(file))
    return url !== undefined && isFile(url) ? pathToFileURL(realpathSync(url)).href : undefined
  }
  return undefined
}

const CONDITIONS: ReadonlySet<string> = new Set(['import', 'node', 'node-addons', 'module-sync', 'default'])

/** The file that a package's `exports` name for a path, as Node's documentation has it. */
function exported(exports: unknown, path: string): string | undefined {
  if (typeof exports !== 'object' || exports === null || Array.isArray(exports)) {
    return path === '.' ? conditional(exports, '') : undefined
  }
  const paths = Object.entries(exports)
  if (!paths.some(([key]) => key.startsWith('.'))) return path === '.' ? conditional(exports, '') : undefined
  const exact = paths.find(([key]) => key === path && !key.includes('*'))
  if (exact !== undefined) return conditional(exact[1], '')
  let best: { readonly length: number; readonly found: string | undefined } | undefined
  for (const [key, target] of paths) {
    const [start = '', end] = key.split('*')
    const fits =
      end !== undefined &&
      path.startsWith(start) &&
      path.endsWith(end) &&
      path.length >= start.length + end.length
    if (!fits || start.length <= (best?.length ?? -1)) continue
    const star = path.slice(start.length, path.length - end.length)
    best = { length: start.length, found: conditional(target, star) }
  }
  return best?.found
}

function conditional(target: unknown, star: string): string | undefined {
  if (typeof target === 'string') return target.replaceAll('*', star)
  if (typeof target !== 'object' || target === null) return undefined
  for (const [condition, each] of Object.entries(target)) {
    if (!Array.isArray(target) && !CONDITIONS.has(condition)) continue
    const found = conditional(each, star)
    if (found !== undefined) return found
  }
  return undefined
}

/** As this package finds it: itself, and what cannot be had by `require`. */
function ownPath(name: string): string | undefined {
  try {
    return import.meta.resolve(name)
  } catch {
    return undefined
  }
}

/** Names lines as whoever wrote them knows them: by the source map, where there is one. */
function placeOf(file: string, sourceMap: string | undefined): (line: number, column: number) => string {
  const own = (line: number) => `${basename(file)}:${line}`
  if (sourceMap === undefined) return own
  const map = new SourceMap(JSON.parse(sourceMap) as ConstructorParameters<typeof SourceMap>[0])
  return (line, column) => {
    const found = map.findEntry(line - 1, column)
    return 'originalSource' in found
      ? `${basename(found.originalSource)}:${found.originalLine + 1}`
      : own(line)
  }
}
