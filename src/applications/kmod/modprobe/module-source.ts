/**
 * Reads what a module says of itself without running it: the values of its exports, which have to be literals for that.
 */
import {
  type Expression,
  type Identifier,
  type Node,
  Parser,
  type Pattern,
  type VariableDeclaration,
} from 'acorn'
import { isSystemError, SystemError } from '../../../kernel/errors.js'
import { typeProblem } from '../module-exports.js'
import { readRegularFile } from './regular-file.js'

/** The exports that are read; `init` and `exit` only for their being there. */
const READ: readonly string[] = [
  'license',
  'description',
  'author',
  'version',
  'alias',
  'depends',
  'softdep',
  'params',
]

/** Elements and properties of a file's exports, all together: names of names could multiply without end. */
const MOST_ELEMENTS = 100_000

export interface ModuleSource {
  readonly values: Readonly<Record<string, unknown>>
  /** The names of all exports. */
  readonly exports: ReadonlySet<string>
}

/** @throws SystemError ENOENT, EACCES, EINVAL for what is no regular file, ENOEXEC with file, line and what is wrong */
export function readModuleSource(path: string): ModuleSource {
  let text: string
  try {
    text = readRegularFile(path)
  } catch (error) {
    if (isSystemError(error)) throw error
    const code = (error as NodeJS.ErrnoException).code === 'EACCES' ? 'EACCES' : 'ENOENT'
    throw new SystemError(code, `no such module file: ${path}`, { path, cause: error })
  }
  return parseModuleSource(text, path)
}

export function parseModuleSource(text: string, path: string): ModuleSource {
  const program = parseText(text, path)
  const exports = new Set<string>()
  const values: Record<string, unknown> = {}
  const constants = new Map<string, Expression>()
  const literals = new Literals(constants, path)
  const read = (name: string, local: string) => {
    exports.add(name)
    const value = constants.get(local)
    if (value !== undefined && READ.includes(name)) values[name] = literals.read(value, name)
  }
  for (const statement of program.body) {
    const declaration =
      statement.type === 'ExportNamedDeclaration' ? statement.declaration : (statement as Node)
    if (declaration?.type === 'VariableDeclaration') {
      for (const { id, init } of (declaration as VariableDeclaration).declarations) {
        if (id.type === 'Identifier' && init) constants.set(id.name, init)
      }
    }
  }
  for (const statement of program.body) {
    if (statement.type === 'ExportAllDeclaration' || statement.type !== 'ExportNamedDeclaration') continue
    const { declaration, specifiers } = statement
    if (declaration?.type === 'VariableDeclaration') {
      for (const { id } of declaration.declarations) for (const name of namesIn(id)) read(name, name)
    } else if (declaration?.id) exports.add(declaration.id.name)
    for (const { exported, local } of specifiers) {
      if (exported.type === 'Identifier' && local.type === 'Identifier') read(exported.name, local.name)
    }
  }
  const problem = isModule(exports) ? typeProblem(values) : undefined
  if (problem !== undefined) throw new SystemError('ENOEXEC', `${path}: ${problem}`, { path })
  return { values, exports }
}

/** Whether what a file exports makes it a module of the kernel. */
export const isModule = (exports: ReadonlySet<string>): boolean =>
  exports.has('init') || exports.has('license')

/** @returns what is wrong with a file's syntax and where, or `undefined` */
export function readModuleSyntax(path: string): string | undefined {
  try {
    parseText(readRegularFile(path), path)
    return undefined
  } catch (error) {
    return isSystemError(error) ? error.message : undefined
  }
}

/** A scope's names: acorn looks for each new one among all those before it. */
class Names extends Array<string> {
  readonly #known = new Set<string>()

  override push(...names: string[]): number {
    for (const name of names) this.#known.add(name)
    return super.push(...names)
  }

  override indexOf(name: string): number {
    return this.#known.has(name) ? 0 : -1
  }
}

interface Scope {
  var: string[]
  lexical: string[]
  functions: string[]
}

/** What acorn's types keep to itself, and may have changed with its next version: then it is as slow as it was. */
interface Scopes {
  readonly scopeStack?: readonly Scope[]
  enterScope(flags: number): void
}

const ScopedParser = Parser as unknown as Pick<typeof Parser, 'parse'> & (new () => Scopes)

class ModuleParser extends ScopedParser {
  override enterScope(flags: number): void {
    super.enterScope(flags)
    const scope = this.scopeStack?.at(-1)
    if (scope !== undefined)
      Object.assign(scope, { var: new Names(), lexical: new Names(), functions: new Names() })
  }
}

function parseText(text: string, path: string) {
  try {
    return ModuleParser.parse(text, {
      ecmaVersion: 'latest',
      sourceType: 'module',
      locations: true,
      allowHashBang: true,
    })
  } catch (error) {
    const { loc, message } = error as Error & { readonly loc?: { readonly line: number } }
    throw new SystemError('ENOEXEC', `not an ES module: ${path}:${loc?.line ?? 1}: ${message}`, {
      path,
      cause: error,
    })
  }
}

const namesIn = (pattern: Pattern): string[] => (pattern.type === 'Identifier' ? [pattern.name] : [])

/** What expressions of literals are worth. */
class Literals {
  readonly #constants: ReadonlyMap<string, Expression>
  readonly #path: string
  /** What names are worth that have been met. */
  readonly #known = new Map<string, unknown>()
  /** Names that are being looked up: one that comes again is made of itself. */
  readonly #looking = new Set<string>()
  #elements = 0

  constructor(constants: ReadonlyMap<string, Expression>, path: string) {
    this.#constants = constants
    this.#path = path
  }

  /**
   * @param name of the export
   * @throws SystemError ENOEXEC for what has to be computed, is made of itself, or is too much
   */
  read(expression: Expression, name: string): unknown {
    try {
      const value = this.#worth(expression, name)
      this.#count(value, expression, name)
      return value
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw this.#problem(expression, `the export ${name} is nested too deeply`)
    }
  }

  #worth(expression: Expression, name: string): unknown {
    switch (expression.type) {
      case 'Literal':
        return expression.value
      case 'TemplateLiteral':
        if (expression.expressions.length === 0) return expression.quasis[0]?.value.cooked
        break
      case 'UnaryExpression': {
        const value = expression.operator === '-' ? this.#worth(expression.argument, name) : undefined
        if (typeof value === 'number' || typeof value === 'bigint') return -value
        break
      }
      case 'ArrayExpression':
        return expression.elements.map(element => {
          if (element === null || element.type === 'SpreadElement') throw this.#notLiteral(expression, name)
          return this.#worth(element, name)
        })
      case 'ObjectExpression':
        return Object.fromEntries(
          expression.properties.map(property => {
            if (property.type !== 'Property' || property.computed) throw this.#notLiteral(property, name)
            const key =
              property.key.type === 'Identifier' ? property.key.name : this.#worth(property.key, name)
            return [String(key), this.#worth(property.value, name)]
          }),
        )
      case 'Identifier':
        return this.#named(expression, name)
    }
    throw this.#notLiteral(expression, name)
  }

  #named(identifier: Identifier, name: string): unknown {
    const constant = this.#constants.get(identifier.name)
    if (constant === undefined || this.#looking.has(identifier.name)) throw this.#notLiteral(identifier, name)
    if (this.#known.has(identifier.name)) return this.#known.get(identifier.name)
    this.#looking.add(identifier.name)
    const value = this.#worth(constant, name)
    this.#looking.delete(identifier.name)
    this.#known.set(identifier.name, value)
    return value
  }

  /** Names that stand for the same value share it, so what they are worth may be far more than what is written. */
  #count(value: unknown, node: Node, name: string): void {
    this.#elements += 1
    if (this.#elements > MOST_ELEMENTS) {
      throw this.#problem(node, `the export ${name} has more than ${MOST_ELEMENTS} elements`)
    }
    if (typeof value !== 'object' || value === null) return
    for (const each of Object.values(value)) this.#count(each, node, name)
  }

  #notLiteral(node: Node, name: string): SystemError {
    return this.#problem(
      node,
      `the export ${name} must be written out, to be read without running the module`,
    )
  }

  #problem(node: Node, what: string): SystemError {
    const path = this.#path
    return new SystemError('ENOEXEC', `${path}:${node.loc?.start.line ?? 1}: ${what}`, { path })
  }
}
