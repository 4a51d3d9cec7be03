/**
 * From a file to what it exports.
 */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SystemError, wrongType } from '../../kernel/errors.js'
import { formatProblem, type ModuleExports } from './module-exports.js'
import { sameName } from './parameters.js'
import { propertyOf, textOf } from './thrown.js'

/** The longest name of a module, with the NUL that ends it in C (MODULE_NAME_LEN). */
export const MODULE_NAME_BYTES = 56

const EXTENSION = /\.[cm]?[jt]s$/
const TYPESCRIPT = /\.[cm]?ts$/
/** A name stands in lines of text, in paths and in lists with commas. */
const NAME = /^\w+$/

/** Where a module is and what it is called: its file's name without the extension, with `_` for `-`. */
export interface ModuleFile {
  readonly name: string
  readonly url: string
  readonly size: number
}

/**
 * Finds a module's file.
 * @param file a path, or a `file:` URL
 * @throws SystemError ENOENT, EACCES, …; ENOEXEC for what can be no module; ENAMETOOLONG
 */
export async function findModule(file: string | URL): Promise<ModuleFile> {
  const path = pathOf(file)
  const name = moduleName(path)
  if (!EXTENSION.test(path)) {
    throw new SystemError('ENOEXEC', `not an ES module by its name (.js, .mjs): ${path}`, {
      syscall: 'init_module',
      path,
    })
  }
  if (!isModuleName(name)) {
    throw new SystemError('EINVAL', `${NAME_RULE}: ${JSON.stringify(path)}`, { syscall: 'init_module', path })
  }
  if (Buffer.byteLength(name) >= MODULE_NAME_BYTES) {
    throw new SystemError(
      'ENAMETOOLONG',
      `a module's name has at most ${MODULE_NAME_BYTES - 1} bytes: ${name}`,
      {
        syscall: 'init_module',
        path,
      },
    )
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const code = error.code === 'ENOTDIR' || error.code === 'EACCES' ? error.code : 'ENOENT'
    throw new SystemError(code, `no such module file: ${path}`, {
      syscall: 'init_module',
      path,
      cause: error,
    })
  })
  if (!found.isFile()) {
    throw new SystemError('EINVAL', `not a regular file: ${path}`, { syscall: 'init_module', path })
  }
  return { name, url: pathToFileURL(path).href, size: found.size }
}

export const isModuleName = (name: string): boolean => NAME.test(name)
export const NAME_RULE = "a module's file is named with letters, digits, - and _"

export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1)
  return sameName(file.replace(EXTENSION, ''))
}

function pathOf(file: unknown): string {
  if (file instanceof URL || (typeof file === 'string' && file.startsWith('file:'))) {
    try {
      return fileURLToPath(file)
    } catch (error) {
      throw new SystemError('EINVAL', `not the URL of a file: ${file}`, { cause: error })
    }
  }
  if (typeof file !== 'string') throw wrongType('file', 'a path or a file: URL', file)
  if (file.includes('\0')) throw wrongType('file', 'a path without NUL', file)
  return resolve(file)
}

/** How often each file has been loaded: Node keeps a module that it has once imported. */
const loads = new Map<string, number>()

/**
 * Runs a module's file. Each load is an instance of its own, with variables of its own; Node frees none of them.
 * @throws SystemError ENOEXEC, with what was thrown as its cause; ENOENT for an import of it that cannot be found
 */
export async function importModule({ url, name }: ModuleFile): Promise<ModuleExports> {
  const path = fileURLToPath(url)
  const load = loads.get(url) ?? 0
  loads.set(url, load + 1)
  let exports: Readonly<Record<string, unknown>>
  try {
    exports = (await import(load === 0 ? url : `${url}?load=${load}`)) as Readonly<Record<string, unknown>>
  } catch (error) {
    const missing = propertyOf(error, 'code') === 'ERR_MODULE_NOT_FOUND'
    const problem = (error instanceof SyntaxError ? await syntaxProblem(path) : undefined) ?? textOf(error)
    throw new SystemError(
      missing ? 'ENOENT' : 'ENOEXEC',
      `module ${name} cannot be ${missing ? 'linked' : 'run'}: ${problem}`,
      { syscall: 'init_module', path, cause: error },
    )
  }
  const problem = formatProblem(exports)
  if (problem !== undefined) {
    throw new SystemError('ENOEXEC', `not a module of the kernel, ${problem}: ${path}`, {
      syscall: 'init_module',
      path,
    })
  }
  return exports as ModuleExports
}

/** Node does not say where. @returns `undefined` if the file itself is sound, and what it imports is not */
async function syntaxProblem(path: string): Promise<string | undefined> {
  if (TYPESCRIPT.test(path)) return undefined
  const { readModuleSyntax } = await import('./modprobe/module-source.js')
  return readModuleSyntax(path)
}
