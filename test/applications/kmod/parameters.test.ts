import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  joinArgument,
  Parameter,
  type ParameterDeclaration,
  ParameterError,
  parseArguments,
  splitArguments,
} from '../../../src/applications/kmod/parameters.js'

const set = (declaration: ParameterDeclaration, text: string | undefined) => {
  const parameter = new Parameter('p', declaration)
  parameter.set(text)
  return parameter
}
const refuses = (declaration: ParameterDeclaration, text: string | undefined, code: string) =>
  assert.throws(() => set(declaration, text), { code }, `${JSON.stringify(declaration)} ${text}`)

test('integers are read as C reads them, and kept to the range of their type', () => {
  assert.equal(set('int', '-42').value, -42)
  assert.equal(set('int', '0x10').value, 16)
  assert.equal(set('int', '010').value, 8)
  assert.equal(set('uint', '4294967295\n').value, 4294967295)
  assert.equal(set('byte', '255').value, 255)
  assert.equal(set('ullong', '18446744073709551615').value, 18446744073709551615n)
  assert.equal(String(set('hexint', '255')), '0x0000ff')
  assert.equal(String(set('hexint', '0xfedcba98')), '0xfedcba98')
  refuses('int', '2147483648', 'ERANGE')
  refuses('byte', '256', 'ERANGE')
  refuses('short', '-32769', 'ERANGE')
  refuses('ullong', '9'.repeat(21), 'ERANGE')
  refuses('long', `-${'9'.repeat(100)}`, 'ERANGE')
  refuses('uint', `-${'9'.repeat(100)}`, 'EINVAL')
  refuses('int', '0'.repeat(100).concat('9'), 'EINVAL')
  refuses('uint', '-1', 'EINVAL')
  for (const text of ['', 'one', '1x', '0x', '09', ' 1', '1 ']) refuses('int', text, 'EINVAL')
})

test('booleans take y, 1, t, on and n, 0, f, off, and are shown as Y and N', () => {
  for (const text of ['y', 'Y', '1', 't', 'on', undefined]) assert.equal(String(set('bool', text)), 'Y')
  for (const text of ['n', 'N', '0', 'f', 'off']) assert.equal(String(set('bool', text)), 'N')
  assert.equal(set('invbool', 'y').value, false)
  assert.equal(String(set('invbool', 'y')), 'Y')
  assert.equal(set('bint', 'on').value, 1)
  refuses('bool', 'maybe', 'EINVAL')
})

test('a switch that can only be turned on is not turned off: EROFS', () => {
  const parameter = set('bool_enable_only', 'n')
  parameter.set('y')
  assert.throws(() => parameter.set('n'), { code: 'EROFS' })
  assert.equal(parameter.value, true)
})

test('strings: charp up to 1024 bytes, string up to its size; beyond is ENOSPC', () => {
  assert.equal(set('charp', 'x'.repeat(1024)).value, 'x'.repeat(1024))
  refuses('charp', 'x'.repeat(1025), 'ENOSPC')
  assert.equal(set({ type: 'string', size: 4 }, 'abc').value, 'abc')
  refuses({ type: 'string', size: 4 }, 'abcd', 'ENOSPC')
})

test('an array takes up to its maximum, each of its type', () => {
  const parameter = set({ type: 'array', of: 'int', max: 3 }, '1,0x2,3')
  assert.deepEqual(parameter.value, [1, 2, 3])
  assert.equal(String(parameter), '1,2,3')
  refuses({ type: 'array', of: 'int', max: 2 }, '1,2,3', 'EINVAL')
  refuses({ type: 'array', of: 'int', max: 3 }, '1,,3', 'EINVAL')
})

test('only booleans may be named without a value', () => {
  refuses('int', undefined, 'EINVAL')
  refuses('charp', undefined, 'EINVAL')
  assert.equal(set('bint', undefined).value, 1)
})

test('a declaration that is none is refused when the module is loaded', () => {
  for (const bad of [
    'integer',
    {},
    { type: 'array' },
    { type: 'string' },
    7,
    null,
    { type: 'array', of: 'x', max: 1 },
    'constructor',
    { type: 'toString' },
    { type: 'array', of: 'valueOf', max: 1 },
    { type: 'int', default: 'abc' },
    { type: 'int', default: 1.5 },
    { type: 'byte', default: 256 },
    { type: 'long', default: 1 },
    { type: 'bool', default: 'y' },
    { type: 'bint', default: 2 },
    { type: 'charp', default: 1 },
    { type: 'string', size: 3, default: 'abc' },
    { type: 'array', of: 'int', max: 1, default: [1, 2] },
    { type: 'array', of: 'int', max: 2, default: ['1'] },
  ]) {
    assert.throws(() => new Parameter('p', bad), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})

test('a default of the parameter’s own type is taken', () => {
  for (const good of [
    { type: 'int', default: -1 },
    { type: 'long', default: -1n },
    { type: 'invbool', default: true },
    { type: 'bint', default: 1 },
    { type: 'string', size: 4, default: 'abc' },
    { type: 'array', of: 'charp', max: 2, default: ['a', 'b'] },
  ] as const) {
    assert.deepEqual(new Parameter('p', good).value, good.default)
  }
})

test('a line: quotes, dashes for underscores, what follows --, the last error of several', () => {
  const parameters = new Map(
    [new Parameter('my_param', 'int'), new Parameter('text', 'charp'), new Parameter('on', 'bool')].map(
      each => [each.name, each] as const,
    ),
  )
  const warnings: string[] = []
  const parse = (line: string) => parseArguments(parameters, line, message => warnings.push(message))
  assert.equal(parse('my-param=1 text="a b" on unknown=3 -- text=c'), undefined)
  assert.equal(parameters.get('my_param')?.value, 1)
  assert.equal(parameters.get('text')?.value, 'a b')
  assert.equal(parameters.get('on')?.value, true)
  assert.equal(warnings.length, 2)
  assert.match(warnings[0] ?? '', /unknown parameter 'unknown'/)
  assert.equal(parse('my_param=x text=d on=?')?.message.includes("'on'"), true)
  assert.equal(parameters.get('text')?.value, 'd', 'what stands behind an error is looked at all the same')
})

test('any value that has no quote in it comes through a line as it was', () => {
  const value = fc.string().filter(text => !/["]/.test(text))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^[a-z_]+$/), value)), pairs => {
      const line = pairs.map(([name, text]) => joinArgument(name, text)).join(' ')
      assert.deepEqual(
        splitArguments(line),
        pairs.map(([name, text]) => ({ name, value: text })),
      )
    }),
  )
})

test('no line makes the parser fail otherwise than by an error of a parameter', () => {
  fc.assert(
    fc.property(fc.string(), line => {
      const parameter = new Parameter('a', 'int')
      parseArguments(new Map([['a', parameter]]), line, () => {})
      assert.equal(typeof parameter.value, 'number')
    }),
  )
  assert.equal(new ParameterError('EINVAL', 'x') instanceof Error, true)
})
