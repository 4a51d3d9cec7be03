/**
 * What `khelper depmod` has found in a folder of modules: modules.dep, modules.alias and modules.softdep, in the formats
 * of kmod's depmod.
 */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SystemError } from '../../../kernel/errors.js'
import { moduleName } from '../module-file.js'
import { sameName } from '../parameters.js'
import { parseSoftdep, type SoftDependency } from './config.js'
import { readRegularFile } from './regular-file.js'

export const MODULES_DEP = 'modules.dep'
export const MODULES_ALIAS = 'modules.alias'
export const MODULES_SOFTDEP = 'modules.softdep'

export interface IndexedModule {
  readonly name: string
  readonly path: string
  /** All that it needs, in the order in which it is to be loaded. */
  readonly depends: readonly string[]
}

export interface ModuleIndex {
  readonly directory: string
  readonly modules: ReadonlyMap<string, IndexedModule>
  readonly aliases: readonly { readonly pattern: string; readonly module: string }[]
  readonly softdeps: ReadonlyMap<string, SoftDependency>
}

interface Cached {
  readonly stamp: string
  readonly index: ModuleIndex
}

/** A helper thread looks for many modules in the same folders. */
const cache = new Map<string, Cached>()

/** @throws SystemError ENOENT where depmod has not been */
export function readIndex(directory: string): ModuleIndex {
  const stamp = stampOf(directory)
  const known = cache.get(directory)
  if (known?.stamp === stamp) return known.index
  const index = parseIndex(directory, name => readRegularFile(join(directory, name)))
  cache.set(directory, { stamp, index })
  return index
}

/** Of all three: what is read between depmod's writes must not stand for what is there after them. */
function stampOf(directory: string): string {
  const path = join(directory, MODULES_DEP)
  const stamps = [MODULES_DEP, MODULES_ALIAS, MODULES_SOFTDEP].map(name =>
    statSync(join(directory, name), { throwIfNoEntry: false, bigint: true }),
  )
  if (stamps[0] === undefined) {
    throw new SystemError('ENOENT', `there is no ${path}; 'khelper depmod ${directory}' writes it`, { path })
  }
  return stamps.map(stamp => stamp && `${stamp.ino} ${stamp.mtimeNs} ${stamp.size}`).join(', ')
}

function parseIndex(directory: string, read: (name: string) => string): ModuleIndex {
  const modules = new Map<string, IndexedModule>()
  for (const line of read(MODULES_DEP).split('\n')) {
    const [path, needs] = line.split(/:\s*/, 2)
    if (path === undefined || path === '' || path.startsWith('#')) continue
    const name = moduleName(path)
    // modules.dep has what is to be loaded last first.
    const depends = (needs ?? '')
      .split(' ')
      .filter(need => need !== '')
      .map(moduleName)
      .reverse()
    modules.set(name, { name, path: join(directory, path), depends })
  }
  const optional = (name: string): string[] =>
    existsSync(join(directory, name)) ? read(name).split('\n') : []
  const aliases = optional(MODULES_ALIAS).flatMap(line => {
    const [, pattern, module] = /^alias (\S+) (\S+)$/.exec(line) ?? []
    return pattern === undefined || module === undefined ? [] : [{ pattern, module }]
  })
  const softdeps = new Map<string, SoftDependency>()
  for (const line of optional(MODULES_SOFTDEP)) {
    const [directive, module = '', ...words] = line.split(' ')
    const softdep = directive === 'softdep' ? parseSoftdep(words) : ''
    if (typeof softdep === 'object') softdeps.set(sameName(module), softdep)
  }
  return { directory, modules, aliases, softdeps }
}
