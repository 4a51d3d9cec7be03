/**
 * Reads what a module says of itself without running it: the values of its exports, which have to be literals for that.
 */
import { readFileSync } from 'node:fs'
import { type Expression, type Node, type Pattern, parse, type VariableDeclaration } from 'acorn'
import { SystemError } from '../../../kernel/errors.js'

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

export interface ModuleSource {
  readonly values: Readonly<Record<string, unknown>>
  /** The names of all exports. */
  readonly exports: ReadonlySet<string>
}

/** @throws SystemError ENOENT, ENOEXEC with file, line and what is wrong */
export function readModuleSource(path: string): ModuleSource {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
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
  const read = (name: string, local: string) => {
    exports.add(name)
    const value = constants.get(local)
    if (value !== undefined && READ.includes(name)) values[name] = literal(value, constants, path, name)
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
  return { values, exports }
}

function parseText(text: string, path: string) {
  try {
    return parse(text, { ecmaVersion: 'latest', sourceType: 'module', locations: true, allowHashBang: true })
  } catch (error) {
    const { loc, message } = error as Error & { readonly loc?: { readonly line: number } }
    throw new SystemError('ENOEXEC', `not an ES module: ${path}:${loc?.line ?? 1}: ${message}`, {
      path,
      cause: error,
    })
  }
}

const namesIn = (pattern: Pattern): string[] => (pattern.type === 'Identifier' ? [pattern.name] : [])

/** What an expression of literals is worth. */
function literal(
  expression: Expression,
  constants: ReadonlyMap<string, Expression>,
  path: string,
  name: string,
): unknown {
  const worth = (inner: Expression) => literal(inner, constants, path, name)
  switch (expression.type) {
    case 'Literal':
      return expression.value
    case 'TemplateLiteral':
      if (expression.expressions.length === 0) return expression.quasis[0]?.value.cooked
      break
    case 'UnaryExpression': {
      const value = expression.operator === '-' ? worth(expression.argument) : undefined
      if (typeof value === 'number' || typeof value === 'bigint') return -value
      break
    }
    case 'ArrayExpression':
      return expression.elements.map(element => {
        if (element === null || element.type === 'SpreadElement') throw notLiteral(expression, path, name)
        return worth(element)
      })
    case 'ObjectExpression':
      return Object.fromEntries(
        expression.properties.map(property => {
          if (property.type !== 'Property' || property.computed) throw notLiteral(property, path, name)
          const key = property.key.type === 'Identifier' ? property.key.name : worth(property.key)
          return [String(key), worth(property.value)]
        }),
      )
    case 'Identifier': {
      const constant = constants.get(expression.name)
      if (constant !== undefined && constant !== expression) return worth(constant)
      break
    }
  }
  throw notLiteral(expression, path, name)
}

function notLiteral(node: Node, path: string, name: string): SystemError {
  const line = node.loc?.start.line ?? 1
  return new SystemError(
    'ENOEXEC',
    `${path}:${line}: the export ${name} must be written out, to be read without running the module`,
    { path },
  )
}
