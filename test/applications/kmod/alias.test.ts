import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { AliasTable, matchesAlias, normalAlias } from '../../../src/applications/kmod/modprobe/alias.js'

describe('an alias is written as names are', () => {
  test('dashes become underscores, but those of sets stay', () => {
    for (const [text, expected] of [
      ['base-[0-9]', 'base_[0-9]'],
      ['net-pf-[0-9]-[a-f]-*', 'net_pf_[0-9]_[a-f]_*'],
      ['test[abcfoobar]2211', 'test[abcfoobar]2211'],
      ['[[-a]-b', '[[-a]_b'],
      ['-', '_'],
    ] as const) {
      assert.equal(normalAlias(text), expected, text)
    }
  })

  test('a bracket without its partner, white space and nothing at all are no aliases', () => {
    for (const text of ['a[', 'a[0-9', 'a]', '[]a]', '[a]]', ']a[', 'a b', '[a b]', '']) {
      assert.equal(normalAlias(text), undefined, text)
    }
  })
})

describe('an alias is matched', () => {
  test('as fnmatch does', () => {
    // What the C library's own fnmatch(pattern, name, 0) says.
    for (const [pattern, name, expected] of [
      ['', '', true],
      ['*', '', true],
      ['fs_*', 'fs_xfs', true],
      ['fs_?', 'fs_xfs', false],
      ['*fs', 'xfs_fs', true],
      ['a.c', 'abc', false],
      ['usb:v[0-9]p*', 'usb:v3pABC', true],
      ['a[!b]c', 'abc', false],
      ['a[!b]c', 'adc', true],
      ['a[^b]c', 'abc', false],
      ['[', '[', true],
      ['[a', '[a', true],
      ['*[', 'a[', true],
      ['[]', '[]', true],
      ['[!]', '[!]', true],
      ['[!]', '!', false],
      ['[]a]', ']', true],
      ['[!]a]', 'b', true],
      ['[!]a]', ']', false],
      ['[*]', '*', true],
      ['[*]', 'a', false],
      ['[a-]', '-', true],
      ['[a-c-e]', '-', true],
      ['[a-c-e]', 'd', false],
      ['[--0]', '.', true],
      ['[z-a]', 'm', false],
      ['[z-a]', 'z', false],
      ['[z-ab]', 'b', true],
      ['[a-]b]', 'ab]', true],
      ['[\\]]', ']', true],
      ['[a\\-z]', 'b', false],
      ['[a\\-z]', '-', true],
      ['a\\*', 'a*', true],
      ['a\\*', 'ab', false],
      ['a\\', 'a\\', false],
    ] as const) {
      assert.equal(matchesAlias(pattern, name), expected, `${pattern} ${name}`)
    }
  })

  test('as by a matcher that tries everything', () => {
    const character = fc.constantFrom('a', 'b', 'c', '-', ']', '!', '*', '?', '[', '\\')
    const literal = fc
      .constantFrom('a', 'b', 'c')
      .map(one => ({ text: one, has: (other: string) => other === one }))
    const escaped = character.map(one => ({ text: `\\${one}`, has: (other: string) => other === one }))
    const one = fc.constant({ text: '?', has: () => true })
    const range = fc
      .tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('a', 'b', 'c'))
      .map(([from, to]) => ({
        text: `${from}-${to}`,
        has: (other: string) => from <= other && other <= to,
      }))
    const set = fc
      .tuple(
        fc.constantFrom('', '!', '^'),
        fc.array(fc.oneof(literal, escaped, range), { minLength: 1, maxLength: 3 }),
      )
      .map(([not, parts]) => ({
        text: `[${not}${parts.map(({ text }) => text).join('')}]`,
        has: (other: string) => parts.some(({ has }) => has(other)) === (not === ''),
      }))
    const star = fc.constant({ text: '*', has: undefined })
    type Part = { readonly text: string; readonly has: ((other: string) => boolean) | undefined }
    const naive = ([first, ...rest]: readonly Part[], name: string): boolean => {
      if (first === undefined) return name === ''
      if (first.has === undefined)
        return naive(rest, name) || (name !== '' && naive([first, ...rest], name.slice(1)))
      return name !== '' && first.has(name.charAt(0)) && naive(rest, name.slice(1))
    }
    const parts: fc.Arbitrary<Part[]> = fc.array(fc.oneof(literal, escaped, one, set, star), { maxLength: 6 })
    const name = fc
      .array(fc.oneof(fc.constantFrom('a', 'b', 'c'), character), { maxLength: 6 })
      .map(all => all.join(''))
    let matches = 0
    fc.assert(
      fc.property(parts, name, (all, text) => {
        const expected = naive(all, text)
        matches += Number(expected)
        assert.equal(matchesAlias(all.map(({ text }) => text).join(''), text), expected)
      }),
      { numRuns: 10_000 },
    )
    assert.ok(matches > 500, `enough of both: ${matches} matches`)
  })

  test('any name matches itself, once its own special characters are none; any pattern is read to its end', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (name, pattern) => {
        assert.ok(matchesAlias(name.replace(/[[*?\\]/g, '\\$&'), name))
        matchesAlias(pattern, name)
      }),
    )
  })

  test('where a bracket is closed by nothing, it and those behind it stand for themselves', () => {
    const piece = fc.constantFrom('a', '[', '[!', '[]', '\\]', '[a-', '\\[', '*')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.array(piece, { maxLength: 6 }), (pieces, name) => {
        const pattern = pieces.join('')
        // As it is read where no set begins but at the first bracket.
        const first = pattern.search(/(?<!\\)\[/)
        fc.pre(first >= 0 && !/(?<!\\)\]/.test(pattern.slice(first).replace(/^\[!?\]/, '')))
        const literal = pattern.slice(0, first) + pattern.slice(first).replace(/(?<!\\)\[/g, '\\[')
        assert.equal(matchesAlias(pattern, name.join('')), matchesAlias(literal, name.join('')), pattern)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a table of them gives what one after the other gives, in their order', () => {
    const pattern = fc.array(fc.constantFrom('a', 'b', '*', '?', '[ab]', '\\a', '['), { maxLength: 3 })
    fc.assert(
      fc.property(fc.array(pattern), fc.stringMatching(/^[ab]{0,3}$/), (patterns, name) => {
        const aliases = patterns.map((parts, index) => ({ pattern: parts.join(''), module: String(index) }))
        assert.deepEqual(
          new AliasTable(aliases).modulesOf(name),
          aliases.filter(({ pattern }) => matchesAlias(pattern, name)).map(({ module }) => module),
        )
      }),
      { numRuns: 1_000 },
    )
  })

  test('soon, however many stars it has', () => {
    const name = 'a'.repeat(55)
    const match = (pattern: string) =>
      runInNewContext('matchesAlias(pattern, name)', { matchesAlias, pattern, name }, { timeout: 10_000 })
    assert.equal(match(`${'a*'.repeat(16)}b`), false)
    assert.equal(match(`${'[a-b]*'.repeat(16)}[!a]`), false)
    assert.equal(match(`${'a*'.repeat(16)}a`), true)
  })
})
