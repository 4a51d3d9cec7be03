/**
 * Explored code means what JavaScript means: snippets that are run by Node as they are and as one thread of a scenario
 * give the same. And what shared memory they touch is seen, whatever the expression.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ExploreError, explore, type Scenario } from '../../src/explore/index.js'
import { temporary } from '../helpers/temporary.js'

type Snippets = readonly (readonly [situation: string, source: string])[]

const AsyncFunction = (async () => {}).constructor as new (source: string) => () => Promise<unknown>

const results = globalThis as { result?: unknown }

/** What a snippet, the body of an async function, gives as a thread of a scenario. */
async function explored(source: string): Promise<unknown> {
  const scenario = new Function(
    `return () => ({ threads: [async () => { globalThis.result = await (async () => { ${source}\n })() }] })`,
  )() as () => Scenario
  results.result = undefined
  await explore(scenario, { preemptions: 1 })
  return results.result
}

function testAll(snippets: Snippets): void {
  for (const [situation, source] of snippets) {
    test(situation, async () => {
      const expected = await new AsyncFunction(`'use strict'; ${source}`)()
      assert.notEqual(expected, undefined)
      assert.deepEqual(await explored(source), expected)
      if (source.includes('await')) return
      const inGenerator = `return [...(function* () { yield (() => { ${source}\n })() })()][0]`
      assert.deepEqual(await explored(inGenerator), expected, 'where there is no switch')
    })
  }
}

async function kindOf(scenario: string): Promise<string> {
  const error = await explore(new Function(`return ${scenario}`)() as () => Scenario, {
    preemptions: 2,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error === undefined) return 'none'
  assert.ok(error instanceof ExploreError, String(error))
  return error.kind
}

describe('functions that built-in functions are given', () => {
  testAll([
    [
      'the result of a call',
      'const by = k => (a, b) => a[k] - b[k]; return [{ v: 3 }, { v: 1 }].sort(by("v"))',
    ],
    ['curried', 'const add = a => b => a + b; return [1, 2].map(add(3))'],
    ['bound', 'const o = { by: 2, f(x) { return x * this.by } }; return [1, 2].map(o.f.bind(o))'],
    ['one of two', 'const f = x => x + 1, g = x => x - 1; return [true, false].map(c => [5].map(c ? f : g))'],
    ['by a default', 'const f = undefined; return [3, 10, 2].sort(f ?? ((a, b) => a - b))'],
    ['spread', 'const fns = [x => x * 2]; return [1, 2].map(...fns)'],
    ['to Array.from', 'const mk = () => (_, i) => i * i; return Array.from({ length: 3 }, mk())'],
    ['to replace', 'const up = () => s => s.toUpperCase(); return "abc".replace(/b/, up())'],
    ['awaited', 'return [3, 1, 2].sort(await (a => (a, b) => a - b)())'],
    [
      'this',
      'class A { static run() { return [1, 2].map(A.f) } static f(x) { return x + 1 } } return A.run()',
    ],
    ['to call and apply', 'return [[].map.call([1], x => x + 1), [].map.apply([1], [x => x + 2])]'],
    ['to Reflect.apply', 'return Reflect.apply([].map, [1], [x => x + 1])'],
    ['a function that is no function', 'try { (void 0)(1, () => 1) } catch (e) { return e.name }'],
    [
      'a method that is none',
      'const o = {}; try { o.gone(() => 1) } catch (e) { return e.constructor.name }',
    ],
    [
      'kept in a list, and the same',
      'const f = () => 1, l = []; l.push(f); return [l[0] === f, l.includes(f), l[0]()]',
    ],
    [
      'kept in a map, and the same',
      'const f = () => 1, m = new Map(); m.set(f, f); return [m.get(f) === f, m.get(f)()]',
    ],
    [
      'kept in a set',
      'const f = () => 1, s = new Set([f]); s.add(f); return [s.size, s.has(f), [...s][0]()]',
    ],
    [
      'to a constructor of one’s own',
      'class A { constructor(f) { this.f = f } } const f = () => 3; return [new A(f).f === f, new A(f).f()]',
    ],
    [
      'to a proxy',
      'const p = new Proxy({ a: 1 }, { get: (t, k) => t[k] + 1, has() { return true } }); return [p.a, "z" in p]',
    ],
    [
      'as a descriptor',
      'const o = Object.defineProperty({}, "x", { get() { return [1].map(x => x)[0] }, enumerable: true }); return [o.x, JSON.stringify(o)]',
    ],
    ['as descriptors', 'return Object.create({}, { x: { get: () => 7 }, y: { value: () => 1 } }).x'],
  ])
})

describe('optional chains', () => {
  testAll([
    ['a method with a callback', 'return [1, 2]?.map(x => x + 1)'],
    ['on from a method’s result', 'const o = { get() { return { value: 5 } } }; return o?.get().value'],
    [
      'of private fields',
      'class A { #i = { peek: () => ({ v: 4 }) }; v() { return this.#i?.peek()?.v } } return new A().v()',
    ],
    [
      'a private method that may not be there',
      'class A { #f; #g = x => x; v() { return [this.#f?.(1), this.#g?.(2)] } } return new A().v()',
    ],
    [
      'of a getter',
      'class C { get getter() { return { b: 2 } } } const c = new C(); return [c?.getter.b, c?.getter?.b]',
    ],
    ['cut short', 'let n = 0; const o = null; return [o?.a.b.c(n++), o?.[n++], n, o?.a.b.c.d === undefined]'],
    [
      'cut short in the middle',
      'const o = { a: () => null }; return [o.a()?.b.c(), o.b?.(), o.a?.()?.c] .map(String)',
    ],
    [
      'with a this',
      'const o = { n: 1, f() { return this.n } }; return [o?.f(), o.f?.(), o?.["f"]?.(), o["f"]?.()]',
    ],
    ['of a function', 'const f = x => x, g = null; return [f?.(1), g?.(2)].map(String)'],
    ['of calls in arguments', 'const f = x => x; return f?.(f?.(f?.(1)))'],
    ['deleted', 'const o = { a: { b: 1 } }; return [delete o?.a.b, o, delete o?.z?.y]'],
    ['a nullish object', 'let n = 0; try { ({})?.a.b(n++) } catch (e) { return [e.name, n] }'],
    [
      'with await inside',
      'const o = { f: async x => x }; return [await o?.f(await 1), await o.f?.(await 2)]',
    ],
    ['an element', 'const w = new Int32Array([5]); return [w?.[0], w?.at(0)]'],
    [
      'of super',
      'class A { m() { return 1 } } class B extends A { m() { return [super.m?.(), super.z?.()] .map(String) } } return new B().m()',
    ],
    ['in an async arrow', 'class A { v = 1; go = async () => this?.v; } return await new A().go()'],
  ])
})

const COUNTER =
  'class C { #n = 1; get n() { return [this.#n].map(x => x)[0] } set n(v) { this.#n = v } get ["k"]() { return 9 } }; const c = new C();'
describe('accessors', () => {
  testAll([
    ['by destructuring', `${COUNTER} const { n, k } = c; return [n, k]`],
    ['by a spread', 'const o = { get a() { return 1 } }; return { ...o }'],
    ['by JSON', 'return JSON.stringify({ get a() { return 1 } })'],
    ['by an operator', `${COUNTER} c.n += 2; return c.n`],
    ['by steps', `${COUNTER} return [c.n++, c.n, --c.n]`],
    ['by a logical operator', `${COUNTER} c.n &&= 7; c.n ||= 8; c.n ??= 9; return c.n`],
    ['by a literal key', `${COUNTER} return [c['n'], c['k'], c.k]`],
    ['by a key', `${COUNTER} const k = 'n'; c[k] += 1; return [c[k], c[k]++, c[k]]`],
    ['by a proxy', `const p = new Proxy({ get n() { return 4 } }, {}); return [p.n, p['n']]`],
    [
      'by Reflect and Object',
      'const o = { get a() { return 1 } }; return [Reflect.get(o, "a"), Object.values(o), Object.entries(o), Object.assign({}, o)]',
    ],
    [
      'private',
      'class A { get #x() { return [1].map(x => x + 1)[0] } set #x(v) { this.v = v } f() { this.#x += 3; return [this.#x, this.v] } } return new A().f()',
    ],
    [
      'a getter that throws',
      `class A { get n() { throw new RangeError('x') } m = 1 } const a = new A(); try { a.n } catch (e) { const { m } = a; return [e.name, m] }`,
    ],
    [
      'a name that is read of nothing',
      `${COUNTER} try { null.n } catch (e) { const { n } = c; return [e.name, n] }`,
    ],
    [
      'static, and inherited',
      'class A { static get s() { return this.t } static t = 5 } class B extends A { static t = 6 } return [A.s, B.s]',
    ],
    ['that gives a function', `class A { get f() { return x => x + 1 } } return new A().f(1)`],
    [
      'of arguments',
      'function f() { const o = { get a() { return arguments.length } }; return [o.a, o.a] } return f(1, 2)',
    ],
    [
      'a setter with a pattern',
      'const o = { set p([a, b = 3]) { this.v = [a, b, arguments.length] } }; o.p = [1]; return o.v',
    ],
  ])
})

describe('what the language calls', () => {
  testAll([
    [
      'toString',
      'class A { toString() { return [1, 2].map(x => x).join() } } return new A() + String(new A()) + new A().toString()',
    ],
    ['valueOf', 'return +{ valueOf() { return [3].map(x => x)[0] } } + ({ valueOf: () => 4 })'],
    ['toJSON', 'class A { toJSON() { return 5 } } return JSON.stringify([new A(), { toJSON: () => 6 }])'],
    [
      'toPrimitive',
      'const o = { [Symbol.toPrimitive](hint) { return hint } }; return [String(o), `x`.concat(o), +o]',
    ],
    [
      'hasInstance',
      'class A { static [Symbol.hasInstance](x) { return x > 1 } } return [2 instanceof A, 1 instanceof A]',
    ],
    [
      'a method that is assigned',
      'function A() {} const o = {}; o.toString = function () { return "s" }; return String(o)',
    ],
    ['a field', 'class A { toString = () => "field" } return String(new A())'],
    [
      'an iterator in for…of',
      'const o = { [Symbol.iterator]() { let i = 0; return { next() { return { done: i > 2, value: i++ } } } } }; const l = []; for (const x of o) l.push(x); return l',
    ],
    [
      'an iterator that is left',
      'let left = 0; const o = { [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }), return() { left += 1; return {} } }) }; for (const x of o) break; const [a] = o; return [a, left]',
    ],
    [
      'an iterator that is spread',
      'class A { n = 0; [Symbol.iterator]() { return this } next() { this.n += 1; return { done: this.n > 3, value: this.n } } } return [[...new A()], Math.max(...new A()), Array.from(new A()), [...new Set(new A())]]',
    ],
    [
      'an iterator in Promise.all',
      'class A { n = 0; [Symbol.iterator]() { return this } next() { return { done: this.n++ > 1, value: this.n } } } return await Promise.all(new A())',
    ],
    [
      'an iterator in patterns',
      'class A { n = 0; [Symbol.iterator]() { return this } next() { return { done: this.n++ > 3, value: this.n } } } let x, r; [x, ...r] = new A(); const [a, , b] = new A(); return [x, r, a, b]',
    ],
    [
      'a generator as an iterator',
      'class A { *[Symbol.iterator]() { yield 1; yield* [2, 3] } } return [...new A(), ...(function* () { yield* new A() })()]',
    ],
    [
      'a generator’s own methods',
      'function* g() { try { const x = yield 1; yield x } finally { yield 9 } } const i = g(); return [i.next(), i.next(5), i.return(7), i.next(), i[Symbol.iterator]() === i]',
    ],
    ['what is no iterable', 'try { const [a] = {}; } catch (e) { return e.name }'],
  ])
})

describe('operators and assignments', () => {
  testAll([
    [
      'what is there is read before the other side',
      'const s = [0]; await Promise.all([(async () => { s[0] += await 1 })(), (async () => { s[0] += await 1 })()]); return s',
    ],
    ['the same of a call', 'const s = [1]; const f = () => { s[0] = 10; return 2 }; s[0] += f(); return s'],
    [
      'a key is evaluated once',
      'const a = [0, 0]; let n = 0; a[n++] ||= 7; a[n++] += 2; a[n - 1] &&= 3; a[9] ??= a.length; return [a[0], a[1], n, a[9]]',
    ],
    [
      'what decides is not evaluated',
      'const a = [1]; let n = 0; a[0] ||= n++; a[0] ??= n++; return [a[0] &&= 5, n]',
    ],
    [
      'big integers',
      'const b = new BigInt64Array(2); b[1] += 2n; b[1]++; ++b[1]; b[0]--; return [b[1]--, b[0], b[1]].map(String)',
    ],
    ['steps of what is no number', 'const o = { a: "5" }; const k = "a"; return [o[k]++, o[k], typeof o[k]]'],
    [
      'every operator',
      'const o = { a: 5 }, k = "a"; const l = []; l.push(o[k] += 2, o[k] -= 1, o[k] *= 3, o[k] /= 2, o[k] %= 5, o[k] **= 2, o[k] <<= 2, o[k] >>= 1, o[k] >>>= 1, o[k] |= 8, o[k] &= 12, o[k] ^= 1); o[k] += "s"; return [l, o]',
    ],
    [
      'elements that change places',
      'const a = [1, 2]; let i = 0, j = 1; [a[i], a[j]] = [a[j], a[i]]; return a',
    ],
    ['members as targets', 'const o = {}; ({ a: o["y"], b: o.z = 3, ...o.r } = { a: 1, c: 2 }); return o'],
    [
      'heads of loops',
      'const o = {}, l = []; for (o["k"] of [1, 2]) l.push(o.k); for (o["k"] in { a: 1 }) l.push(o.k); for (const [k, v] of Object.entries({ a: 1 })) l.push(k, v); for ([o.p] of [[3]]) l.push(o.p); return l',
    ],
    [
      'patterns in parameters',
      'const f = ([a, { b = a }], { c: [d] = [4] } = {}) => [a, b, d]; return f([1, {}])',
    ],
    [
      'tagged templates',
      `const tag = (s, ...v) => s.raw.join('|') + v; const o = { n: 2, t(s) { return this.n + s[0] } };
       return [tag\`a\${tag\`z\`}b\${2}\`, o.t\`x\`, o['t']\`y\`, String.raw\`\\z\${1}\`]`,
    ],
    [
      'labels',
      'const l = []; outer: for (const a of [1, 2]) for (const b of [1, 2]) { if (b === 2) continue outer; l.push(a, b) } return l',
    ],
    [
      'for…in over elements',
      'const w = new Int32Array([4, 5]); let sum = 0; for (const i in w) sum += w[i]; return sum',
    ],
  ])
})

describe('this, arguments, super and new.target', () => {
  testAll([
    [
      'arguments of async functions',
      'async function f(a) { await null; return [arguments.length, arguments[1], a] } return await f(1, 2)',
    ],
    [
      'arguments of generators',
      'function* g() { yield arguments.length; yield (() => arguments[0])() } return [...g(7, 8)]',
    ],
    [
      'arguments of methods',
      'const o = { m() { return arguments[0] }, async n() { return arguments[1] } }; return [o.m(1), await o.n(1, 2)]',
    ],
    ['arguments in arrows', 'function f() { return [1].map(() => arguments[0]) } return f(9)'],
    [
      'arguments in async arrows',
      'async function f() { return await (async () => arguments[0])(5) } return await f(9)',
    ],
    [
      'arguments in constructors',
      'class A { constructor() { this.v = (() => arguments.length)() } } return new A(1, 2).v',
    ],
    [
      'parameters and var',
      'async function f(a, b = a) { var a = a || 4; return [a, b] } return [await f(0), await f(2), f.length]',
    ],
    [
      'lengths',
      'return [async (a, b) => a, async function (a, b = 1) {}, function* (a) {}, (a, ...r) => a, async (...r) => r].map(f => f.length)',
    ],
    [
      'rest and default parameters',
      'const f = async (a, b = a + 1, ...r) => [a, b, r]; return [await f(1), await f(1, 2, 3, 4)]',
    ],
    [
      'parameters that throw',
      'const f = async (a = (() => { throw new RangeError("p") })()) => a; return await f().catch(e => e.name)',
    ],
    [
      'super in async methods',
      'class A { m(x) { return x + 1 } get g() { return 5 } } class B extends A { async m() { await null; return super.m(1) + super.g + super["m"](2) } } return await new B().m()',
    ],
    [
      'super in getters',
      'class A { get v() { return 1 } m() { return this.n } n = 3 } class B extends A { get v() { return super.v + super.m() } } return new B().v',
    ],
    [
      'super in arrows',
      'class A { m() { return this.n } n = 3 } class B extends A { m() { return [1].map(() => super.m()) } f = () => super.m(); g = async () => super.m() } const b = new B(); return [b.m(), b.f(), await b.g()]',
    ],
    [
      'super in objects, generators and statics',
      'const base = { m() { return 4 } }; const o = { __proto__: base, *g() { yield super.m() }, async a() { return super.m() }, m() { return super.m() + 1 } }; class A { static s() { return 6 } } class B extends A { static v = (() => super.s())(); static async s() { return super.s() } } return [...o.g(), await o.a(), o.m(), B.v, await B.s()]',
    ],
    [
      'super, to write',
      'class A {} class B extends A { async m() { super.x = 4; return this.x } n() { super.y = 5; return this.y } } return [await new B().m(), new B().n()]',
    ],
    [
      'super with a callback',
      'class L extends Array { all() { return super.map(x => x + 1) } } return [...L.of(1, 2).all()]',
    ],
    [
      'super in constructors',
      'class A { constructor(f) { this.v = f(2) } } class B extends A { constructor() { super(x => x + 1); this.w = (() => this.v)() } } return new B().w',
    ],
    [
      'new.target',
      'class A { constructor() { this.t = (() => new.target.name)() } } class B extends A {} function f() { return new.target } return [new A().t, new B().t, String(f())]',
    ],
    [
      'this in arrows',
      'const o = { n: 1, f() { return (() => (() => this.n)())() }, async g() { return (async () => this.n)() } }; return [o.f(), await o.g()]',
    ],
  ])
})

describe('this before super', () => {
  testAll([
    [
      'in functions that it is given',
      'class A { constructor(f, o) { this.f = f; this.o = o } } class B extends A { constructor() { const late = () => this; super(() => this.v, { g: () => () => this.v, h: async () => this.v }); this.v = 4; this.late = late() === this } } const b = new B(); return [b.f(), b.o.g()(), b.late]',
    ],
    [
      'in methods of super',
      'class A { m() { return 1 } get g() { return 2 } } class B extends A { constructor() { const late = () => [super.m(), super.g, super.m?.()]; super(); this.l = late() } } return new B().l',
    ],
  ])
})

describe('functions as constructors', () => {
  testAll([
    [
      'with a prototype',
      'function A(x) { this.x = [x].map(y => y)[0] } A.prototype.f = function () { return this.x + 1 }; const B = function () { A.call(this, 5) }; B.prototype = Object.create(A.prototype, { constructor: { value: B } }); const b = new B(); return [new A(2).f(), b.f(), b instanceof A, b.constructor === B, A.length]',
    ],
    [
      'extended by a class',
      'function A(f) { this.f = f } const g = x => x; class B extends A {} return [new B(g).f === g, new B(g).f(3)]',
    ],
    [
      'of an object',
      'const o = {}; o.A = function () { this.v = (() => arguments[0])() }; return new o.A(6).v',
    ],
    [
      'that gives another object',
      'function A() { return { v: new.target === A } } return [new A().v, A().v]',
    ],
    [
      'by a method of its own',
      'const A = function (x) { this.x = x }; A.make = function (x) { return new this(x) }; A.prototype.f = function () { return this.x }; return A.make(4).f()',
    ],
  ])
})

describe('names', () => {
  testAll([
    [
      'of the transform’s runtime as it was',
      'const $ = 1, $import = 2, $export = 3; return $ + $import + $export',
    ],
    ['jQuery’s', 'const $ = x => [x]; $.v = 5; return [$.v, $(2).map(x => x)]'],
    [
      'of globals',
      'const Promise = 1, performance = 2, Atomics = { load: x => x }; return [Promise, performance, Atomics.load(3)]',
    ],
    [
      'globalThis',
      'return [typeof globalThis.Array, globalThis.Promise === Promise, global.setTimeout === setTimeout, "Map" in globalThis]',
    ],
  ])
})

describe('promises and signals', () => {
  testAll([
    [
      'a thenable',
      'return [await { then(f) { f(4) } }, await Promise.resolve({ then: (f, r) => r(5) }).catch(x => x)]',
    ],
    [
      'the first settlement counts',
      'let go; const pending = new Promise(r => { go = r }); const p = new Promise(r => { r(pending); r("second") }); go("first"); return await p',
    ],
    [
      'a rejection behind a resolution',
      'return await new Promise((r, j) => { r(Promise.resolve(1)); j(new Error("no")) })',
    ],
    [
      'a promise of its own',
      'const p = new Promise(r => setImmediate(() => r(p))); return await p.catch(e => e.message)',
    ],
    [
      'turns of adopted promises',
      'const l = []; const chain = Promise.resolve(); const done = (async () => Promise.resolve(1))().then(x => l.push(x)); let c = chain; for (const n of ["a", "b", "c", "d", "e"]) c = c.then(() => l.push(n)); await Promise.all([done, c]); return l',
    ],
    [
      'turns of then, finally and await',
      'const l = []; const a = Promise.resolve(1).finally(() => l.push("f")).then(() => l.push("after")); const b = (async () => { for (let n = 0; n < 6; n += 1) { await null; l.push(n) } })(); const t = Promise.resolve().then(() => ({ then(f) { f("t") } })).then(x => l.push(x)); await Promise.all([a, b, t]); return l',
    ],
    [
      'turns of all, any, race and allSettled',
      'const l = []; const ps = ["all", "any", "race", "allSettled"].map(n => Promise[n]([1, Promise.resolve(2)]).then(x => l.push([n, x]))); const b = (async () => { for (let n = 0; n < 6; n += 1) { await null; l.push(n) } })(); await Promise.all([...ps, b]); return l',
    ],
    [
      'allSettled',
      'return await Promise.allSettled([1, Promise.reject(2), (async () => { await null; return 3 })()])',
    ],
    [
      'any',
      'return [await Promise.any([Promise.reject(1), (async () => 2)()]), await Promise.any([Promise.reject(1)]).catch(e => [e.name, e.errors, e.message]), await Promise.any([]).catch(e => e.errors)]',
    ],
    ['nothing to wait for', 'return [await Promise.all([]), await Promise.allSettled([])]'],
    [
      'finally keeps an outcome, or throws',
      'const p = Promise.resolve(1); return [await p.finally(() => 2), await p.finally(), await p.finally(() => { throw 3 }).catch(x => x), await Promise.reject(4).finally(async () => 5).catch(x => x)]',
    ],
    [
      'a signal’s time',
      'const s = AbortSignal.timeout(1); const before = s.aborted; await new Promise(r => s.addEventListener("abort", r)); return [before, s.aborted, s.reason.name, s instanceof AbortSignal]',
    ],
    [
      // Which of the two that depend on one is told first differs between releases of Node.
      'any of two signals',
      'const a = new AbortController(), b = new AbortController(), l = []; const s = AbortSignal.any([a.signal, b.signal]); const t = AbortSignal.any([s]); t.onabort = () => l.push("t"); s.onabort = () => l.push("s " + s.aborted); a.signal.onabort = () => l.push("a"); a.abort(5); b.abort(6); return [l.sort(), s.reason, AbortSignal.any([b.signal]).reason, t.reason]',
    ],
    [
      'a timer by promisify',
      'const { promisify } = process.getBuiltinModule("node:util"); return await promisify(setTimeout)(1, "x")',
    ],
    ['a string of one', 'return String(Promise.resolve())'],
  ])
  test('promises while a scenario is set up are heard', async () => {
    await explore(() => {
      const heard: number[] = []
      Promise.resolve(1)
        .then(value => Promise.resolve(value + 1))
        .then(value => heard.push(value))
      return {
        threads: [
          () => {
            if (heard.join() !== '2') throw new Error(heard.join())
          },
        ],
      }
    })
  })
})

describe('aliases of Atomics', () => {
  const increment = (load: string, store: string, before = '') => `() => {
    ${before}
    const words = new Int32Array(new SharedArrayBuffer(4))
    const thread = () => { ${store}(words, 0, ${load}(words, 0) + 1) }
    return { threads: [thread, thread], check() { if (words[0] !== 2) throw new Error('lost') } }
  }`
  for (const [situation, scenario] of [
    ['by their own names', increment('load', 'store', 'const { load, store } = Atomics')],
    ['of another name', increment('A.load', 'A.store', 'const A = Atomics')],
    ['by a key', increment("Atomics['load']", "Atomics['store']")],
    ['by a chain', increment('Atomics?.load', 'Atomics.store?.')],
    ['of the global object', increment('globalThis.Atomics.load', 'global.Atomics.store')],
    [
      'by another name of the global object',
      increment('g.Atomics.load', 'g.Atomics.store', 'const g = globalThis'),
    ],
    [
      'bound',
      increment(
        'load',
        'store',
        'const [load, store] = [Atomics.load, Atomics.store].map(f => f.bind(Atomics))',
      ),
    ],
    ['called', increment('Atomics.load.call', 'Atomics.store', '').replace('load.call(', 'load.call(null, ')],
  ] as const) {
    test(`${situation}: an update is lost`, async () => assert.equal(await kindOf(scenario), 'assertion'))
  }
  test('what has no order needs none', async () => {
    const scenario = () => {
      const { isLockFree } = Atomics
      return { threads: [() => void isLockFree(4), () => void Atomics.isLockFree(4)] }
    }
    assert.equal((await explore(scenario)).schedules, 1)
  })
})

/** A thread that does this with a shared view, and one that writes to it plainly. */
const besides = (source: string, write: string, shared: string): string => `() => {
  const words = ${shared}
  const local = new Int32Array(4)
  return { threads: [() => { ${source} }, () => { ${write} }] }
}`

const WORDS = 'new Int32Array(new SharedArrayBuffer(16))'
const BYTES = 'Buffer.from(new SharedArrayBuffer(16))'
const VIEW = 'new DataView(new SharedArrayBuffer(16))'
const LAST = 'words[3] = 1'

describe('plain accesses that race', () => {
  const scenarios: readonly (readonly [source: string, write?: string, shared?: string])[] = [
    ['const [a, b, c, d] = words'],
    ['let d; [, , , d] = words'],
    ['for (const word of words);'],
    ['[...words]'],
    ['Math.max(...words)'],
    ['for (const word of words.values());'],
    ['for (const [at, word] of words.entries());'],
    ['[...words[Symbol.iterator]()]'],
    ['for (const at in words) words[at]'],
    ['words.at(-1)'],
    ['words.at(3)'],
    ['words.includes(1)'],
    ['words.includes(NaN)'],
    ['words.indexOf(1)'],
    ['words.lastIndexOf(0)'],
    ['words.join()'],
    ['String(words.toString())'],
    ['words.reduce((a, b) => a + b)'],
    ['words.reduceRight((a, b) => a + b)'],
    ['words.map(x => x)'],
    ['words.filter(x => x)'],
    ['words.forEach(x => x)'],
    ['words.find(x => x)'],
    ['words.findLast(x => x)'],
    ['words.findIndex(x => x)'],
    ['words.some(x => x)'],
    ['words.every(x => x === 0)'],
    ['words.sort()'],
    ['words.sort((a, b) => a - b)'],
    ['words.reverse()'],
    ['words.toReversed()'],
    ['words.toSorted()'],
    ['words.with(0, 1)'],
    ['words.copyWithin(0, 3)'],
    ['words.copyWithin(3, 0)'],
    ['words.fill(7, -1)'],
    ['words.slice(-1)'],
    ['words?.[3]'],
    ['words?.at(3)'],
    ['local.set(words)'],
    ['words.set([1], 3)'],
    ['Array.from(words)'],
    ['Int32Array.from(words)'],
    ['new Int32Array(words)'],
    ['new Set(words)'],
    ['[words[3]] = [1]', 'words[3]'],
    ['words[3] += 1'],
    ['words[3]++'],
    ['words[3] ||= 1'],
    ['words.getInt32(12)', 'words.setInt32(12, 1)', VIEW],
    ['words.setFloat64(8, 1)', 'words.getUint8(8)', VIEW],
    ['words.readInt32LE(12)', 'words.writeUInt32LE(1, 12)', BYTES],
    ['words.readDoubleBE(8)', 'words[15] = 1', BYTES],
    ['words.readUIntLE(12, 4)', 'words[15] = 1', BYTES],
    ['words.readInt8()', 'words[0] = 1', BYTES],
    ['words.write("abcd", 12)', 'words[15]', BYTES],
    ['words.copy(Buffer.alloc(4), 0, 12)', 'words[15] = 1', BYTES],
    ['Buffer.from("abcd").copy(words, 12)', 'words[15]', BYTES],
    ['words.toString("utf8", 15)', 'words[15] = 1', BYTES],
    ['words.equals(Buffer.alloc(16))', 'words[15] = 1', BYTES],
    ['Buffer.from(words)', 'words[15] = 1', BYTES],
    ['Buffer.concat([words])', 'words[15] = 1', BYTES],
  ]
  for (const [source, write = LAST, shared = WORDS] of scenarios) {
    test(`${source} with ${write}`, async () => {
      assert.equal(await kindOf(besides(source, write, shared)), 'data race')
    })
  }
})

describe('plain accesses that touch something else', () => {
  const scenarios: readonly (readonly [source: string, write: string, shared?: string])[] = [
    ['words.fill(7, -1)', 'words[0] = 1'],
    ['words.fill(7, 0, -1)', LAST],
    ['words.slice(-1)', 'words[0] = 1'],
    ['words.slice(0, -1)', LAST],
    ['words.subarray(2)', LAST],
    ['const [a] = words', LAST],
    ['for (const word of words) break', LAST],
    ['words.indexOf(0)', LAST],
    ['words.includes(0)', LAST],
    ['words.lastIndexOf(0)', 'words[0] = 1'],
    ['words.find(x => x === 0)', LAST],
    ['words.at(9)', LAST],
    ['words.copyWithin(0, 1, 2)', LAST],
    ['local.set(words.subarray(0, 3))', LAST],
    ['words.getInt32(0)', 'words.setInt32(4, 1)', VIEW],
    ['words.slice(0)', 'words[0] = 1', BYTES],
    ['words.readInt16LE(0)', 'words.writeInt16LE(1, 2)', BYTES],
    ['words.write("abcd", 0)', 'words[4]', BYTES],
    ['words.copy(Buffer.alloc(2))', 'words[2] = 1', BYTES],
  ]
  for (const [source, write, shared = WORDS] of scenarios) {
    test(`${source} with ${write}`, async () => {
      assert.equal(await kindOf(besides(source, write, shared)), 'none')
    })
  }

  test('what comes of a watched method is what Node gives', async () => {
    const source = `const words = new Int32Array(new SharedArrayBuffer(16));
      words.set([4, 2, 3]); words[3]++;
      const i = words.entries();
      return [[...words], [...words.values()], [...words.entries()], i.next(), words.at(-1), words.includes(2),
        words.indexOf(2, -2), words.lastIndexOf(1), words.toSorted(), words.map(x => x * 2), words.with(0, 9),
        words.filter(x => x > 2), words.find(x => x < 4), words.findLast(x => x > 1), words.findLastIndex(x => x > 9),
        words.reduceRight((a, b) => a + '' + b), [1, , 3].reduceRight((a, b) => a + b), [1, 2, 3].findLast(x => x < 3),
        Array.from(words, x => x + 1), new Float64Array(words), new Set(words), words.join('-'), [...words.copyWithin(0, 2)]]`
    const expected = await new AsyncFunction(source)()
    assert.deepEqual(await explored(source), expected)
  })
})

describe('a switch comes between two operations', () => {
  for (const [situation, source] of [
    ['in a function that was kept in a list', 'const list = []; list.push(add); list[0]()'],
    ['in a function that was kept in a map', 'const map = new Map(); map.set(1, add); map.get(1)()'],
    [
      'in a function that a class of one’s own is given',
      'class A { constructor(f) { this.f = f } } new A(add).f()',
    ],
    ['in a callback of findLast', '[1].findLast(add)'],
    ['in a callback of findLastIndex', '[1].findLastIndex(add)'],
    ['in a callback of reduceRight', '[1].reduceRight(add, 0)'],
    ['in a callback that is passed on', '[].map.call([1], add); '],
    ['in a method behind a chain', 'const o = { add }; o?.add()'],
    ['in a method that may not be there', 'const o = { add }; o.add?.()'],
    ['in a getter behind a chain', 'const o = { get x() { return { v: add() } } }; o?.x.v'],
    ['in a private getter', 'new (class { get #x() { return add() } run() { return this.#x } })().run()'],
    [
      'in a getter of super',
      'class A { get x() { return add() } } class B extends A { run() { return super.x } } new B().run()',
    ],
    ['in a tag', 'const tag = () => add(); tag`x`'],
    ['in a thenable', 'return (async () => { await { then(f) { add(); f() } } })()'],
    [
      'in super’s method in an arrow',
      'class A { m() { add() } } class B extends A { m() { (() => super.m())() } } new B().m()',
    ],
  ] as const) {
    test(situation, async () => {
      const scenario = `() => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        const add = () => Atomics.store(words, 0, Atomics.load(words, 0) + 1)
        const thread = () => { ${source} }
        return { threads: [thread, thread], check() { if (words[0] !== 2) throw new Error('lost') } }
      }`
      assert.equal(await kindOf(scenario), 'assertion')
    })
  }
})

/** Writes modules beside each other, and gives what the first one's `result` is as the explorer loads it, and as Node does. */
async function loadedAs(files: Readonly<Record<string, string>>): Promise<readonly [unknown, unknown]> {
  folders += 1
  const folder = temporary(`language-${folders}`)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const url = pathToFileURL(join(folder, Object.keys(files)[0] ?? ''))
  const given = async (value: unknown) => (typeof value === 'function' ? await value() : value)
  const inNode = await given(((await import(url.href)) as { result: unknown }).result)
  results.result = undefined
  const scenario = ({ module }: { module: { result: unknown } }): Scenario => ({
    threads: [
      async () => {
        const { result } = module
        ;(globalThis as { result?: unknown }).result = typeof result === 'function' ? await result() : result
      },
    ],
  })
  await explore(scenario as never, { modules: { module: url }, preemptions: 1 })
  return [results.result, inNode]
}

let folders = 0

describe('modules', () => {
  const b = 'b.mjs'
  for (const [situation, files] of [
    [
      'that import each other',
      {
        'a.mjs': `import { make } from './b.mjs'
          export class A { v = 1 }
          export function f() { return 2 }
          export const result = [make().v, make() instanceof A]`,
        [b]: "import { A, f } from './a.mjs'; export const make = () => new A(); export const early = f()",
      },
    ],
    [
      'whose exports change',
      {
        'a.mjs':
          "import { n, next } from './b.mjs'; export const result = () => [n, next(), n, { n }, next?.(), String(n)]",
        [b]: 'export let n = 0; export const next = () => { n += 1; return n }',
      },
    ],
    [
      'that export what patterns bind, by other names and again',
      {
        'a.mjs':
          "import * as b from './b.mjs'; import c, { s as t } from './b.mjs'; export const result = [{ ...b, default: 0, all: { ...b.all } }, t, c.name]",
        [b]: `export const { q: [r, ...s], x: { y = 3 } = {}, ...t } = { q: [1, 2, 3], z: 4 }
          export { r as default2, r as 'a name' }
          export default class {}
          export * from './c.mjs'
          export * as all from './c.mjs'`,
        'c.mjs': 'export const r = "not this", u = 5; export default 6',
      },
    ],
    [
      'that import each other to export it again',
      {
        'a.mjs':
          "import './index.mjs'; import { g } from './index.mjs'; export function f() { return 1 } export const result = g()",
        'index.mjs': "export { f } from './a.mjs'; export { g } from './g.mjs'",
        'g.mjs': "import { f } from './index.mjs'; export const g = () => f() + 1",
      },
    ],
    [
      'with the names of globals',
      {
        'a.mjs': `import { performance } from 'node:perf_hooks'
          import { setTimeout, setImmediate } from 'node:timers'
          const queueMicrotask = 1
          export const result = [typeof performance.now(), typeof setTimeout, typeof setImmediate, queueMicrotask]`,
      },
    ],
    [
      'that wait by node:timers/promises',
      {
        'a.mjs': `import { setTimeout, setImmediate, scheduler } from 'node:timers/promises'
          import timers from 'node:timers'
          export const result = async () => [
            await setTimeout(1, 'a'), await setImmediate('b'), String(await scheduler.wait(1)),
            await timers.promises.setTimeout(1, 'c'),
            await setTimeout(9, 'd', { signal: AbortSignal.abort() }).catch(error => error.name),
          ]`,
      },
    ],
    [
      'of other kinds',
      {
        'a.mjs': `import one, { two } from './b.cjs'
          import three from './c.cjs'
          export const result = [one, two(), three()]`,
        'b.cjs': "exports.two = () => require('./d.json').map(x => x + 1)",
        'c.cjs': 'module.exports = function () { return [1].map(function (x) { return x }) }',
        'd.json': '[1, 2]',
      },
    ],
    [
      'of packages',
      {
        'a.mjs':
          "import both from 'both'; import { a } from 'both/some/a.js'; import main from 'main'; import sub from 'main/sub.cjs'; export const result = [both, a, main, sub]",
        'node_modules/both/package.json': JSON.stringify({
          exports: {
            '.': { browser: './no.js', require: './b.cjs', import: './b.mjs' },
            './some/*': [{ import: null }, './s/*'],
            './*': './no.js',
          },
        }),
        'node_modules/both/b.cjs': "module.exports = 'required'",
        'node_modules/both/b.mjs': "export default 'imported'",
        'node_modules/both/s/a.js': 'exports.a = 3',
        'node_modules/main/package.json': JSON.stringify({ main: 'm.js' }),
        'node_modules/main/m.js': 'module.exports = 4',
        'node_modules/main/sub.cjs': 'module.exports = 5',
      },
    ],
    [
      'without an ending that tells',
      {
        'a.mjs': "import b from './b.js'; import { list } from './c.js'; export const result = [b(), list]",
        'b.js': "const { basename } = require('path'); module.exports = () => basename('/a/b')",
        'c.js': "'use strict'; exports.list = [1]; exports.list.push(2)",
        'package.json': '{}',
      },
    ],
    [
      'that know themselves',
      { 'a.mjs': 'export const result = [import.meta.url.endsWith("a.mjs"), import.meta.dirname]' },
    ],
  ] as const satisfies readonly (readonly [string, Readonly<Record<string, string>>])[]) {
    test(situation, async () => {
      const [found, expected] = await loadedAs(files as Readonly<Record<string, string>>)
      assert.notEqual(expected, undefined)
      assert.deepEqual(found, expected)
    })
  }
})
