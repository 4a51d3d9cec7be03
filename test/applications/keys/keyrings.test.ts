/**
 * Links, as in Linux 6.17, security/keys/keyring.c; and keyrings as a whole beside a model that is easy to see through.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { KEY_SPEC_SESSION_KEYRING, type Key } from '../../../src/applications/keys/index.js'
import type { SystemError } from '../../../src/index.js'
import { bench, says, sysctl } from './harness.js'

const { kernel, keys } = bench()
after(() => kernel.shutdown())
const own = { credentials: keys.joinSessionKeyring() }
const { credentials } = own

let names = 0
const ringIn = (keyring: Key | number = KEY_SPEC_SESSION_KEYRING): Promise<Key> => {
  names += 1
  return keys.addKey('keyring', `ring ${names}`, '', { credentials, keyring })
}
const keyIn = (keyring: Key | number = KEY_SPEC_SESSION_KEYRING, description?: string): Promise<Key> => {
  names += 1
  return keys.addKey('user', description ?? `key ${names}`, 'x', { credentials, keyring })
}
const holds = async (ring: Key): Promise<number[]> => {
  const bytes = await keys.read(ring, own)
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readInt32LE(index * 4))
}

describe('link, unlink, move', () => {
  test('163: a keyring inside itself, near or far: EDEADLK', async () => {
    const a = await ringIn()
    const b = await ringIn(a)
    const c = await ringIn(b)
    await assert.rejects(keys.link(a, a, own), says('EDEADLK'))
    await assert.rejects(keys.link(a, b, own), says('EDEADLK'))
    await assert.rejects(keys.link(a, c, own), says('EDEADLK'))
    assert.deepEqual(await holds(c), [])
  })

  test('163: a keyring that is more than six deep: ELOOP; six deep is fine', async () => {
    const top = await ringIn()
    const chain = [await ringIn()]
    for (let depth = 1; depth <= 6; depth += 1) chain.push(await ringIn(chain.at(-1)))
    const [root] = chain
    assert.ok(root)
    await keys.link(root, top, own)
    keys.unlink(root, top, own)
    await ringIn(chain.at(-1))
    await assert.rejects(keys.link(root, top, own), says('ELOOP'))
  })

  test('163: into what is no keyring: ENOTDIR; into a revoked one: EKEYREVOKED', async () => {
    const key = await keyIn()
    const other = await keyIn()
    await assert.rejects(keys.link(key, other, own), says('ENOTDIR'))
    assert.throws(() => keys.unlink(key, other, own), says('ENOTDIR'))
    assert.throws(() => keys.clear(key, own), says('ENOTDIR'))
    assert.throws(() => keys.search(key, 'user', 'x', own), says('ENOTDIR'))
    await assert.rejects(keys.addKey('user', 'x', 'y', { credentials, keyring: key }), says('ENOTDIR'))
    const ring = await ringIn()
    await keys.revoke(ring, own)
    await assert.rejects(keys.link(key, ring, own), says('EKEYREVOKED'))
    await assert.rejects(keys.addKey('user', 'x', 'y', { credentials, keyring: ring }), says('EKEYREVOKED'))
  })

  test('a revoked keyring gives up its keys', async () => {
    const ring = await ringIn()
    const key = await keyIn(ring)
    await keys.revoke(ring, own)
    assert.throws(() => keys.describe(key, own), says('ENOKEY'))
  })

  test('a link takes the place of one to another key of the same type and description', async () => {
    const [a, b] = [await ringIn(), await ringIn()]
    const one = await keyIn(a, 'same')
    const two = await keyIn(b, 'same')
    await keys.link(two, a, own)
    assert.deepEqual(await holds(a), [two.serial])
    assert.throws(() => keys.describe(one, own), says('ENOKEY'))
    await keys.link(two, a, own)
    assert.deepEqual(await holds(a), [two.serial])
  })

  test('unlink what is not there: ENOENT; a key that nothing holds has gone', async () => {
    const [a, b] = [await ringIn(), await ringIn()]
    const key = await keyIn(a)
    assert.throws(() => keys.unlink(key, b, own), says('ENOENT'))
    await keys.link(key, b, own)
    keys.unlink(key, a, own)
    assert.match(keys.describe(key, own), /^user;/)
    keys.unlink(key, b, own)
    assert.throws(() => keys.describe(key, own), says('ENOKEY'))
    assert.equal(key.payload().toString(), 'x')
  })

  test('move: from one to another, ENOENT, EEXIST if exclusive, nothing within one', async () => {
    const [a, b] = [await ringIn(), await ringIn()]
    const key = await keyIn(a, 'moved')
    await keys.move(key, a, a, own)
    await assert.rejects(keys.move(key, b, a, own), says('ENOENT'))
    await keyIn(b, 'moved')
    await assert.rejects(keys.move(key, a, b, { credentials, exclusive: true }), says('EEXIST'))
    assert.deepEqual([(await holds(a)).length, (await holds(b)).length], [1, 1])
    await keys.move(key, a, b, own)
    assert.deepEqual([await holds(a), await holds(b)], [[], [key.serial]])
    const inner = await ringIn(a)
    await assert.rejects(keys.move(inner, a, inner, own), says('EDEADLK'))
    assert.deepEqual(await holds(a), [inner.serial])
  })

  test('a link over the quota: EDQUOT, and nothing has changed', async () => {
    const ring = await ringIn()
    const key = await keyIn()
    const root = process.geteuid?.() === 0 ? 'root_maxbytes' : 'maxbytes'
    const before = kernel.proc.read(`/proc/sys/kernel/keys/${root}`)
    sysctl(kernel, `kernel/keys/${root}`, 1)
    await assert.rejects(keys.link(key, ring, own), says('EDQUOT'))
    sysctl(kernel, `kernel/keys/${root}`, before)
    assert.deepEqual(await holds(ring), [])
    await keys.link(key, ring, own)
    keys.clear(ring, own)
    assert.deepEqual(await holds(ring), [])
  })
})

describe('search', () => {
  test('own links first, then keyrings below; a miss is EAGAIN', async () => {
    const top = await ringIn()
    const below = await ringIn(top)
    const deep = await keyIn(below, 'wanted')
    assert.equal(keys.search(top, 'user', 'wanted', own), deep)
    const near = await keyIn(top, 'wanted')
    assert.equal(keys.search(top, 'user', 'wanted', own), near)
    assert.throws(() => keys.search(top, 'user', 'absent', own), says('EAGAIN'))
    assert.throws(() => keys.search(top, 'nobody', 'absent', own), says('ENOKEY'))
  })

  test('the keyring itself may be what is looked for', async () => {
    const top = await ringIn()
    assert.equal(keys.search(top, 'keyring', top.description, own), top)
  })

  test('what is found is linked to a destination', async () => {
    const [top, to] = [await ringIn(), await ringIn()]
    const key = await keyIn(top)
    keys.search(top, 'user', key.description, { credentials, destination: to })
    assert.deepEqual(await holds(to), [key.serial])
  })
})

describe('beside a model', () => {
  const RINGS = 9
  const KEYS = 4
  const ring = fc.integer({ min: 0, max: RINGS - 1 })
  const command = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('nest' as const), what: ring, to: ring }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('link' as const), what: fc.nat(KEYS - 1), to: ring }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('unlink' as const), what: fc.nat(KEYS - 1), to: ring }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unnest' as const), what: ring, to: ring }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), what: ring, to: ring }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('move' as const),
        what: fc.nat(KEYS - 1),
        to: ring,
        from: ring,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('search' as const), what: fc.nat(KEYS - 1), to: ring }),
    },
  )

  /** Sets of names, and no more. */
  class Model {
    readonly rings = Array.from({ length: RINGS }, () => ({
      keys: new Set<number>(),
      rings: new Set<number>(),
    }))

    at(index: number) {
      const found = this.rings[index]
      assert.ok(found)
      return found
    }

    below(index: number): Set<number> {
      const all = new Set([index])
      for (const inner of this.at(index).rings) for (const one of this.below(inner)) all.add(one)
      return all
    }

    depth(index: number): number {
      return Math.max(0, ...[...this.at(index).rings].map(inner => 1 + this.depth(inner)))
    }

    found(index: number, key: number, depth = 0): boolean {
      if (this.at(index).keys.has(key)) return true
      return depth < 6 && [...this.at(index).rings].some(inner => this.found(inner, key, depth + 1))
    }
  }

  test('any order of link, unlink, move, clear and search: the same links, the same errors', async () => {
    const outcome = async (act: () => unknown): Promise<string> => {
      try {
        await act()
        return 'fine'
      } catch (error) {
        return (error as SystemError).code
      }
    }
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async commands => {
        const model = new Model()
        const hold = await ringIn()
        const rings: Key[] = []
        const things: Key[] = []
        for (let index = 0; index < RINGS; index += 1) rings.push(await ringIn(hold))
        for (let index = 0; index < KEYS; index += 1) things.push(await keyIn(hold))
        const pick = <Value>(list: readonly Value[], index: number): Value => {
          const value = list[index]
          assert.ok(value !== undefined)
          return value
        }
        for (const step of commands) {
          const to = pick(rings, step.to)
          const there = model.at(step.to)
          switch (step.kind) {
            case 'nest': {
              // Too deep and a cycle at once: which is told depends on which is met first.
              const cycle = model.below(step.what).has(step.to)
              const tooDeep = model.depth(step.what) > 6
              const said = await outcome(() => keys.link(pick(rings, step.what), to, own))
              if (cycle && tooDeep) assert.ok(['EDEADLK', 'ELOOP'].includes(said))
              else assert.equal(said, cycle ? 'EDEADLK' : tooDeep ? 'ELOOP' : 'fine')
              if (said === 'fine') there.rings.add(step.what)
              break
            }
            case 'link':
              assert.equal(await outcome(() => keys.link(pick(things, step.what), to, own)), 'fine')
              there.keys.add(step.what)
              break
            case 'unlink': {
              const said = await outcome(() => keys.unlink(pick(things, step.what), to, own))
              assert.equal(said, there.keys.delete(step.what) ? 'fine' : 'ENOENT')
              break
            }
            case 'unnest': {
              const said = await outcome(() => keys.unlink(pick(rings, step.what), to, own))
              assert.equal(said, there.rings.delete(step.what) ? 'fine' : 'ENOENT')
              break
            }
            case 'clear':
              keys.clear(to, own)
              there.keys.clear()
              there.rings.clear()
              break
            case 'move': {
              const from = model.at(step.from)
              const said = await outcome(() =>
                keys.move(pick(things, step.what), pick(rings, step.from), to, own),
              )
              if (step.from === step.to) assert.equal(said, 'fine')
              else {
                assert.equal(said, from.keys.delete(step.what) ? 'fine' : 'ENOENT')
                if (said === 'fine') there.keys.add(step.what)
              }
              break
            }
            case 'search': {
              const thing = pick(things, step.what)
              const said = await outcome(() => keys.search(to, 'user', thing.description, own))
              assert.equal(said, model.found(step.to, step.what) ? 'fine' : 'EAGAIN')
            }
          }
          for (const [index, one] of rings.entries()) {
            const { keys: k, rings: r } = model.at(index)
            const wanted = [
              ...[...k].map(i => pick(things, i).serial),
              ...[...r].map(i => pick(rings, i).serial),
            ]
            assert.deepEqual((await holds(one)).sort(), wanted.sort())
          }
        }
        keys.unlink(hold, KEY_SPEC_SESSION_KEYRING, own)
        for (const key of [...rings, ...things]) assert.equal(keys.store.lookup(key.serial), undefined)
      }),
      { numRuns: 150 },
    )
  })
})
