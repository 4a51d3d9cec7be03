/**
 * kernel.core_pattern, as in Linux 6.17, fs/coredump.c.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type CoreFacts, expandPattern } from '../../../src/applications/coredump/index.js'

const FACTS: CoreFacts = {
  pid: 100,
  tid: 101,
  uid: 1000,
  gid: 1001,
  dumpable: 1,
  signal: 6,
  time: 1_700_000_000,
  hostname: 'host',
  comm: 'my prog',
  exe: '/a/b',
  limit: 2n ** 64n - 1n,
  processor: 3,
  pidfd: 3,
}
const file = (pattern: string, facts: Partial<CoreFacts> = {}, usesPid = false) => {
  const target = expandPattern(pattern, { ...FACTS, ...facts }, usesPid)
  return target.kind === 'file' ? target.path : target
}
const program = (pattern: string, facts: Partial<CoreFacts> = {}) => {
  const target = expandPattern(pattern, { ...FACTS, ...facts }, true)
  return target.kind === 'pipe' ? target.argv : target
}

describe('specifiers', () => {
  for (const [specifier, expected] of [
    ['%%', '%'],
    ['%p', '100'],
    ['%P', '100'],
    ['%i', '101'],
    ['%I', '101'],
    ['%u', '1000'],
    ['%g', '1001'],
    ['%d', '1'],
    ['%s', '6'],
    ['%t', '1700000000'],
    ['%h', 'host'],
    ['%e', 'my prog'],
    ['%f', 'b'],
    ['%E', '!a!b'],
    ['%c', '18446744073709551615'],
    ['%C', '3'],
    ['%z', ''],
    ['%é', ''],
    ['%', ''],
  ] as const) {
    test(`${specifier} is ${expected || 'dropped'}, in a file’s name and in an argument`, () => {
      assert.equal(file(`core${specifier}`), `core${expected}`)
      assert.deepEqual(program(`|x ${specifier}y`), specifier === '%' ? ['x', ''] : ['x', `${expected}y`])
    })
  }

  test('%F is 3 for a program and nothing for a file; without a pidfd it is nothing', () => {
    assert.deepEqual(program('|x %F'), ['x', '3'])
    assert.deepEqual(program('|x -%F', { pidfd: undefined }), ['x', '-'])
    assert.equal(file('core.%F'), 'core.')
  })

  test('without a known program %f and %E tell the name', () => {
    assert.equal(file('%f', { exe: undefined }), 'my prog (path unknown)')
    assert.equal(file('%E', { exe: undefined }), 'my prog (path unknown)')
  })
})

describe('sanitising', () => {
  test('exe path /a/b with %E is "!a!b"; comm ".." is "!."; "." is "!"; empty hostname is "!"', () => {
    assert.equal(file('%E'), '!a!b')
    assert.equal(file('%e', { comm: '..' }), '!.')
    assert.equal(file('%e', { comm: '.' }), '!')
    assert.equal(file('%h', { hostname: '' }), '!')
    assert.equal(file('%f', { exe: '/a/' }), '!')
    assert.equal(file('%e', { comm: '...' }), '...')
    assert.equal(file('%e', { comm: '../../etc/passwd' }), '..!..!etc!passwd')
  })

  test('in an argument, too', () => {
    assert.deepEqual(program('|x %E %e %h', { comm: '..', hostname: '' }), ['x', '!a!b', '!.', '!'])
  })

  test('no value brings a slash or a NUL into a name, or is "", "." or ".."', () => {
    const value = fc.oneof(fc.string(), fc.constantFrom('', '.', '..', '/', '../x', 'a\0b'))
    fc.assert(
      fc.property(value, value, value, (comm, hostname, exe) => {
        for (const specifier of ['%e', '%h', '%f', '%E']) {
          const name = file(specifier, { comm, hostname, exe })
          assert.ok(typeof name === 'string' && !/[/\0]/.test(name) && !['', '.', '..'].includes(name))
        }
      }),
    )
  })
})

describe('a file', () => {
  test('core_uses_pid appends the pid if %p is absent; other specifiers of it do not count', () => {
    assert.equal(file('core', {}, true), 'core.100')
    assert.equal(file('core.%p', {}, true), 'core.100')
    assert.equal(file('core.%P.%i', {}, true), 'core.100.101.100')
    assert.equal(file('core%%p', {}, true), 'core%p.100')
    assert.equal(file('core%', {}, true), 'core.100')
  })

  test('blanks stay', () => assert.equal(file(' a b\t%e '), ' a b\tmy prog '))
})

describe('a program', () => {
  test('comm "my prog" with %e is one argument', () => {
    assert.deepEqual(program('|/bin/handler %e %p'), ['/bin/handler', 'my prog', '100'])
  })

  test('core_uses_pid changes nothing', () => assert.deepEqual(program('|x'), ['x']))

  test('blanks before, between and after', () => {
    assert.deepEqual(program('| \t /x  a \n b  '), ['/x', 'a', 'b'])
  })

  test('what expands to nothing in the middle is an empty argument; at the beginning it is none', () => {
    assert.deepEqual(program('|a %z b'), ['a', '', 'b'])
    assert.deepEqual(program('|%z a'), ['a'])
    assert.deepEqual(program('|a %'), ['a', ''])
  })

  test('"|" alone is no target; "|" and blanks is a program without a name', () => {
    assert.deepEqual(expandPattern('|', FACTS, false), { kind: 'invalid' })
    assert.deepEqual(program('| '), [''])
  })
})

test('a socket', () => assert.deepEqual(expandPattern('@/run/x', FACTS, false), { kind: 'socket' }))

/** format_corename, as it goes over its characters. */
function oracle(pattern: string, facts: CoreFacts, usesPid: boolean): string | readonly string[] {
  const values: Record<string, string> = {
    '%': '%',
    p: `${facts.pid}`,
    P: `${facts.pid}`,
    i: `${facts.tid}`,
    I: `${facts.tid}`,
    u: `${facts.uid}`,
    g: `${facts.gid}`,
    d: `${facts.dumpable}`,
    s: `${facts.signal}`,
    t: `${facts.time}`,
    c: `${facts.limit}`,
    C: `${facts.processor}`,
    h: facts.hostname,
    e: facts.comm,
    f: 'b',
    E: '!a!b',
  }
  const pipe = pattern[0] === '|'
  let out = ''
  let space = false
  let pid = false
  let at = pipe ? 1 : 0
  while (at < pattern.length) {
    const character = pattern[at] ?? ''
    if (pipe) {
      if (' \t\n\v\f\r'.includes(character)) {
        if (out.length !== 0) space = true
        at += 1
        continue
      }
      if (space) {
        space = false
        out += '\0'
      }
    }
    at += 1
    if (character !== '%') {
      out += character
      continue
    }
    if (at === pattern.length) break
    const letter = pattern[at] ?? ''
    at += 1
    if (letter === 'p') pid = true
    if (letter === 'F' && pipe) out += '3'
    out += values[letter] ?? ''
  }
  if (!pipe && !pid && usesPid) out += `.${facts.pid}`
  return pipe ? out.split('\0') : out
}

test('any pattern is expanded as Linux would', () => {
  const piece = fc.oneof(
    fc.constantFrom(...'%pPiIugdsthefEcCFz% \t|/.-'),
    fc.constantFrom('%p', '%e', '%%', '%F', '%z', ' '),
    fc.string({ unit: 'grapheme-ascii', maxLength: 2 }),
  )
  const pattern = fc
    .tuple(fc.constantFrom('', '|'), fc.array(piece, { maxLength: 20 }))
    .map(([first, rest]) => first + rest.join(''))
    .filter(text => text !== '|' && !text.startsWith('@'))
  fc.assert(
    fc.property(pattern, fc.boolean(), (text, usesPid) => {
      const target = expandPattern(text, FACTS, usesPid)
      const got = target.kind === 'pipe' ? target.argv : target.kind === 'file' ? target.path : undefined
      assert.deepEqual(got, oracle(text, FACTS, usesPid))
    }),
    { numRuns: 2000 },
  )
})
