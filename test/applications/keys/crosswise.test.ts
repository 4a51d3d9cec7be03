/**
 * Keyrings that are linked crosswise: every path is searched as in Linux, and no keyring once for each path.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { KEY_SPEC_SESSION_KEYRING, type Key } from '../../../src/applications/keys/index.js'
import { errnoName } from '../../../src/libc/errno.js'
import { bench, says } from './harness.js'

const { kernel, keys, pass } = bench()
after(() => kernel.shutdown())

const DEPTH = 6
const HANGS = { timeout: 120_000 }

interface Tenant {
  readonly credentials: ReturnType<typeof keys.joinSessionKeyring>
}
const tenant = (): Tenant => ({ credentials: keys.joinSessionKeyring() })

/** Levels of keyrings, each of which holds all of the next level; the session holds the first. From the top. */
async function crosswise(own: Tenant, width: number): Promise<Key[][]> {
  const levels: Key[][] = []
  for (let depth = DEPTH; depth >= 1; depth -= 1) {
    const level: Key[] = []
    for (let place = 0; place < width; place += 1) {
      const ring = await keys.addKey('keyring', `${depth}.${place}`, '', {
        ...own,
        keyring: KEY_SPEC_SESSION_KEYRING,
      })
      for (const below of levels[0] ?? []) await keys.link(below, ring, own)
      level.push(ring)
    }
    levels.unshift(level)
  }
  for (const ring of levels.slice(1).flat()) keys.unlink(ring, KEY_SPEC_SESSION_KEYRING, own)
  return levels
}

describe('a graph with more paths than can be walked', () => {
  test('a key at the bottom is looked at once for each depth at most, and found', HANGS, async () => {
    let looks = 0
    const remove = keys.registerKeyType({
      name: 'counted',
      matchPreparse: wanted => key => {
        looks += 1
        return key.description === wanted
      },
    })
    const own = tenant()
    const levels = await crosswise(own, 6)
    const bottom = levels.at(-1)?.at(-1)
    assert.ok(bottom)
    const key = await keys.addKey('counted', 'there', 'x', { ...own, keyring: bottom })
    looks = 0
    assert.throws(() => keys.search(KEY_SPEC_SESSION_KEYRING, 'counted', 'absent', own), says('EAGAIN'))
    assert.ok(looks <= DEPTH + 1, String(looks))
    await assert.rejects(keys.requestKey('counted', 'absent', undefined, own), says('ENOKEY'))
    assert.equal(keys.search(KEY_SPEC_SESSION_KEYRING, 'counted', 'there', own), key)
    own.credentials.close()
    remove()
  })

  test('it is built, searched, checked for cycles and drawn, and taken away', HANGS, async () => {
    const own = tenant()
    const width = 16
    const levels = await crosswise(own, width)
    const [first, last] = [levels[0]?.[0], levels.at(-1)?.[0]]
    assert.ok(first && last)
    assert.throws(() => keys.search(KEY_SPEC_SESSION_KEYRING, 'user', 'absent', own), says('EAGAIN'))
    await assert.rejects(keys.link(first, last, own), says('EDEADLK'))
    const text = String(await keys.keyctl('show', [], own.credentials))
    const lines = text.trimEnd().split('\n')
    // A title, the session keyring, and a line for each link.
    assert.equal(lines.length, 2 + width + (DEPTH - 1) * width * width)
    assert.equal(
      lines.filter(line => line.endsWith(' (see above)')).length,
      (DEPTH - 2) * width * (width - 1),
    )
    assert.ok(kernel.proc.read('/proc/keys').includes('keyring   6.0: empty'))
    own.credentials.close()
    assert.equal(keys.store.lookup(last.serial), undefined)
  })
})

test(
  'a chain of keyrings that is deeper than the stack is drawn as far as it is searched, and taken away',
  HANGS,
  async () => {
    const own = tenant()
    const session = { ...own, keyring: KEY_SPEC_SESSION_KEYRING }
    const top = await keys.addKey('keyring', 'top', '', session)
    let last = top
    for (let depth = 0; depth < 12_000; depth += 1) {
      const next = await keys.addKey('keyring', `deep ${depth}`, '', { ...own, keyring: last })
      // Whatever is to hold another must be found, so the end of the chain is in the session, too.
      await keys.link(next, KEY_SPEC_SESSION_KEYRING, own)
      if (last !== top) keys.unlink(last, KEY_SPEC_SESSION_KEYRING, own)
      last = next
    }
    keys.unlink(last, KEY_SPEC_SESSION_KEYRING, own)
    const lines = String(await keys.keyctl('show', [], own.credentials))
      .trimEnd()
      .split('\n')
    assert.ok(lines.at(-1)?.endsWith('keyring: deep 5 (too deep to be searched)'), lines.at(-1))
    own.credentials.close()
    assert.equal(keys.store.lookup(last.serial), undefined)
  },
)

test('what is drawn has an end', HANGS, async () => {
  const own = tenant()
  const long = 'x'.repeat(4_000)
  for (let index = 0; index < 400; index += 1) {
    await keys.addKey('user', `${index} ${long}`, 'x', { ...own, keyring: KEY_SPEC_SESSION_KEYRING })
  }
  const text = String(await keys.keyctl('show', [], own.credentials))
  assert.ok(text.length < 2 ** 20 + 5_000, String(text.length))
  assert.ok(text.endsWith('\n…\n'))
  own.credentials.close()
})

describe('beside every path', () => {
  const RINGS = 10
  const DESCRIPTION = 'wanted'
  const STATES = ['fine', 'no search', 'revoked', 'expired', 'rejected', 'busy'] as const
  const graphs = fc.record({
    // Ring i holds ring j > i; few pairs are left out, so that there are deep paths and many.
    links: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: RINGS * RINGS, maxLength: RINGS * RINGS }),
    keys: fc.array(fc.record({ ring: fc.nat(RINGS - 1), state: fc.constantFrom(...STATES) }), {
      maxLength: 5,
    }),
    hidden: fc.array(fc.nat(RINGS - 1), { maxLength: 2 }),
    revoked: fc.array(fc.nat(RINGS - 1), { maxLength: 1 }),
    whole: fc.boolean(),
  })

  type Said = { readonly found: Key } | { readonly code: string }

  /** As Linux goes: the keyring's own links, then each keyring below it, the last that is said stays. */
  function naive(root: Key, depth: number, hides: (key: Key) => boolean): Said {
    let said: Said = { code: 'EAGAIN' }
    const enter = (ring: Key, depth: number): boolean => {
      if (ring.isRevoked) return false
      for (const key of ring.links?.values() ?? []) {
        if (key.type.name !== 'mine' || key.description !== DESCRIPTION) continue
        if (key.isRevoked) said = { code: 'EKEYREVOKED' }
        else if (key.isExpired) said = { code: 'EKEYEXPIRED' }
        else if (hides(key)) said = { code: 'EACCES' }
        else if (key.state < 0) said = { code: errnoName(key.state) }
        else {
          said = { found: key }
          return true
        }
      }
      if (depth >= DEPTH) return false
      for (const nested of ring.nested ?? []) if (!hides(nested) && enter(nested, depth + 1)) return true
      return false
    }
    enter(root, depth)
    return said
  }

  /** What a link of `tree` into `wanted` says. */
  function naiveNesting(tree: Key, wanted: Key, depth: number): string {
    if (tree === wanted) return 'EDEADLK'
    if (tree.isRevoked) return 'fine'
    if (tree.links?.get(wanted.index) === wanted) return 'EDEADLK'
    for (const nested of tree.nested ?? []) {
      if (depth >= DEPTH) return 'ELOOP'
      const found = naiveNesting(nested, wanted, depth + 1)
      if (found !== 'fine') return found
    }
    return 'fine'
  }

  const outcome = async (act: () => unknown): Promise<Said> => {
    try {
      return { found: (await act()) as Key }
    } catch (error) {
      return { code: (error as { code: string }).code }
    }
  }

  async function addIn(own: Tenant, ring: Key, state: (typeof STATES)[number]): Promise<void> {
    if (state === 'rejected' || state === 'busy') {
      answer = state === 'rejected' ? 'EKEYREJECTED' : 'EBUSY'
      // Somebody with nothing of its own, so that a key is made.
      const other = tenant()
      await outcome(() => keys.requestKey('mine', DESCRIPTION, '', { ...other, destination: ring }))
      other.credentials.close()
      return
    }
    const key = await keys.addKey('mine', DESCRIPTION, 'x', { ...own, keyring: ring })
    if (state === 'no search') keys.setPermissions(key, 0x27010000, own)
    if (state === 'revoked') await keys.revoke(key, own)
    if (state === 'expired') {
      keys.setTimeout(key, 1, own)
      pass(1)
    }
  }

  let answer: 'EKEYREJECTED' | 'EBUSY' = 'EBUSY'
  keys.registerKeyType({
    name: 'mine',
    requestKey: authority => authority.reject(answer, 1_000),
    matchPreparse: wanted => (byLooking ? key => key.description === wanted : undefined),
  })
  let byLooking = false

  test('search and link say the same as by every path', HANGS, async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async graph => {
        const own = tenant()
        const rings: Key[] = []
        for (let index = 0; index < RINGS; index += 1) {
          const ring = await keys.addKey('keyring', `ring ${index}`, '', {
            ...own,
            keyring: KEY_SPEC_SESSION_KEYRING,
          })
          // Another's request puts its key there, too.
          keys.setPermissions(ring, 0x3f3f0000, own)
          rings.push(ring)
        }
        for (let upper = RINGS - 1; upper >= 0; upper -= 1) {
          for (let lower = upper + 1; lower < RINGS; lower += 1) {
            const [holder, held] = [rings[upper], rings[lower]]
            assert.ok(holder && held)
            if ((graph.links[upper * RINGS + lower] ?? 0) < 3) continue
            const wanted = naiveNesting(held, holder, 0)
            const said = await outcome(() => keys.link(held, holder, own))
            assert.equal('code' in said ? said.code : 'fine', wanted)
          }
        }
        for (const [upper, holder] of rings.entries()) {
          for (const held of rings.slice(0, upper + 1)) {
            const wanted = naiveNesting(held, holder, 0)
            if (wanted === 'fine') continue
            assert.deepEqual(await outcome(() => keys.link(held, holder, own)), { code: wanted })
          }
        }
        for (const { ring, state } of graph.keys) {
          const holder = rings[ring]
          assert.ok(holder)
          if (![...(holder.links?.values() ?? [])].some(key => key.description === DESCRIPTION)) {
            await addIn(own, holder, state)
          }
        }
        const hidden = new Set<Key>()
        for (const index of graph.hidden) {
          const ring = rings[index]
          if (ring === undefined || ring.isRevoked) continue
          keys.setPermissions(ring, 0x37370000, own)
          hidden.add(ring)
        }
        for (const index of graph.revoked) {
          const ring = rings[index]
          if (ring !== undefined && !hidden.has(ring)) await keys.revoke(ring, own)
        }
        byLooking = !graph.whole
        const hides = (key: Key) => ((key.permissions >> 24) & 0x08) === 0
        for (const ring of rings) {
          if (ring.isRevoked || hidden.has(ring)) continue
          assert.deepEqual(
            await outcome(() => keys.search(ring, 'mine', DESCRIPTION, own)),
            naive(ring, 0, hides),
          )
        }
        byLooking = false
        own.credentials.close()
      }),
      { numRuns: 150 },
    )
  })
})
