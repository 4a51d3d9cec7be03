/**
 * What an ES module has to export to be a module of the kernel.
 */
import type { Kernel } from '../../kernel/kernel.js'
import type { ParameterDeclaration, ParameterValue } from './parameters.js'

/** A module's handle on itself (THIS_MODULE): whoever uses something of it holds a reference meanwhile. */
export interface ModuleOwner {
  readonly name: string
  /** Takes a reference; `false` if the module is on its way out (try_module_get). */
  tryGet(): boolean
  /** Gives one back (module_put). */
  put(): void
}

/** What `init` and `exit` are given. */
export interface ModuleContext {
  /** The kernel that loads the module. */
  readonly kernel: Kernel
  /** THIS_MODULE. */
  readonly module: ModuleOwner
  /** The values of its parameters, which change when they are written to. */
  readonly params: Readonly<Record<string, ParameterValue>>
  /**
   * What the kernel and the modules that this one `depends` on export. Reading one that nobody exports throws ENOENT.
   */
  readonly symbols: Readonly<Record<string, unknown>>
}

/** The exports of a loadable module. All but one of `init` and `license` may be left out. */
export interface ModuleExports {
  /** Runs when the module is loaded (module_init): 0 or nothing, or a negative number if it cannot be. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is as good
  readonly init?: (context: ModuleContext) => number | void | Promise<number | void>
  /** Runs when it is unloaded (module_exit). A module with `init` and without `exit` stays for ever. */
  readonly exit?: (context: ModuleContext) => void | Promise<void>
  readonly license?: string
  readonly description?: string
  readonly author?: string | readonly string[]
  readonly version?: string
  readonly params?: Readonly<Record<string, ParameterDeclaration>>
  /** Other names, with `*` and `?`, by which it can be asked for. */
  readonly alias?: string | readonly string[]
  /** Modules that must be loaded before. */
  readonly depends?: string | readonly string[]
  /** Modules that it can do without: `'pre: a b post: c'`. */
  readonly softdep?: string | readonly string[]
  /** What other modules may use of it (EXPORT_SYMBOL). */
  readonly symbols?: Readonly<Record<string, unknown>>
}

/** One or several, as a list. */
export const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value

const isText = (value: unknown): boolean => value === undefined || typeof value === 'string'
const isTexts = (value: unknown): boolean =>
  isText(value) || (Array.isArray(value) && value.every(each => typeof each === 'string'))
const isRecord = (value: unknown): boolean =>
  value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))
const isFunction = (value: unknown): boolean => value === undefined || typeof value === 'function'

const CHECKS: { readonly [Name in keyof ModuleExports]-?: readonly [(value: unknown) => boolean, string] } = {
  init: [isFunction, 'a function'],
  exit: [isFunction, 'a function'],
  license: [isText, 'a string'],
  description: [isText, 'a string'],
  author: [isTexts, 'a string or an array of strings'],
  version: [isText, 'a string'],
  params: [isRecord, 'an object'],
  alias: [isTexts, 'a string or an array of strings'],
  depends: [isTexts, 'a string or an array of strings'],
  softdep: [isTexts, 'a string or an array of strings'],
  symbols: [isRecord, 'an object'],
}

/** @returns what makes it no module of the kernel, or `undefined` */
export function formatProblem(exports: Readonly<Record<string, unknown>>): string | undefined {
  if (exports['init'] === undefined && exports['license'] === undefined) {
    return 'it exports neither init nor license'
  }
  return typeProblem(exports)
}

/** @returns which export is not what it has to be, or `undefined` */
export function typeProblem(exports: Readonly<Record<string, unknown>>): string | undefined {
  for (const [name, [check, expected]] of Object.entries(CHECKS)) {
    if (!check(exports[name])) return `its export ${name} must be ${expected}`
  }
  return undefined
}

/** Licenses that do not taint the kernel (license_is_gpl_compatible), and those that Node's packages go by. */
const FREE_LICENSES: readonly string[] = [
  'GPL',
  'GPL v2',
  'GPL and additional rights',
  'Dual BSD/GPL',
  'Dual MIT/GPL',
  'Dual MPL/GPL',
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
]

export const isFreeLicense = (license: string | undefined): boolean =>
  license !== undefined && FREE_LICENSES.includes(license)
