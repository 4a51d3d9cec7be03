/**
 * Turns a module into coroutines: the same code, in which every operation on shared memory gives control to a scheduler.
 *
 * Every function becomes a generator; every call whose result is such a generator is run to its end in place (`yield*`),
 * and every `Atomics` operation is a `yield`. An async function runs as a task of its logical thread, `await` is a yield,
 * too. What cannot be a generator (constructors, field initialisers, setters, what the language itself calls, most
 * callbacks of built-in functions, the top of a module) runs to its end without a switch in between.
 *
 * A plain access to an element is told to the runtime, which looks for data races, and is no place to switch: in a
 * program without data races the order of plain accesses follows from that of the atomic ones.
 *
 * The runtime is `$explore` in what is written here. Its fields `v`, `o`, `f` and `r` hold a value only until the
 * expression's next part, which reads it before anything else is run: a switch never comes in between.
 */
import { parse } from 'acorn'
import { generate } from 'astring'
import { isWatched } from './elements.js'

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
  /** Names behind `new` and `extends`, and of who has a prototype: functions of these names are constructors. */
  readonly constructors: ReadonlySet<string>
  /** Names that the module declares, in whatever scope, other than by imports. */
  readonly declared: ReadonlySet<string>
  /** Exported names whose values change. */
  readonly changing: ReadonlySet<string>
}

/** What is known of all modules that are loaded together. */
export interface Surroundings {
  /** The names of all accessors. */
  readonly accessors: ReadonlySet<string>
  /** … and of all constructors. */
  readonly constructors: ReadonlySet<string>
  /** Names a line of the source. */
  place(line: number, column: number): string
  /** Whether an imported name has to be looked up each time: its value changes, or comes later. */
  isLive(source: string, imported: string): boolean
}

/** What a module's code finds beside the globals. */
export const PARAMETERS = ['$explore', '$explore_meta', '$explore_import', '$explore_export'] as const

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
  const constructors = new Set<string>()
  const declared = new Set<string>()
  const assigned = new Set<string>()
  visit(tree, node => {
    if (/^(Import|Export(Named|All))Declaration$/.test(node.type) && node.source)
      imports.push(node.source.value)
    const accessor = (node.type === 'MethodDefinition' || node.type === 'Property') && node.kind === 'get'
    if (accessor && !node.computed) accessors.add(node.key.name ?? String(node.key.value))
    const name = constructorName(node)
    if (name !== undefined) constructors.add(name)
    for (const name of namesOf(node)) declared.add(name)
    if (/^(Assignment|Update)Expression$|^For(Of|In)Statement$/.test(node.type)) {
      for (const name of patternNames(node.left ?? node.argument)) assigned.add(name)
    }
  })
  const changing = new Set<string>()
  for (const [exported, local] of exportedNames(tree)) if (assigned.has(local)) changing.add(exported)
  return { tree, file, imports, accessors, constructors, declared, changing }
}

/** @returns the body of a function of `PARAMETERS` */
export function transformModule(parsed: Parsed, surroundings: Surroundings): string {
  return `"use strict";\n${generate(new Transformer(parsed, surroundings).module(parsed.tree))}`
}

/** Whether a file is a CommonJS module: it has no `import` or `export`, and uses what only those have. */
export function isCommonJs(text: string): boolean {
  if (!/\b(require|exports)\b/.test(text)) return false
  let tree: Tree
  try {
    tree = parse(text, {
      ecmaVersion: 'latest',
      sourceType: 'script',
      allowReturnOutsideFunction: true,
      allowHashBang: true,
    })
  } catch {
    return false
  }
  let found = false
  visit(tree, node => {
    const { type, callee, object, property } = node
    found ||= type === 'CallExpression' && callee.name === 'require'
    found ||=
      type === 'MemberExpression' &&
      (object.name === 'exports' || (object.name === 'module' && property.name === 'exports'))
  })
  return found
}

function visit(node: Tree, look: (node: Tree) => void): void {
  if (Array.isArray(node)) for (const each of node) visit(each, look)
  else if (typeof node?.type === 'string') {
    look(node)
    for (const key of Object.keys(node)) if (typeof node[key] === 'object') visit(node[key], look)
  }
}

/** The names that a pattern binds or assigns. */
function patternNames(pattern: Tree): string[] {
  switch (pattern?.type) {
    case 'Identifier':
      return [pattern.name]
    case 'ObjectPattern':
      return pattern.properties.flatMap((each: Tree) => patternNames(each.value ?? each))
    case 'ArrayPattern':
      return pattern.elements.flatMap(patternNames)
    case 'AssignmentPattern':
      return patternNames(pattern.left)
    case 'RestElement':
      return patternNames(pattern.argument)
    default:
      return []
  }
}

/** The names that a node by itself declares. */
function namesOf(node: Tree): string[] {
  switch (node.type) {
    case 'VariableDeclarator':
      return patternNames(node.id)
    case 'CatchClause':
      return patternNames(node.param)
    case 'ClassDeclaration':
    case 'ClassExpression':
      return patternNames(node.id)
    case 'FunctionDeclaration':
    case 'FunctionExpression':
    case 'ArrowFunctionExpression':
      return [...patternNames(node.id), ...node.params.flatMap(patternNames)]
    default:
      return []
  }
}

const declaredNames = (declaration: Tree): string[] =>
  declaration.id ? [declaration.id.name] : declaration.declarations.flatMap(namesOf)

/** What a module exports of its own, and under which name it has it. */
function* exportedNames(tree: Tree): Generator<readonly [string, string]> {
  for (const { type, source, specifiers, declaration } of tree.body) {
    if (type !== 'ExportNamedDeclaration' || source) continue
    for (const { local, exported } of specifiers) yield [nameOf(exported), local.name]
    if (declaration) for (const name of declaredNames(declaration)) yield [name, name]
  }
}

/** The name by which something is called: of a variable, or of a property. */
const calledName = (node: Tree): string | undefined =>
  node.type === 'MemberExpression' && !node.computed ? node.property.name : node.name

/** Whom a node takes for a constructor: by `new`, `extends` or its prototype. */
function constructorName({ type, callee, superClass, object, property }: Tree): string | undefined {
  if (type === 'NewExpression') return calledName(callee)
  if (type === 'MemberExpression' && property.name === 'prototype') return calledName(object)
  return superClass ? calledName(superClass) : undefined
}

const nameOf = (node: Tree): string => node.name ?? node.value

const id = (name: string): Tree => ({ type: 'Identifier', name })
const literal = (value: unknown): Tree => ({ type: 'Literal', value, raw: JSON.stringify(value) })
const member = (object: Tree, name: string): Tree =>
  /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)
    ? { type: 'MemberExpression', object, property: id(name), computed: false, optional: false }
    : { type: 'MemberExpression', object, property: literal(name), computed: true, optional: false }
const call = (callee: Tree, args: readonly Tree[]): Tree => ({
  type: 'CallExpression',
  callee,
  arguments: args,
  optional: false,
})
const RUNTIME = id('$explore')
const runtime = (name: string, ...args: readonly Tree[]): Tree => call(member(RUNTIME, name), args)
/** Where a value is kept until the next part of an expression reads it. */
const kept = (name: 'v' | 'o' | 'f' | 'r' | 'wanted'): Tree => member(RUNTIME, name)
const assign = (left: Tree, right: Tree): Tree => ({
  type: 'AssignmentExpression',
  operator: '=',
  left,
  right,
})
const conditional = (test: Tree, consequent: Tree, alternate: Tree): Tree => ({
  type: 'ConditionalExpression',
  test,
  consequent,
  alternate,
})
const binary = (operator: string, left: Tree, right: Tree): Tree => ({
  type: 'BinaryExpression',
  operator,
  left,
  right,
})
const sequence = (...expressions: readonly Tree[]): Tree => ({ type: 'SequenceExpression', expressions })
const list = (elements: readonly Tree[]): Tree => ({ type: 'ArrayExpression', elements })
const yieldOf = (argument: Tree, delegate = false): Tree => ({ type: 'YieldExpression', argument, delegate })
const returnOf = (argument: Tree): Tree => ({ type: 'ReturnStatement', argument })
const block = (body: readonly Tree[]): Tree => ({ type: 'BlockStatement', body })
const expression = (inner: Tree): Tree => ({ type: 'ExpressionStatement', expression: inner })
const constant = (name: string, init: Tree): Tree => ({
  type: 'VariableDeclaration',
  kind: 'const',
  declarations: [{ type: 'VariableDeclarator', id: id(name), init }],
})
const arrow = (params: readonly Tree[], body: Tree): Tree => ({
  type: 'ArrowFunctionExpression',
  params,
  body,
  expression: body.type !== 'BlockStatement',
  async: false,
})
const rest = (argument: Tree): Tree => ({ type: 'RestElement', argument })
const spread = (argument: Tree): Tree => ({ type: 'SpreadElement', argument })
const THIS: Tree = { type: 'ThisExpression' }
const SUPER: Tree = { type: 'Super' }
const ARGUMENTS = id('arguments')
/** A function that is no generator is known by this. */
const TRANSFORMED = expression(literal('$explore.own'))
const UNDEFINED: Tree = { type: 'UnaryExpression', operator: 'void', prefix: true, argument: literal(0) }

const generator = (params: readonly Tree[], body: Tree): Tree => ({
  type: 'FunctionExpression',
  id: null,
  params,
  body,
  generator: true,
  async: false,
})

const isFunction = (node: Tree): boolean =>
  node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'

/** Whether a value may be a function, as far as its expression says. */
function mayBeFunction(node: Tree): boolean {
  switch (node.type) {
    case 'Literal':
    case 'TemplateLiteral':
    case 'BinaryExpression':
    case 'UnaryExpression':
    case 'UpdateExpression':
    case 'ObjectExpression':
    case 'ArrayExpression':
    case 'ClassExpression':
    case 'NewExpression':
      return false
    case 'ConditionalExpression':
      return mayBeFunction(node.consequent) || mayBeFunction(node.alternate)
    case 'LogicalExpression':
      return mayBeFunction(node.left) || mayBeFunction(node.right)
    case 'SequenceExpression':
      return mayBeFunction(node.expressions.at(-1))
    case 'AssignmentExpression':
      return mayBeFunction(node.right)
    default:
      return true
  }
}

/** Whether a chain may be cut short within this part of it. */
function isOptional(node: Tree): boolean {
  if (node?.type !== 'MemberExpression' && node?.type !== 'CallExpression') return false
  return node.optional || isOptional(node.object ?? node.callee)
}

/** Whether nothing but reading names comes of it: it can be evaluated a little earlier or later. */
function isSimple(node: Tree): boolean {
  switch (node.type) {
    case 'Literal':
    case 'Identifier':
    case 'ThisExpression':
      return true
    case 'UnaryExpression':
      return isSimple(node.argument)
    case 'BinaryExpression':
      return isSimple(node.left) && isSimple(node.right)
    default:
      return false
  }
}

/** Whether a function's own `this` occurs in it. */
function usesThis(node: Tree): boolean {
  if (Array.isArray(node)) return node.some(usesThis)
  if (typeof node?.type !== 'string') return false
  if (node.type === 'ThisExpression' || node.type === 'Super') return true
  if (node.type === 'FunctionExpression' || node.type === 'FunctionDeclaration') return false
  return Object.keys(node).some(key => typeof node[key] === 'object' && usesThis(node[key]))
}

/** Methods by which the language itself reads a value; it must find one. */
const PROTOCOL: ReadonlySet<string> = new Set(['toString', 'valueOf', 'toJSON'])

/** Whether a property is one that the language itself calls. */
function isProtocol({ computed, key }: { readonly computed: boolean; readonly key: Tree }): boolean {
  if (computed) return key.type === 'MemberExpression' && key.object.name === 'Symbol'
  return key.type !== 'PrivateIdentifier' && PROTOCOL.has(nameOf(key))
}

/** What belongs to a function, and is captured for functions that the transform makes within it. */
type Captured = 'this' | 'arguments' | 'new.target' | 'super' | 'super, to write'

interface Scope {
  /** How many functions of the transform's there are around. */
  depth: number
  /** It has no `this` until it calls `super`, which may be given functions that use it. */
  readonly lateThis: boolean
  readonly captured: Set<Captured>
}

const CAPTURES: Readonly<Record<Captured, { readonly name: string; readonly value: Tree }>> = {
  this: { name: '$explore_this', value: arrow([], THIS) },
  arguments: { name: '$explore_arguments', value: ARGUMENTS },
  'new.target': {
    name: '$explore_target',
    value: { type: 'MetaProperty', meta: id('new'), property: id('target') },
  },
  super: {
    name: '$explore_super',
    value: arrow([id('key')], {
      type: 'MemberExpression',
      object: SUPER,
      property: id('key'),
      computed: true,
      optional: false,
    }),
  },
  'super, to write': {
    name: '$explore_superSet',
    value: arrow(
      [id('key'), id('value')],
      assign(
        { type: 'MemberExpression', object: SUPER, property: id('key'), computed: true, optional: false },
        id('value'),
      ),
    ),
  },
}

class Transformer {
  readonly #parsed: Parsed
  readonly #surroundings: Surroundings
  /** Imported names that are looked up each time, and how. */
  readonly #live = new Map<string, Tree>()
  /** The function whose `arguments` and `super` are meant. */
  #scope: Scope | undefined
  /** Whether the class around extends another. */
  #extends = false

  constructor(parsed: Parsed, surroundings: Surroundings) {
    this.#parsed = parsed
    this.#surroundings = surroundings
  }

  module(tree: Tree): Tree {
    const exports: Tree[] = []
    const imports: Tree[] = []
    for (const node of tree.body) {
      if (node.type === 'ImportDeclaration') this.#import(node, imports)
      else if (node.source) imports.push(expression(importedAgain(node)))
    }
    const body: Tree[] = []
    for (const node of tree.body) this.#moduleStatement(node, exports, body)
    // A block of its own: names of a module may be those of globals that are given as parameters.
    return {
      type: 'Program',
      sourceType: 'script',
      body: [block([...exports, ...imports, ...body])],
    }
  }

  #import({ specifiers, source }: Tree, imports: Tree[]): void {
    const namespace = `$explore_import_${imports.length}`
    imports.push(constant(namespace, runtimeImport(source)))
    for (const { type, local, imported } of specifiers) {
      if (type === 'ImportNamespaceSpecifier') {
        imports.push(constant(local.name, id(namespace)))
        continue
      }
      const name = type === 'ImportDefaultSpecifier' ? 'default' : nameOf(imported)
      const value = member(id(namespace), name)
      if (this.#surroundings.isLive(source.value, name) && !this.#parsed.declared.has(local.name)) {
        this.#live.set(local.name, value)
      } else imports.push(constant(local.name, value))
    }
  }

  /** @param exports what is told before anything is imported: who imports this module in turn finds it */
  #moduleStatement(node: Tree, exports: Tree[], body: Tree[]): void {
    const source = node.source && runtimeImport(node.source)
    switch (node.type) {
      case 'ImportDeclaration':
        return
      case 'ExportAllDeclaration':
        if (node.exported) exports.push(exportOf(nameOf(node.exported), source))
        return
      case 'ExportDefaultDeclaration': {
        const { declaration } = node
        if (declaration.id) {
          body.push(this.#any(declaration, 'direct'))
          exports.push(exportOf('default', declaration.id))
        } else {
          const value = { ...declaration, type: declaration.type.replace('Declaration', 'Expression') }
          exports.push(exportOf('default', id('$explore_default')))
          body.push(constant('$explore_default', named('default', this.#any(value, 'direct'))))
        }
        return
      }
      case 'ExportNamedDeclaration':
        for (const { local, exported } of node.specifiers) {
          const value = node.source ? member(source, nameOf(local)) : this.#any(local, 'direct')
          exports.push(exportOf(nameOf(exported), value))
        }
        if (node.declaration) {
          body.push(this.#any(node.declaration, 'direct'))
          for (const name of declaredNames(node.declaration)) exports.push(exportOf(name, id(name)))
        }
        return
      default:
        body.push(this.#any(node, 'direct'))
    }
  }

  #unsupported(node: Tree, what: string): UnsupportedCode {
    return new UnsupportedCode(
      `${what} cannot be explored: ${this.#at(node)}; take it out of the code under test`,
    )
  }

  #at(node: Tree): string {
    return this.#surroundings.place(node.loc.start.line, node.loc.start.column)
  }

  #place(node: Tree): Tree {
    return literal(this.#at(node))
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
      case 'Identifier':
        return this.#name(node)
      case 'ThisExpression':
        return this.#self
      case 'FunctionDeclaration':
      case 'FunctionExpression':
        return this.#function(node)
      case 'ArrowFunctionExpression':
        return this.#arrow(node)
      case 'ClassDeclaration':
      case 'ClassExpression':
        return this.#class(node, mode)
      case 'MethodDefinition':
        return this.#method(node, mode)
      case 'Property':
        return node.kind === 'init' ? this.#property(node, mode) : this.#method(node, mode)
      case 'PropertyDefinition':
        return this.#field(node, mode)
      case 'StaticBlock': {
        const { made, captures } = this.#own(() => this.#list(node.body, 'direct'))
        return { ...node, body: [...captures, ...made] }
      }
      case 'CallExpression':
        return this.#call(node, mode)
      case 'NewExpression':
        return this.#new(node, mode)
      case 'TaggedTemplateExpression':
        return this.#tagged(node, mode)
      case 'ChainExpression':
        return this.#chain(node.expression, mode)
      case 'MemberExpression':
        return this.#read(node, mode)
      case 'AssignmentExpression':
        return this.#assignment(node, mode)
      case 'UpdateExpression':
        return this.#update(node, mode)
      case 'UnaryExpression':
        return node.operator === 'delete' ? this.#delete(node, mode) : this.#parts(node, mode)
      case 'AwaitExpression':
        if (mode === 'direct') throw this.#unsupported(node, 'await here')
        return yieldOf(runtime('await', this.#any(node.argument, mode)))
      case 'YieldExpression':
        return node.delegate
          ? { ...node, argument: this.#iterable(node.argument, mode) }
          : this.#parts(node, mode)
      case 'ArrayExpression':
        return { ...node, elements: this.#elements(node.elements, mode) }
      case 'VariableDeclarator':
        return {
          ...node,
          id: this.#pattern(node.id, mode),
          init: node.init && this.#assigned(node.id, node.init, mode),
        }
      case 'ForOfStatement':
        if (node.await) throw this.#unsupported(node, 'for await')
        return {
          ...node,
          left: this.#head(node.left, mode),
          right: this.#iterable(node.right, mode),
          body: this.#any(node.body, mode),
        }
      case 'ForInStatement':
        return {
          ...node,
          left: this.#head(node.left, mode),
          right: this.#any(node.right, mode),
          body: this.#any(node.body, mode),
        }
      case 'CatchClause':
        return {
          ...node,
          param: node.param && this.#pattern(node.param, mode),
          body: this.#any(node.body, mode),
        }
      case 'LabeledStatement':
        return { ...node, body: this.#any(node.body, mode) }
      case 'BreakStatement':
      case 'ContinueStatement':
        return node
      case 'MetaProperty':
        if (node.meta.name === 'import') return id('$explore_meta')
        return this.#isNested ? this.#capture('new.target') : node
      case 'ImportExpression':
        throw this.#unsupported(node, 'import()')
      default:
        return this.#parts(node, mode)
    }
  }

  #name(node: Tree): Tree {
    if (node.name === 'arguments' && this.#isNested) return this.#capture('arguments')
    return this.#live.get(node.name) ?? node
  }

  // Functions.

  /** Code with a `this`, `arguments` and `super` of its own. @returns with what has to stand at its top */
  #own<Made>(make: () => Made, lateThis = false): { readonly made: Made; readonly captures: Tree[] } {
    const outer = this.#scope
    const scope: Scope = { depth: 0, lateThis, captured: new Set() }
    this.#scope = scope
    try {
      const made = make()
      const captures = [...scope.captured].map(which => constant(CAPTURES[which].name, CAPTURES[which].value))
      return { made, captures }
    } finally {
      this.#scope = outer
    }
  }

  /** Code that the transform puts into a function of its own. */
  #nested<Made>(make: () => Made): Made {
    const scope = this.#scope
    if (scope !== undefined) scope.depth += 1
    try {
      return make()
    } finally {
      if (scope !== undefined) scope.depth -= 1
    }
  }

  /** `this`, wherever the transform has put it. */
  get #self(): Tree {
    return this.#isLate ? call(this.#capture('this'), []) : THIS
  }

  get #isLate(): boolean {
    return this.#isNested && this.#scope?.lateThis === true
  }

  get #isNested(): boolean {
    return this.#scope !== undefined && this.#scope.depth > 0
  }

  #capture(which: Captured): Tree {
    this.#scope?.captured.add(which)
    return id(CAPTURES[which].name)
  }

  #params(params: readonly Tree[]): Tree[] {
    return params.map(each => this.#pattern(each, 'direct'))
  }

  #body(node: Tree, mode: Mode): Tree {
    return block(
      node.type === 'BlockStatement' ? this.#list(node.body, mode) : [returnOf(this.#any(node, mode))],
    )
  }

  /** As a generator of the same parameters. */
  #generator(node: Tree, mode: Mode = 'coroutine'): Tree {
    return generator(this.#params(node.params), this.#body(node.body, mode))
  }

  /** @param name under which it is known, if it has none itself */
  #function(node: Tree, name = ''): Tree {
    if (this.#isConstructor(node, node.id?.name ?? name)) return this.#direct(node)
    if (!node.async && !node.generator) {
      const { made, captures } = this.#own(() => this.#generator(node))
      return { ...node, ...made, type: node.type, id: node.id, body: block([...captures, ...made.body.body]) }
    }
    if (node.async && node.generator) throw this.#unsupported(node, 'an async generator')
    const mode = node.async ? 'coroutine' : 'direct'
    const { made, captures } = this.#own(() => this.#nested(() => this.#generator(node, mode)))
    const started = runtime(node.async ? 'spawn' : 'iterate', made, THIS, ARGUMENTS)
    return {
      ...node,
      params: placeholders(node.params),
      async: false,
      generator: false,
      body: block([...captures, returnOf(started)]),
    }
  }

  #isConstructor(node: Tree, name: string): boolean {
    if (node.async || node.generator || !this.#surroundings.constructors.has(name)) return false
    return /^\p{Lu}/u.test(name) || usesThis(node.body)
  }

  /** A function that runs to its end: constructors, setters, what the language calls. */
  #direct(node: Tree, lateThis = false): Tree {
    const make = () => ({
      params: this.#params(node.params),
      body: this.#list(node.body.body, 'direct'),
    })
    const { made, captures } = this.#own(make, lateThis)
    return { ...node, params: made.params, body: block([TRANSFORMED, ...captures, ...made.body]) }
  }

  #arrow(node: Tree): Tree {
    const plain = this.#nested(() => this.#generator(node))
    const self = this.#scope?.lateThis !== true && (usesThis(node.params) || usesThis(node.body))
    if (!node.async) return self ? call(member(plain, 'bind'), [THIS]) : plain
    const params = placeholders(node.params)
    const others = params.length < node.params.length ? [id('$explore_rest')] : []
    const given = list([...params, ...others.map(spread)])
    return arrow([...params, ...others.map(rest)], runtime('spawn', plain, self ? THIS : UNDEFINED, given))
  }

  #class(node: Tree, mode: Mode): Tree {
    const mark = { type: 'StaticBlock', body: [expression(runtime('own', THIS))] }
    const superClass = node.superClass && this.#any(node.superClass, mode)
    const outer = this.#extends
    this.#extends = Boolean(superClass)
    const body = { ...node.body, body: [mark, ...this.#list(node.body.body, mode)] }
    this.#extends = outer
    return { ...node, superClass, body }
  }

  #key(node: Tree, mode: Mode): Tree {
    return node.computed ? this.#any(node.key, mode) : node.key
  }

  #property(node: Tree, mode: Mode): Tree {
    if (node.method) return this.#method(node, mode)
    const key = this.#key(node, mode)
    const value = this.#any(node.value, mode)
    const shorthand = node.shorthand && value === node.value
    return { ...node, key, value: isProtocol(node) ? calledNatively(node.value, value) : value, shorthand }
  }

  #field(node: Tree, mode: Mode): Tree {
    const key = this.#key(node, mode)
    if (!node.value) return { ...node, key }
    const { made, captures } = this.#own(() => this.#any(node.value, 'direct'))
    const direct = isProtocol(node) ? calledNatively(node.value, made) : made
    const value = captures.length > 0 ? call(arrow([], block([...captures, returnOf(direct)])), []) : direct
    return { ...node, key, value }
  }

  #method(node: Tree, mode: Mode): Tree {
    const key = this.#key(node, mode)
    const { kind, value } = node
    if (kind === 'get') {
      const { made, captures } = this.#own(() => this.#nested(() => this.#generator(value)))
      const got = runtime('getter', THIS, call(member(made, 'call'), [THIS]))
      return { ...node, key, value: { ...value, body: block([...captures, returnOf(got)]) } }
    }
    const direct =
      kind === 'constructor' || kind === 'set' || (isProtocol(node) && !value.async && !value.generator)
    return {
      ...node,
      key,
      value: direct ? this.#direct(value, kind === 'constructor' && this.#extends) : this.#function(value),
    }
  }

  // Calls.

  /** What a call has given: a coroutine is run to its end. */
  #settle(value: Tree, mode: Mode): Tree {
    if (mode === 'direct') return runtime('run', value)
    return this.#settleKept(assign(kept('v'), value))
  }

  /** @param value what has been kept as `v` as well */
  #settleKept(value: Tree): Tree {
    const test = binary('instanceof', value, member(RUNTIME, 'Coroutine'))
    return conditional(test, yieldOf(kept('v'), true), kept('v'))
  }

  /** What is spread or gone through: iterators in transformed code, and views that are watched. */
  #iterable(node: Tree, mode: Mode): Tree {
    const value = this.#any(node, mode)
    return node.type === 'ArrayExpression' ? value : runtime('iterable', value, this.#place(node))
  }

  #elements(nodes: readonly Tree[], mode: Mode): Tree[] {
    return nodes.map(node => {
      if (node === null) return null
      return node.type === 'SpreadElement'
        ? { ...node, argument: this.#iterable(node.argument, mode) }
        : this.#any(node, mode)
    })
  }

  #call(node: Tree, mode: Mode): Tree {
    const { callee } = node
    if (callee.type === 'Super') return { ...node, arguments: this.#elements(node.arguments, mode) }
    const isMember = callee.type === 'MemberExpression'
    if (isMember && !callee.computed && this.#isGlobal(callee.object, 'Atomics')) {
      const args = this.#elements(node.arguments, mode)
      const operation = [literal(callee.property.name), this.#place(node), ...args]
      return mode === 'direct' ? runtime('atomicNow', ...operation) : yieldOf(runtime('atomic', ...operation))
    }
    if (!isMember) return this.#settle(this.#callOf(this.#any(callee, mode), node, mode), mode)
    const made =
      callee.object.type === 'Super'
        ? this.#superCall(node, mode)
        : this.#methodCall(this.#any(callee.object, mode), node, mode)
    return this.#settle(made, mode)
  }

  #isGlobal(node: Tree, name: string): boolean {
    return node.type === 'Identifier' && node.name === name && !this.#parsed.declared.has(name)
  }

  /** A built-in function that is given a function must be given one that runs to its end. */
  #callOf(target: Tree, node: Tree, mode: Mode): Tree {
    const args = this.#elements(node.arguments, mode)
    if (node.arguments.some(mayBeFunction)) {
      return runtime('call', target, list(args), this.#place(node))
    }
    // A name that is looked up is no method of where it is looked up.
    return call(target.type === 'MemberExpression' ? sequence(literal(0), target) : target, args)
  }

  #methodCall(object: Tree, node: Tree, mode: Mode): Tree {
    const { computed, property } = node.callee
    const key = computed ? this.#any(property, mode) : literal(property.name)
    const args = this.#elements(node.arguments, mode)
    if (property.type === 'PrivateIdentifier') return call({ ...node.callee, object, optional: false }, args)
    if (!computed && !isWatched(property.name) && !node.arguments.some(mayBeFunction)) {
      return call({ ...node.callee, object, optional: false }, args)
    }
    return runtime('method', object, key, list(args), this.#place(node))
  }

  #superCall(node: Tree, mode: Mode): Tree {
    const target = this.#superRead(node.callee, mode)
    return runtime('apply', target, this.#self, list(this.#elements(node.arguments, mode)), this.#place(node))
  }

  /** A promise's executor may switch; any other constructor runs to its end. */
  #new(node: Tree, mode: Mode): Tree {
    const { callee } = node
    const args = this.#elements(node.arguments, mode)
    const plain =
      !/^(Promise|Proxy)$/.test(callee.name) &&
      node.arguments.every((each: Tree) => each.type !== 'NewExpression' && !mayBeFunction(each))
    if (plain) return { ...node, callee: this.#any(callee, mode), arguments: args }
    return this.#settle(runtime('construct', this.#any(callee, mode), list(args), this.#place(node)), mode)
  }

  #tagged(node: Tree, mode: Mode): Tree {
    const { tag } = node
    const isMember = tag.type === 'MemberExpression'
    const target = isMember ? this.#reference(tag, mode) : this.#any(tag, mode)
    const detached = !isMember && target.type === 'MemberExpression' ? sequence(literal(0), target) : target
    return this.#settle({ ...node, tag: detached, quasi: this.#parts(node.quasi, mode) }, mode)
  }

  // Chains.

  /** @param finish what is made of the last link; `otherwise`: where the chain is cut short */
  #chain(node: Tree, mode: Mode, finish?: (object: Tree) => Tree, otherwise = UNDEFINED): Tree {
    const cut = (value: Tree, go: Tree): Tree =>
      conditional(binary('==', value, literal(null)), otherwise, go)
    /** @param next takes the value of a link, and evaluates it before anything else */
    const link = (part: Tree, next: (value: Tree) => Tree): Tree => {
      if (!isOptional(part)) return next(this.#any(part, mode))
      if (part.type === 'MemberExpression' && part.object.type !== 'Super') {
        return link(part.object, object =>
          part.optional
            ? cut(assign(kept('o'), object), next(this.#readOf(kept('o'), part, mode)))
            : next(this.#readOf(object, part, mode)),
        )
      }
      const { callee } = part
      const settled = (value: Tree) => next(this.#settle(value, mode))
      if (callee.type !== 'MemberExpression') {
        return link(callee, target =>
          part.optional
            ? cut(assign(kept('o'), target), settled(this.#callOf(kept('o'), part, mode)))
            : settled(this.#callOf(target, part, mode)),
        )
      }
      if (callee.object.type === 'Super') {
        const bound = runtime('bound', this.#self, this.#superRead(callee, mode))
        return cut(member(assign(kept('f'), bound), 'target'), settled(this.#applied(part, mode)))
      }
      return link(callee.object, object => {
        const method = (self: Tree): Tree => {
          if (!part.optional) return settled(this.#methodCall(self, part, mode))
          const found = this.#readOf(kept('o'), callee, 'direct', mode)
          const bound = runtime('bound', assign(kept('o'), self), found)
          return cut(member(assign(kept('f'), bound), 'target'), settled(this.#applied(part, mode)))
        }
        return callee.optional ? cut(assign(kept('o'), object), method(kept('o'))) : method(object)
      })
    }
    if (finish === undefined) return link(node, value => value)
    return link(node.object, object =>
      node.optional ? cut(assign(kept('o'), object), finish(kept('o'))) : finish(object),
    )
  }

  /** Calls the method that was found by the link before. */
  #applied(node: Tree, mode: Mode): Tree {
    return runtime('applyBound', kept('f'), list(this.#elements(node.arguments, mode)), this.#place(node))
  }

  #delete(node: Tree, mode: Mode): Tree {
    const { argument } = node
    const target = argument.type === 'ChainExpression' ? argument.expression : argument
    if (target.type !== 'MemberExpression' || target.object.type === 'Super') return this.#parts(node, mode)
    const property = target.computed ? this.#any(target.property, mode) : target.property
    const of = (object: Tree) => ({ ...node, argument: { ...target, object, property, optional: false } })
    return argument === target
      ? of(this.#any(target.object, mode))
      : this.#chain(target, mode, of, literal(true))
  }

  // Reads and writes.

  #read(node: Tree, mode: Mode): Tree {
    if (node.object.type === 'Super') return this.#superRead(node, mode)
    return this.#readOf(this.#any(node.object, mode), node, mode)
  }

  /** @param keyMode for a computed key, if that is another than for what is read */
  #readOf(object: Tree, { computed, property, ...node }: Tree, mode: Mode, keyMode = mode): Tree {
    const name = computed ? property.value : property.name
    const accessor = mode === 'coroutine' && typeof name === 'string' && this.#isAccessor(name)
    if (computed && !accessor) {
      return runtime('get', object, this.#any(property, keyMode), this.#place(node))
    }
    const read = (from: Tree): Tree => ({
      type: 'MemberExpression',
      object: from,
      property,
      computed,
      optional: false,
    })
    if (!accessor) return read(object)
    return this.#wanted(assign(kept('o'), object), read(kept('o')))
  }

  #isAccessor(name: string): boolean {
    return this.#surroundings.accessors.has(name)
  }

  /** A read whose getter gives a coroutine, because it will be run. */
  #wanted(object: Tree, read: Tree): Tree {
    return this.#settleKept(
      sequence(
        assign(kept('wanted'), object),
        assign(kept('v'), read),
        assign(kept('wanted'), UNDEFINED),
        kept('v'),
      ),
    )
  }

  #superKey({ computed, property }: Tree, mode: Mode): Tree {
    return computed ? this.#any(property, mode) : literal(property.name)
  }

  #superRead(node: Tree, mode: Mode): Tree {
    const { computed, property } = node
    const value = this.#isNested
      ? call(this.#capture('super'), [this.#superKey(node, mode)])
      : { ...node, property: computed ? this.#any(property, mode) : property }
    const accessor = mode === 'coroutine' && !computed && this.#isAccessor(property.name)
    return accessor ? this.#wanted(this.#self, value) : value
  }

  /** A member as something to assign to, or to call. */
  #reference(node: Tree, mode: Mode): Tree {
    const { computed, property, object } = node
    if (object.type === 'Super' && this.#isNested) {
      throw this.#unsupported(node, 'super like this, in a function of another kind than its method,')
    }
    return {
      ...node,
      object: object.type === 'Super' ? object : this.#any(object, mode),
      property: computed ? this.#any(property, mode) : property,
    }
  }

  #head(node: Tree, mode: Mode): Tree {
    return node.type === 'VariableDeclaration' ? this.#any(node, mode) : this.#pattern(node, mode)
  }

  /** What is bound or assigned to: its targets stay such. */
  #pattern(node: Tree, mode: Mode): Tree {
    switch (node?.type) {
      case 'ObjectPattern':
        return { ...node, properties: node.properties.map((each: Tree) => this.#pattern(each, mode)) }
      case 'ArrayPattern':
        return { ...node, elements: node.elements.map((each: Tree) => this.#pattern(each, mode)) }
      case 'RestElement':
        return { ...node, argument: this.#pattern(node.argument, mode) }
      case 'AssignmentPattern':
        return { ...node, left: this.#pattern(node.left, mode), right: this.#any(node.right, mode) }
      case 'Property': {
        const value = this.#pattern(node.value, mode)
        return {
          ...node,
          key: this.#key(node, mode),
          value,
          shorthand: node.shorthand && value === node.value,
        }
      }
      case 'MemberExpression': {
        if (!node.computed || node.object.type === 'Super') return this.#reference(node, mode)
        const parts = [this.#any(node.object, mode), this.#any(node.property, mode), this.#place(node)]
        return member(runtime('slot', ...parts), 'value')
      }
      default:
        return node
    }
  }

  /** What a pattern is given. */
  #assigned(pattern: Tree, value: Tree, mode: Mode): Tree {
    if (value.type === 'FunctionExpression') return this.#function(value, calledName(pattern))
    return pattern.type === 'ArrayPattern' ? this.#iterable(value, mode) : this.#any(value, mode)
  }

  #assignment(node: Tree, mode: Mode): Tree {
    const { left, operator } = node
    if (left.type !== 'MemberExpression') {
      return {
        ...node,
        left: this.#pattern(left, mode),
        right: this.#assigned(left, node.right, mode),
      }
    }
    const isSuper = left.object.type === 'Super'
    if (isSuper && this.#isNested && operator === '=') {
      return call(this.#capture('super, to write'), [this.#superKey(left, mode), this.#any(node.right, mode)])
    }
    const protocol = isProtocol({ computed: left.computed, key: left.property })
    if (!left.computed || isSuper) {
      const target = this.#reference(left, mode)
      const right = this.#assigned(left, node.right, mode)
      return { ...node, left: target, right: protocol ? calledNatively(node.right, right) : right }
    }
    const object = this.#any(left.object, mode)
    const key = this.#any(left.property, mode)
    const right = this.#any(node.right, mode)
    const at = this.#place(node)
    if (operator === '=') {
      return runtime('set', object, key, protocol ? calledNatively(node.right, right) : right, at)
    }
    const logical = /^(\?\?|\|\||&&)=$/.exec(operator)?.[1]
    const slot = runtime('slot', object, key, at)
    if (logical !== undefined) {
      return {
        type: 'LogicalExpression',
        operator: logical,
        left: member(assign(kept('r'), runtime('taken', slot)), 'taken'),
        right: runtime('put', kept('r'), right),
      }
    }
    const combined = literal(operator.slice(0, -1))
    // What is there is read before the other side is evaluated, which may take its time.
    return isSimple(node.right)
      ? runtime('compound', object, key, combined, right, at)
      : runtime('change', runtime('taken', slot), combined, right)
  }

  #update(node: Tree, mode: Mode): Tree {
    const { argument } = node
    if (argument.type !== 'MemberExpression') return node
    if (!argument.computed || argument.object.type === 'Super') {
      return { ...node, argument: this.#reference(argument, mode) }
    }
    const object = this.#any(argument.object, mode)
    const key = this.#any(argument.property, mode)
    return runtime('step', object, key, literal(node.operator), literal(node.prefix), this.#place(node))
  }
}

/** As many parameters as a function says that it has. */
function placeholders(params: readonly Tree[]): Tree[] {
  const most = params.findIndex(({ type }) => type === 'AssignmentPattern' || type === 'RestElement')
  return params.slice(0, most < 0 ? params.length : most).map((_, at) => id(`$explore_${at}`))
}

/** A function for who expects one that has come to its end when it comes back. */
const calledNatively = (source: Tree, value: Tree): Tree =>
  isFunction(source) && !source.async && !source.generator ? runtime('direct', value) : value

/** A value that has its name of this, if it is a function without one. */
const named = (name: string, value: Tree): Tree => {
  const property = { type: 'Property', kind: 'init', key: id(name), value, computed: false }
  return member({ type: 'ObjectExpression', properties: [property] }, name)
}

const runtimeImport = (source: Tree): Tree => call(id('$explore_import'), [literal(source.value)])

/** What is imported to be exported: `export … from`. */
const importedAgain = ({ type, source, exported }: Tree): Tree => {
  const all = type === 'ExportAllDeclaration' && !exported
  return all ? call(member(id('$explore_export'), 'all'), [runtimeImport(source)]) : runtimeImport(source)
}

const exportOf = (name: string, value: Tree): Tree =>
  expression(call(id('$explore_export'), [literal(name), arrow([], value)]))
