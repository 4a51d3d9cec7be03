/**
 * Turns a module into coroutines: the same code, in which every operation on shared memory gives control to a scheduler.
 *
 * Every function becomes a generator; every call whose result is such a generator is run to its end in place (`yield*`),
 * and every `Atomics` operation is a `yield`. An async function runs as a task of its logical thread, `await` is a yield,
 * too. What cannot be a generator (constructors, field initialisers, setters, most callbacks of built-in functions, the
 * top of a module) runs to its end without a switch in between.
 *
 * A plain access to an element is told to the runtime, which looks for data races, and is no place to switch: in a
 * program without data races the order of plain accesses follows from that of the atomic ones.
 */
import { parse } from 'acorn'
import { generate } from 'astring'

/** A node whose kind has been looked at: its parts by name. */
// biome-ignore lint/suspicious/noExplicitAny: the parts of a syntax tree are told apart at run time
type Tree = any

/** How code is run: as part of a coroutine, or to its end. */
type Mode = 'coroutine' | 'direct'

/** Code that cannot be explored. */
export class UnsupportedCode extends Error {
  override readonly name = 'UnsupportedCode'
  readonly code = 'ERR_KHELPER_UNSUPPORTED'
}

export interface Parsed {
  readonly tree: Tree
  readonly file: string
  /** What the module imports from. */
  readonly imports: readonly string[]
  /** Names of accessors, which may touch shared memory when they are read. */
  readonly accessors: ReadonlySet<string>
}

function parsed(text: string, file: string): Tree {
  try {
    return parse(text, {
      ecmaVersion: 'latest',
      sourceType: 'module',
      locations: true,
      allowHashBang: true,
    })
  } catch (error) {
    if (error instanceof SyntaxError) error.message = `${file}: ${error.message}`
    throw error
  }
}

/**
 * @param file for messages and stack traces
 * @throws SyntaxError
 */
export function parseSource(text: string, file: string): Parsed {
  const tree = parsed(text, file)
  const imports: string[] = []
  const accessors = new Set<string>()
  visit(tree, node => {
    if (/^(Import|Export(Named|All))Declaration$/.test(node.type) && node.source)
      imports.push(node.source.value)
    const accessor = (node.type === 'MethodDefinition' || node.type === 'Property') && node.kind === 'get'
    if (accessor && !node.computed) accessors.add(node.key.name ?? String(node.key.value))
  })
  return { tree, file, imports, accessors }
}

/**
 * @param accessors the names of all accessors of all modules that are loaded together
 * @param place names a line of the source
 * @returns the body of a function of `$`, `$import` and `$export`
 */
export function transformModule(
  parsed: Parsed,
  accessors: ReadonlySet<string>,
  place: (line: number, column: number) => string,
): string {
  const transformer = new Transformer(accessors, place)
  return `"use strict";\n${generate(transformer.module(parsed.tree))}`
}

function visit(node: Tree, look: (node: Tree) => void): void {
  if (Array.isArray(node)) for (const each of node) visit(each, look)
  else if (typeof node?.type === 'string') {
    look(node)
    for (const key of Object.keys(node)) if (typeof node[key] === 'object') visit(node[key], look)
  }
}

const id = (name: string): Tree => ({ type: 'Identifier', name })
const literal = (value: unknown): Tree => ({ type: 'Literal', value, raw: JSON.stringify(value) })
const member = (object: Tree, name: string): Tree => ({
  type: 'MemberExpression',
  object,
  property: id(name),
  computed: false,
  optional: false,
})
const call = (callee: Tree, args: readonly Tree[]): Tree => ({
  type: 'CallExpression',
  callee,
  arguments: args,
  optional: false,
})
const runtime = (name: string, ...args: readonly Tree[]): Tree => call(member(id('$'), name), args)
const yieldOf = (argument: Tree, delegate = false): Tree => ({ type: 'YieldExpression', argument, delegate })
const returnOf = (argument: Tree): Tree => ({ type: 'ReturnStatement', argument })
const block = (body: readonly Tree[]): Tree => ({ type: 'BlockStatement', body })
const expression = (inner: Tree): Tree => ({ type: 'ExpressionStatement', expression: inner })
const THIS = { type: 'ThisExpression' }

const generator = (params: readonly Tree[], body: Tree, name: Tree = null): Tree => ({
  type: 'FunctionExpression',
  id: name,
  params,
  body,
  generator: true,
  async: false,
})
/** Runs a generator's body with the `this` of where it stands. */
const bound = (body: Tree): Tree => call(member(generator([], body), 'call'), [THIS])

const isFunction = (node: Tree): boolean =>
  node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'

/** Whether a function's own `this` occurs in it. */
function usesThis(node: Tree): boolean {
  if (Array.isArray(node)) return node.some(usesThis)
  if (typeof node?.type !== 'string') return false
  if (node.type === 'ThisExpression' || node.type === 'Super') return true
  if (node.type === 'FunctionExpression' || node.type === 'FunctionDeclaration') return false
  return Object.keys(node).some(key => typeof node[key] === 'object' && usesThis(node[key]))
}

class Transformer {
  readonly #accessors: ReadonlySet<string>
  readonly #place: (line: number, column: number) => string

  constructor(accessors: ReadonlySet<string>, place: (line: number, column: number) => string) {
    this.#accessors = accessors
    this.#place = place
  }

  module(tree: Tree): Tree {
    const hoisted: Tree[] = []
    const body: Tree[] = []
    for (const statement of tree.body) this.#moduleStatement(statement, hoisted, body)
    return { type: 'Program', sourceType: 'script', body: [...hoisted, ...body] }
  }

  #moduleStatement(node: Tree, hoisted: Tree[], body: Tree[]): void {
    const source = node.source && runtimeImport(node.source)
    switch (node.type) {
      case 'ImportDeclaration':
        for (const specifier of node.specifiers) hoisted.push(importStatement(specifier, source))
        if (node.specifiers.length === 0) hoisted.push(expression(source))
        return
      case 'ExportAllDeclaration':
        hoisted.push(
          expression(
            node.exported ? exportCall(node.exported, source) : call(member(id('$export'), 'all'), [source]),
          ),
        )
        return
      case 'ExportDefaultDeclaration': {
        const { declaration } = node
        if (declaration.id) {
          body.push(this.#statement(declaration, 'direct'))
          hoisted.push(expression(exportCall(id('default'), declaration.id)))
        } else {
          const value = { ...declaration, type: declaration.type.replace('Declaration', 'Expression') }
          body.push(expression(exportCall(id('default'), this.#expression(value, 'direct'))))
        }
        return
      }
      case 'ExportNamedDeclaration':
        for (const { local, exported } of node.specifiers) {
          hoisted.push(expression(exportCall(exported, node.source ? member(source, local.name) : local)))
        }
        if (node.declaration) {
          body.push(this.#statement(node.declaration, 'direct'))
          for (const name of declaredNames(node.declaration))
            hoisted.push(expression(exportCall(id(name), id(name))))
        }
        return
      default:
        body.push(this.#statement(node, 'direct'))
    }
  }

  #unsupported(node: Tree, what: string): UnsupportedCode {
    return new UnsupportedCode(
      `${what} cannot be explored: ${this.#at(node)}; take it out of the code under test`,
    )
  }

  #at(node: Tree): string {
    return this.#place(node.loc.start.line, node.loc.start.column)
  }

  #statement(node: Tree, mode: Mode): Tree {
    return this.#any(node, mode)
  }

  #expression(node: Tree, mode: Mode): Tree {
    return this.#any(node, mode)
  }

  #list(nodes: readonly Tree[], mode: Mode): Tree[] {
    return nodes.map(node => (node === null ? null : this.#any(node, mode)))
  }

  /** Every part of a node, as it is. */
  #parts(node: Tree, mode: Mode): Tree {
    const copy: Tree = { ...node }
    for (const key of Object.keys(node)) {
      const part = node[key]
      if (key === 'loc' || typeof part !== 'object' || part === null) continue
      if (Array.isArray(part)) copy[key] = this.#list(part, mode)
      else if (typeof part.type === 'string') copy[key] = this.#any(part, mode)
    }
    return copy
  }

  #any(node: Tree, mode: Mode): Tree {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'FunctionExpression':
        return this.#function(node)
      case 'ArrowFunctionExpression':
        return this.#arrow(node)
      case 'MethodDefinition':
        return this.#method(node, mode)
      case 'Property':
        return node.kind === 'init' ? this.#property(node, mode) : this.#method(node, mode)
      case 'PropertyDefinition':
        return { ...node, key: this.#key(node, mode), value: node.value && this.#any(node.value, 'direct') }
      case 'StaticBlock':
        return { ...node, body: this.#list(node.body, 'direct') }
      case 'CallExpression':
        return this.#call(node, mode)
      case 'NewExpression':
        return this.#new(node, mode)
      case 'ChainExpression':
        return this.#settle(this.#chain(node, mode), mode)
      case 'MemberExpression':
        return this.#read(node, mode)
      case 'AssignmentExpression':
        return this.#assignment(node, mode)
      case 'UpdateExpression':
        return this.#update(node, mode)
      case 'UnaryExpression':
        return node.operator === 'delete'
          ? { ...node, argument: this.#parts(node.argument, mode) }
          : this.#parts(node, mode)
      case 'AwaitExpression':
        if (mode === 'direct') throw this.#unsupported(node, 'await here')
        return yieldOf(runtime('await', this.#any(node.argument, mode)))
      case 'ForOfStatement':
        if (node.await) throw this.#unsupported(node, 'for await')
        return this.#parts(node, mode)
      case 'MetaProperty':
        return node.meta.name === 'import' ? member(id('$'), 'meta') : node
      case 'ImportExpression':
        throw this.#unsupported(node, 'import()')
      case 'AssignmentPattern':
      case 'ObjectPattern':
      case 'ArrayPattern':
        return this.#parts(node, mode)
      default:
        return this.#parts(node, mode)
    }
  }

  #key(node: Tree, mode: Mode): Tree {
    return node.computed ? this.#any(node.key, mode) : node.key
  }

  #property(node: Tree, mode: Mode): Tree {
    const key = this.#key(node, mode)
    const value = this.#any(node.value, mode)
    // A method of an object stays one, for the sake of its name.
    return { ...node, key, value, shorthand: node.shorthand && value.type === 'Identifier' }
  }

  #params(params: readonly Tree[]): Tree[] {
    return this.#list(params, 'direct')
  }

  #body(node: Tree, mode: Mode = 'coroutine'): Tree {
    return block(this.#list(node.body, mode))
  }

  #function(node: Tree): Tree {
    const params = this.#params(node.params)
    if (node.async) {
      if (node.generator) throw this.#unsupported(node, 'an async generator')
      const task = runtime('spawn', bound(this.#body(node.body)))
      return { ...node, params, async: false, body: block([returnOf(task)]) }
    }
    if (node.generator) {
      const steps = runtime('iterate', bound(this.#body(node.body, 'direct')))
      return { ...node, params, generator: false, body: block([returnOf(steps)]) }
    }
    return { ...node, params, generator: true, body: this.#body(node.body) }
  }

  #arrow(node: Tree): Tree {
    const params = this.#params(node.params)
    const body = node.expression
      ? block([returnOf(this.#any(node.body, 'coroutine'))])
      : this.#body(node.body)
    if (node.async) {
      return { ...node, params, async: false, expression: true, body: runtime('spawn', bound(body)) }
    }
    const plain = generator(params, body)
    return usesThis(node.body) ? call(member(plain, 'bind'), [THIS]) : plain
  }

  #method(node: Tree, mode: Mode): Tree {
    const key = this.#key(node, mode)
    const { value } = node
    if (node.kind === 'constructor') {
      const body = this.#body(value.body, 'direct')
      return { ...node, key, value: { ...value, params: this.#params(value.params), body } }
    }
    if (node.kind === 'get') {
      return { ...node, key, value: { ...value, body: block([returnOf(bound(this.#body(value.body)))]) } }
    }
    if (node.kind === 'set') {
      const run = runtime('run', bound(this.#body(value.body)))
      return {
        ...node,
        key,
        value: { ...value, params: this.#params(value.params), body: block([expression(run)]) },
      }
    }
    return { ...node, key, value: this.#function(value) }
  }

  /** What a call has given: a coroutine is run to its end. */
  #settle(value: Tree, mode: Mode): Tree {
    if (mode === 'direct') return runtime('run', value)
    const kept = member(id('$'), 'v')
    return {
      type: 'ConditionalExpression',
      test: {
        type: 'BinaryExpression',
        operator: 'instanceof',
        left: { type: 'AssignmentExpression', operator: '=', left: kept, right: value },
        right: member(id('$'), 'Coroutine'),
      },
      consequent: yieldOf(kept, true),
      alternate: kept,
    }
  }

  #call(node: Tree, mode: Mode): Tree {
    const { callee } = node
    const args = this.#list(node.arguments, mode)
    if (callee.type === 'Super') return { ...node, arguments: args }
    const isMember = callee.type === 'MemberExpression'
    if (isMember && !callee.computed && callee.object.name === 'Atomics') {
      const operation = [literal(callee.property.name), literal(this.#at(node)), ...args]
      return mode === 'direct' ? runtime('atomicNow', ...operation) : yieldOf(runtime('atomic', ...operation))
    }
    return this.#settle(this.#plainCall(node, callee, args, mode), mode)
  }

  /** A promise's executor may switch; any other constructor runs to its end. */
  #new(node: Tree, mode: Mode): Tree {
    if (node.callee.name !== 'Promise') return this.#parts(node, mode)
    const list = { type: 'ArrayExpression', elements: this.#list(node.arguments, mode) }
    return this.#settle(runtime('construct', node.callee, list), mode)
  }

  /** A built-in function that is given a function must be given one that runs to its end. */
  #plainCall(node: Tree, callee: Tree, args: readonly Tree[], mode: Mode): Tree {
    const functions = node.arguments.some(
      (argument: Tree) =>
        isFunction(argument) || argument.type === 'Identifier' || argument.type === 'MemberExpression',
    )
    const list = { type: 'ArrayExpression', elements: args }
    if (callee.type === 'MemberExpression') {
      const object = callee.object.type === 'Super' ? callee.object : this.#any(callee.object, mode)
      const own = callee.property.type === 'PrivateIdentifier' || object.type === 'Super'
      if (callee.computed) {
        return runtime('method', object, this.#any(callee.property, mode), list, literal(this.#at(node)))
      }
      if (own) return call({ ...callee, object }, args)
      const touches = ELEMENT_METHODS.has(callee.property.name)
      if (functions || touches) {
        return runtime('method', object, literal(callee.property.name), list, literal(this.#at(node)))
      }
      return call({ ...callee, object }, args)
    }
    const target = this.#any(callee, mode)
    return functions ? runtime('call', target, list) : call(target, args)
  }

  /** Within a chain calls stay as they are: its end is what is looked at. */
  #chain(node: Tree, mode: Mode): Tree {
    const inner = (part: Tree): Tree => {
      if (part.type === 'CallExpression') {
        return { ...part, callee: inner(part.callee), arguments: this.#list(part.arguments, mode) }
      }
      if (part.type === 'MemberExpression') {
        const property = part.computed ? this.#any(part.property, mode) : part.property
        return { ...part, object: inner(part.object), property }
      }
      return this.#any(part, mode)
    }
    return { ...node, expression: inner(node.expression) }
  }

  #read(node: Tree, mode: Mode): Tree {
    if (node.object.type === 'Super') return node
    const object = this.#any(node.object, mode)
    if (node.computed) {
      return runtime('get', object, this.#any(node.property, mode), literal(this.#at(node)))
    }
    const plain = { ...node, object }
    return this.#accessors.has(node.property.name) ? this.#settle(plain, mode) : plain
  }

  #assignment(node: Tree, mode: Mode): Tree {
    const { left, operator } = node
    const right = this.#any(node.right, mode)
    if (left.type !== 'MemberExpression' || !left.computed) {
      const target =
        left.type === 'MemberExpression' ? { ...left, object: this.#any(left.object, mode) } : left
      return { ...node, left: left.type.endsWith('Pattern') ? this.#parts(left, mode) : target, right }
    }
    const object = this.#any(left.object, mode)
    const key = this.#any(left.property, mode)
    const at = literal(this.#at(node))
    if (operator === '=') return runtime('set', object, key, right, at)
    const logical = /^(\?\?|\|\||&&)=$/.exec(operator)?.[1]
    if (logical === undefined) {
      return runtime('compound', object, key, literal(operator.slice(0, -1)), right, at)
    }
    return {
      type: 'LogicalExpression',
      operator: logical,
      left: runtime('get', object, key, at),
      right: runtime('set', object, key, right, at),
    }
  }

  #update(node: Tree, mode: Mode): Tree {
    const { argument } = node
    if (argument.type !== 'MemberExpression') return node
    const object = this.#any(argument.object, mode)
    if (!argument.computed) return { ...node, argument: { ...argument, object } }
    const key = this.#any(argument.property, mode)
    return runtime('step', object, key, literal(node.operator), literal(node.prefix), literal(this.#at(node)))
  }
}

/** Methods of views that read or write many elements. */
const ELEMENT_METHODS: ReadonlySet<string> = new Set([
  'fill',
  'set',
  'copyWithin',
  'slice',
  'subarray',
  'copy',
  'write',
  'toString',
  'indexOf',
])

const runtimeImport = (source: Tree): Tree => call(id('$import'), [literal(source.value)])

const exportCall = (name: Tree, value: Tree): Tree =>
  call(id('$export'), [
    literal(name.name ?? name.value),
    { type: 'ArrowFunctionExpression', params: [], body: value, expression: true, async: false },
  ])

function importStatement({ type, local, imported }: Tree, source: Tree): Tree {
  const value =
    type === 'ImportNamespaceSpecifier'
      ? source
      : member(source, type === 'ImportDefaultSpecifier' ? 'default' : (imported.name ?? imported.value))
  return {
    type: 'VariableDeclaration',
    kind: 'const',
    declarations: [{ type: 'VariableDeclarator', id: local, init: value }],
  }
}

function declaredNames(declaration: Tree): string[] {
  if (declaration.id) return [declaration.id.name]
  const names: string[] = []
  for (const { id: pattern } of declaration.declarations) {
    if (pattern.type === 'Identifier') names.push(pattern.name)
    else {
      visit(pattern, node => {
        if (node.type === 'Property' && node.value.type === 'Identifier') names.push(node.value.name)
      })
    }
  }
  return names
}
