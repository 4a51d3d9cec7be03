/**
 * Finds out what the modules of a folder need, and what they are called: depmod(8).
 */
import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isSystemError, SystemError } from '../../../kernel/errors.js'
import { listOf } from '../module-exports.js'
import { isModuleName, moduleName, NAME_RULE } from '../module-file.js'
import { sameName } from '../parameters.js'
import { ALIAS_RULE, normalAlias } from './alias.js'
import { parseSoftdep } from './config.js'
import { MODULES_ALIAS, MODULES_DEP, MODULES_SOFTDEP } from './module-index.js'
import { isModule, readModuleSource } from './module-source.js'

const IS_MODULE = /\.m?js$/
const HEADER = '# Written by khelper depmod.\n'

interface Found {
  readonly name: string
  /** Within the folder. */
  readonly path: string
  readonly depends: readonly string[]
  readonly aliases: readonly string[]
  readonly softdeps: readonly string[]
}

export interface DepmodResult {
  readonly modules: number
  /** What was met, and stands in the way of nothing. */
  readonly warnings: readonly string[]
}

/**
 * Writes modules.dep, modules.alias and modules.softdep into a folder. Modules are read, not run.
 * @throws SystemError ENOENT, EACCES; ELOOP for modules that need each other, with nothing written
 */
export function depmod(directory: string): DepmodResult {
  const warnings: string[] = []
  const modules = new Map<string, Found>()
  for (const path of modulePaths(directory)) {
    const found = read(directory, path, warnings)
    if (found === undefined) continue
    const other = modules.get(found.name)
    if (other === undefined) modules.set(found.name, found)
    else warnings.push(`${join(directory, path)} has the name of ${other.path}, and is left out`)
  }
  const known = new Map<string, readonly Found[]>()
  const lines = [...modules.values()].map(module => {
    const needs = needed(module, modules, directory, warnings, known, new Set())
    return `${module.path}:${needs.map(need => ` ${need.path}`).join('')}\n`
  })
  const each = (line: (module: Found) => readonly string[]) => [...modules.values()].flatMap(line).join('')
  write(
    directory,
    MODULES_ALIAS,
    HEADER + each(({ name, aliases }) => aliases.map(alias => `alias ${alias} ${name}\n`)),
  )
  write(
    directory,
    MODULES_SOFTDEP,
    HEADER + each(({ name, softdeps }) => softdeps.map(softdep => `softdep ${name} ${softdep}\n`)),
  )
  // Last, as readers know by it that there is something new.
  write(directory, MODULES_DEP, lines.join(''))
  return { modules: modules.size, warnings: [...new Set(warnings)] }
}

function modulePaths(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter(path => IS_MODULE.test(path) && !/(^|\/)node_modules\//.test(path))
      .sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SystemError(
      code === 'EACCES' || code === 'ENOTDIR' ? code : 'ENOENT',
      `no such folder of modules: ${directory}`,
      { path: directory, cause: error },
    )
  }
}

/** @returns `undefined` for a file that is no module of the kernel */
function read(directory: string, path: string, warnings: string[]): Found | undefined {
  try {
    const { values, exports } = readModuleSource(join(directory, path))
    if (!isModule(exports)) return undefined
    if (!isModuleName(moduleName(path))) {
      warnings.push(`${NAME_RULE}: ${JSON.stringify(join(directory, path))} is left out`)
      return undefined
    }
    const list = (name: string): readonly string[] => {
      const value = values[name] as string | readonly string[] | undefined
      return listOf(value).map(String)
    }
    const softdeps = list('softdep').filter(softdep => {
      const problem = parseSoftdep(softdep.split(/\s+/))
      if (typeof problem === 'string') warnings.push(`${join(directory, path)}: ${problem}`)
      return typeof problem !== 'string'
    })
    const aliases = list('alias').flatMap(alias => {
      const pattern = normalAlias(alias)
      if (pattern === undefined) {
        warnings.push(`${join(directory, path)}: not an alias: '${alias}'; ${ALIAS_RULE}`)
      }
      return pattern ?? []
    })
    return {
      name: moduleName(path),
      path,
      depends: list('depends').map(sameName),
      aliases,
      softdeps,
    }
  } catch (error) {
    if (!isSystemError(error)) throw error
    warnings.push(error.message)
    return undefined
  }
}

/** All that a module needs, what is to be loaded first at the end. */
function needed(
  module: Found,
  modules: ReadonlyMap<string, Found>,
  directory: string,
  warnings: string[],
  known: Map<string, readonly Found[]>,
  above: Set<string>,
): readonly Found[] {
  const before = known.get(module.name)
  if (before !== undefined) return before
  if (above.has(module.name)) {
    const names = [...above]
    const cycle = [...names.slice(names.indexOf(module.name)), module.name].join(' -> ')
    throw new SystemError('ELOOP', `modules need each other: ${cycle}`, { path: directory })
  }
  const order = new Set<Found>()
  above.add(module.name)
  for (const name of module.depends) {
    const need = modules.get(name)
    if (need === undefined) {
      warnings.push(`${join(directory, module.path)} depends on ${name}, which is not there`)
      continue
    }
    for (const other of [need, ...needed(need, modules, directory, warnings, known, above)]) {
      // Whoever comes again is needed by more, and is to be loaded earlier.
      order.delete(other)
      order.add(other)
    }
  }
  above.delete(module.name)
  known.set(module.name, [...order])
  return [...order]
}

/** Whoever reads it meanwhile has the old one or the new one. */
function write(directory: string, name: string, text: string): void {
  const path = join(directory, name)
  try {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SystemError(code === 'ENOSPC' || code === 'EROFS' ? code : 'EACCES', `cannot write ${path}`, {
      path,
      cause: error,
    })
  }
}
