/**
 * `khelper modinfo`.
 */

import { resolve } from 'node:path'
import { readModuleSource } from '../../applications/kmod/modprobe/module-source.js'
import { listOf, type ModuleExports } from '../../applications/kmod/module-exports.js'
import { moduleName } from '../../applications/kmod/module-file.js'
import type { ParameterDetails } from '../../applications/kmod/parameters.js'
import { isSystemError } from '../../kernel/errors.js'

const LABEL_WIDTH = 16

export function modinfo(files: readonly string[], { field }: { readonly field?: string }): void {
  for (const file of files) {
    try {
      for (const [name, value] of fieldsOf(resolve(file))) {
        if (field === undefined) console.log(`${`${name}:`.padEnd(LABEL_WIDTH)}${value}`)
        else if (field === name) console.log(value)
      }
    } catch (error) {
      if (!isSystemError(error)) throw error
      console.error(`khelper: ${error.message}`)
      process.exitCode = 1
    }
  }
}

function fieldsOf(path: string): (readonly [string, string])[] {
  const { values } = readModuleSource(path)
  const exports = values as ModuleExports
  const fields: (readonly [string, string])[] = [
    ['filename', path],
    ['name', moduleName(path)],
  ]
  for (const name of ['license', 'description', 'author', 'version', 'alias', 'softdep'] as const) {
    for (const value of listOf(exports[name])) fields.push([name, value])
  }
  fields.push(['depends', listOf(exports.depends).join(',')])
  for (const [name, declaration] of Object.entries(exports.params ?? {})) {
    const { type, description = '' }: Partial<ParameterDetails> =
      typeof declaration === 'string' ? { type: declaration } : (declaration ?? {})
    fields.push(['parm', `${name}:${description === '' ? '' : `${description} `}(${type ?? '?'})`])
  }
  return fields
}
