/**
 * Keys by themselves: types, payloads, states, permissions, quotas, expiry, the files in /proc.
 */
import assert from 'node:assert/strict'
import { after, describe, mock, test } from 'node:test'
import { inspect } from 'node:util'
import {
  KEY_SPEC_GROUP_KEYRING,
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_REQKEY_AUTH_KEY,
  KEY_SPEC_REQUESTOR_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
  KEY_SPEC_USER_KEYRING,
  KEY_SPEC_USER_SESSION_KEYRING,
  keys as keysOf,
} from '../../../src/applications/keys/index.js'
import { boot } from '../../../src/index.js'
import { errno } from '../../../src/libc/errno.js'
import { eventually } from '../../helpers/resources.js'
import { bench, says, sysctl } from './harness.js'

const { kernel, keys, pass } = bench()
after(() => kernel.shutdown())

let names = 0
const name = () => {
  names += 1
  return `thing:${names}`
}
const tenant = () => ({ credentials: keys.joinSessionKeyring() })
const uid = process.geteuid?.() ?? 0
/** Node 20 has no Promise.withResolvers. */
function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

test('one state for each kernel', async () => {
  const [one, two] = [boot(), boot()]
  assert.equal(keysOf(one), keysOf(one))
  assert.notEqual(keysOf(one), keysOf(two))
  await Promise.all([one.shutdown(), two.shutdown()])
})

describe('types', () => {
  test('user: read, updated, at most 32 767 bytes, at least one', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'one', own)
    assert.equal((await keys.read(key, own)).toString(), 'one')
    await keys.update(key, Buffer.from('two'), own)
    assert.equal((await keys.read(key, own)).toString(), 'two')
    assert.equal(await keys.addKey('user', key.description, 'three', own), key)
    assert.equal(key.payload().toString(), 'three')
    await assert.rejects(keys.update(key, '', own), says('EINVAL'))
    await assert.rejects(keys.addKey('user', name(), Buffer.alloc(32_768), own), says('EINVAL'))
    await assert.rejects(keys.addKey('user', name(), Buffer.alloc(2 ** 20), own), says('EINVAL'))
  })

  test('logon: a service before the colon, never read, used by code inside', async () => {
    const own = tenant()
    for (const description of ['nocolon', ':nothing', '']) {
      await assert.rejects(keys.addKey('logon', description, 'x', own), says('EINVAL'))
    }
    const key = await keys.addKey('logon', 'smb:server', 'secret', own)
    await assert.rejects(keys.read(key, own), says('EOPNOTSUPP'))
    assert.equal(key.payload().toString(), 'secret')
    await keys.update(key, 'other', own)
    assert.equal(key.payload().toString(), 'other')
  })

  test('keyring: no payload, cannot be updated; a second of that name takes the place of the first', async () => {
    const own = tenant()
    const ring = await keys.addKey('keyring', name(), '', own)
    await assert.rejects(keys.addKey('keyring', name(), 'x', own), says('EINVAL'))
    await assert.rejects(keys.update(ring, '', own), says('EOPNOTSUPP'))
    const second = await keys.addKey('keyring', ring.description, '', own)
    assert.notEqual(second, ring)
    assert.throws(() => keys.describe(ring, own), says('ENOKEY'))
    await assert.rejects(keys.addKey('keyring', '.mine', '', own), says('EPERM'))
  })

  test('an unknown type is ENODEV to add, ENOKEY to request; one with a dot EPERM; a long or empty one EINVAL', async () => {
    await assert.rejects(keys.addKey('nobody', 'x', 'y'), says('ENODEV'))
    await assert.rejects(keys.requestKey('nobody', 'x'), says('ENOKEY'))
    await assert.rejects(keys.addKey('.request_key_auth', 'x', 'y'), says('EPERM'))
    await assert.rejects(keys.requestKey('.x', 'x'), says('EPERM'))
    for (const type of ['', 'x'.repeat(32), 'nul\0']) {
      await assert.rejects(keys.addKey(type, 'x', 'y'), says('EINVAL'))
    }
    await assert.rejects(keys.addKey(5 as unknown as string, 'x', 'y'), TypeError)
  })

  test('a type whose name begins with a dot is for code of this process, and not for helpers', async () => {
    const remove = keys.registerKeyType({
      name: '.own',
      requestKey: authority => authority.instantiate('made'),
    })
    const own = tenant()
    const added = await keys.addKey('.own', 'a', 'x', own)
    assert.equal((await keys.requestKey('.own', 'b', '', own)).payload().toString(), 'made')
    assert.equal(keys.search(KEY_SPEC_SESSION_KEYRING, '.own', 'a', own), added)
    for (const [operation, ...args] of [
      ['add', '.own', 'c', 'x', KEY_SPEC_SESSION_KEYRING],
      ['request', '.own', 'a'],
      ['search', KEY_SPEC_SESSION_KEYRING, '.own', 'a'],
    ] as const) {
      await assert.rejects(async () => keys.keyctl(operation, [...args], own.credentials), says('EPERM'))
    }
    remove()
    await assert.rejects(keys.addKey('.own', 'a', 'x', own), says('EPERM'))
  })

  test('registered types: EEXIST for a second of the name, methods are functions, keys die with their type', async () => {
    assert.throws(() => keys.registerKeyType({ name: 'user' }), says('EEXIST'))
    assert.throws(() => keys.registerKeyType({ name: 'x'.repeat(32) }), says('EINVAL'))
    assert.throws(() => keys.registerKeyType({ name: '' }), says('EINVAL'))
    assert.throws(() => keys.registerKeyType({ name: 'a', read: 5 } as never), TypeError)
    assert.throws(() => keys.registerKeyType(null as never), TypeError)
    const remove = keys.registerKeyType({
      name: 'upper',
      instantiate: payload => Buffer.from(payload.toString().toUpperCase()),
      read: payload => Buffer.from(`<${payload}>`),
    })
    const own = tenant()
    const key = await keys.addKey('upper', name(), 'abc', own)
    assert.equal(key.payload().toString(), 'ABC')
    assert.equal((await keys.read(key, own)).toString(), '<ABC>')
    // What cannot be updated gives nobody the right to.
    await assert.rejects(keys.update(key, 'x', own), says('EACCES'))
    remove()
    remove()
    assert.throws(() => key.payload(), says('EKEYREVOKED'))
    await assert.rejects(keys.read(key, own), says('ENOKEY'))
  })

  test('what shows a key never shows its payload', async () => {
    const key = await keys.addKey('user', name(), 'hush-hush', tenant())
    const shown = `${inspect(key, { depth: 9, showHidden: true })}${JSON.stringify({ ...key, type: 0, links: 0, parents: 0 })}${key}`
    assert.ok(
      !shown.includes('hush') && !shown.includes(Buffer.from('hush').toString('hex').slice(0, 8)),
      shown,
    )
    assert.ok(!kernel.proc.read('/proc/keys').includes('hush'))
  })

  test('a payload is copied on the way in and on the way out', async () => {
    const own = tenant()
    const bytes = Buffer.from('abc')
    const key = await keys.addKey('user', name(), bytes, own)
    bytes.fill(0)
    key.payload().fill(0)
    ;(await keys.read(key, own)).fill(0)
    assert.equal(key.payload().toString(), 'abc')
  })
})

describe('states', () => {
  test('invalidated before revoked before expired', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    keys.setTimeout(key, 1, own)
    pass(1)
    assert.throws(() => key.payload(), says('EKEYEXPIRED'))
    await assert.rejects(keys.read(key, own), says('EKEYEXPIRED'))
    const other = await keys.addKey('user', name(), 'x', own)
    await keys.revoke(other, own)
    keys.store.setTimeout(other, 1)
    pass(1)
    assert.throws(() => other.payload(), says('EKEYREVOKED'))
    keys.store.invalidate(other)
    assert.throws(() => other.payload(), says('ENOKEY'))
  })

  test('revoke: the payload goes at once, searches say EKEYREVOKED, again is EKEYREVOKED', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    await keys.revoke(key, own)
    assert.throws(() => key.payload(), says('EKEYREVOKED'))
    await assert.rejects(keys.revoke(key, own), says('EKEYREVOKED'))
    assert.throws(
      () => keys.search(KEY_SPEC_SESSION_KEYRING, 'user', key.description, own),
      says('EKEYREVOKED'),
    )
    const fresh = await keys.addKey('user', key.description, 'y', own)
    assert.notEqual(fresh, key)
  })

  test('invalidate: as if it had never been', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    await keys.invalidate(key, own)
    assert.throws(() => keys.search(KEY_SPEC_SESSION_KEYRING, 'user', key.description, own), says('EAGAIN'))
    assert.throws(() => keys.describe(key.serial, own), says('ENOKEY'))
  })

  test('a timeout of 0 is none; an update takes the timeout away', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    keys.setTimeout(key, 10, own)
    assert.equal(key.timeout, 10)
    keys.setTimeout(key, 0, own)
    assert.equal(key.timeout, undefined)
    keys.setTimeout(key, 10, own)
    await keys.update(key, 'y', own)
    pass(20)
    assert.equal(key.payload().toString(), 'y')
    for (const seconds of [-1, 1.5, Number.NaN, 2 ** 32, '5' as unknown as number]) {
      assert.throws(() => keys.setTimeout(key, seconds, own))
    }
  })

  test('an expired key is EKEYEXPIRED to a search of a keyring', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    keys.setTimeout(key, 1, own)
    pass(2)
    assert.throws(
      () => keys.search(KEY_SPEC_SESSION_KEYRING, 'user', key.description, own),
      says('EKEYEXPIRED'),
    )
    assert.equal((await keys.addKey('user', key.description, 'again', own)).payload().toString(), 'again')
  })

  test('gc: gone gc_delay after it has expired, or was revoked', async () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    const own = bench()
    try {
      const expiring = await own.keys.addKey('user', 'gc:1', 'x')
      const revoked = await own.keys.addKey('user', 'gc:2', 'x')
      const stays = await own.keys.addKey('user', 'gc:3', 'x')
      sysctl(own.kernel, 'kernel/keys/gc_delay', 30)
      own.keys.setTimeout(expiring, 10)
      await own.keys.revoke(revoked)
      const seen = (): string =>
        own.kernel.proc
          .read('/proc/keys')
          .split('\n')
          .filter(line => line.includes('gc:'))
          .map(line => line.split(/ +/).at(-2))
          .sort()
          .join(' ')
      const after = (seconds: number) => {
        own.pass(seconds)
        mock.timers.tick(seconds * 1_000)
      }
      after(29)
      assert.equal(seen().split(' ').length, 3)
      after(1)
      assert.throws(() => own.keys.describe(revoked.serial), says('ENOKEY'))
      assert.throws(() => own.keys.describe(expiring), says('EKEYEXPIRED'))
      after(10)
      assert.throws(() => own.keys.describe(expiring), says('ENOKEY'))
      assert.equal(stays.payload().toString(), 'x')
    } finally {
      mock.timers.reset()
      await own.kernel.shutdown()
    }
  })

  test('shutdown: no payload outlives the kernel', async () => {
    const own = bench()
    const key = await own.keys.addKey('user', 'a', 'x')
    await own.kernel.shutdown()
    assert.throws(() => key.payload(), /ENOKEY: user 'a' has gone with its kernel, which has been shut down/)
  })

  test('after shutdown no key is made or found, and no construction comes to a payload', async () => {
    const own = bench()
    const { promise: gate, resolve: open } = withResolvers()
    const said: unknown[] = []
    own.keys.registerKeyType({
      name: 'late',
      async requestKey(authority) {
        await gate
        try {
          authority.instantiate('too late')
        } catch (error) {
          said.push((error as { code: string }).code)
          throw error
        }
      },
    })
    const isShut = { code: 'ERR_KHELPER_SHUT_DOWN' }
    const request = assert.rejects(own.keys.requestKey('late', 'a', ''), isShut)
    const key = await own.keys.addKey('user', 'a', 'x')
    await own.kernel.shutdown()
    await request
    open()
    await eventually('the maker has been refused', () => said.length > 0)
    assert.deepEqual(said, ['ERR_KHELPER_SHUT_DOWN'])
    await assert.rejects(own.keys.addKey('user', 'a', 'y'), isShut)
    await assert.rejects(own.keys.requestKey('user', 'a'), isShut)
    await assert.rejects(own.keys.update(key, 'y'), isShut)
    await assert.rejects(own.keys.read(key), isShut)
    assert.throws(() => own.keys.describe(key), isShut)
    assert.throws(() => own.keys.joinSessionKeyring(), isShut)
  })
})

describe('permissions', () => {
  test('describe: type;uid;gid;perm;description', async () => {
    const own = tenant()
    const user = await keys.addKey('user', 'has;semicolon', 'x', own)
    const gid = process.getegid?.() ?? 0
    assert.equal(keys.describe(user, own), `user;${uid};${gid};3f010000;has;semicolon`)
    assert.match(keys.describe(await keys.addKey('logon', 'a:b', 'x', own), own), /;3d010000;/)
    assert.match(keys.describe(await keys.addKey('keyring', 'k', '', own), own), /;3f010000;/)
  })

  const OTHER = 4242
  test('whoever does not possess it has the rights of its user, group or others; without them EACCES', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    const stranger = { credentials: keys.createCredentials({ uid: OTHER, gid: OTHER, groups: [] }) }
    assert.throws(() => keys.describe(key, stranger), says('EACCES'))
    keys.setPermissions(key, 0x3f010003, own)
    assert.match(keys.describe(key, stranger), /^user;/)
    assert.equal((await keys.read(key.serial, stranger)).toString(), 'x')
    await assert.rejects(keys.update(key, 'y', stranger), says('EACCES'))
    await assert.rejects(keys.revoke(key, stranger), says('EACCES'))
    await assert.rejects(keys.invalidate(key, stranger), says('EACCES'))
    await assert.rejects(keys.link(key, KEY_SPEC_SESSION_KEYRING, stranger), says('EACCES'))
    assert.throws(() => keys.setTimeout(key, 5, stranger), says('EACCES'))
    assert.throws(() => keys.setPermissions(key, 0, stranger), says('EACCES'))
    const member = { credentials: keys.createCredentials({ uid: OTHER, gid: OTHER, groups: [key.gid] }) }
    keys.setPermissions(key, 0x3f010201, own)
    await assert.rejects(keys.read(key, stranger), says('EACCES'))
    assert.equal((await keys.read(key, member)).toString(), 'x')
    assert.throws(() => keys.describe(key, member), says('EACCES'))
  })

  test('each right of the possessor stands for itself', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    const only = (mask: number) => {
      key.permissions = mask << 24
    }
    const SEARCH = 0x08
    only(SEARCH)
    assert.throws(() => keys.describe(key, own), says('EACCES'))
    only(SEARCH | 0x01)
    keys.describe(key, own)
    await assert.rejects(keys.update(key, 'y', own), says('EACCES'))
    only(SEARCH | 0x04)
    await keys.update(key, 'y', own)
    await assert.rejects(keys.link(key, KEY_SPEC_USER_KEYRING, own), says('EACCES'))
    assert.throws(() => keys.setTimeout(key, 5, own), says('EACCES'))
    assert.throws(() => keys.setPermissions(key, 0, own), says('EACCES'))
    only(SEARCH | 0x20)
    keys.setTimeout(key, 5, own)
    await keys.revoke(key, own)
    // A possessor must be able to search for it: else it is not possessed.
    const hidden = await keys.addKey('user', name(), 'x', own)
    keys.setPermissions(hidden, 0x37000000, own)
    await assert.rejects(keys.read(hidden, own), says('EACCES'))
    await assert.rejects(keys.requestKey('user', hidden.description, '', own), says('EACCES'))
  })

  test('a keyring that may not be written to takes no keys, one that may not be searched hides its own', async () => {
    const own = tenant()
    const ring = await keys.addKey('keyring', name(), '', own)
    const key = await keys.addKey('user', name(), 'x', { ...own, keyring: ring })
    keys.setPermissions(ring, 0x3b000000, own)
    await assert.rejects(keys.addKey('user', name(), 'x', { ...own, keyring: ring }), says('EACCES'))
    assert.throws(() => keys.clear(ring, own), says('EACCES'))
    assert.throws(() => keys.unlink(key, ring, own), says('EACCES'))
    keys.setPermissions(ring, 0x37000000, own)
    await assert.rejects(keys.requestKey('user', key.description, undefined, own), says('ENOKEY'))
  })

  test('masks that are none: EINVAL', async () => {
    const key = await keys.addKey('user', name(), 'x')
    for (const mask of [0x40, 0x80000000, -1, 1.5, Number.NaN]) {
      assert.throws(() => keys.setPermissions(key, mask), says('EINVAL'), String(mask))
    }
    assert.throws(() => keys.setPermissions(key, '1' as unknown as number), TypeError)
  })
})

describe('credentials', () => {
  test('special keyrings: made when asked to, ENOKEY otherwise', () => {
    const own = { credentials: keys.createCredentials() }
    assert.throws(() => keys.getKeyringId(KEY_SPEC_THREAD_KEYRING, false, own), says('ENOKEY'))
    assert.throws(() => keys.getKeyringId(KEY_SPEC_PROCESS_KEYRING, false, own), says('ENOKEY'))
    const thread = keys.getKeyringId(KEY_SPEC_THREAD_KEYRING, true, own)
    assert.equal(keys.getKeyringId(KEY_SPEC_THREAD_KEYRING, false, own), thread)
    assert.notEqual(keys.getKeyringId(KEY_SPEC_PROCESS_KEYRING, true, own), thread)
    const session = keys.getKeyringId(KEY_SPEC_SESSION_KEYRING, false, own)
    assert.equal(session, keys.getKeyringId(KEY_SPEC_USER_SESSION_KEYRING, false, own))
    assert.notEqual(keys.getKeyringId(KEY_SPEC_SESSION_KEYRING, true, own), session)
    assert.throws(() => keys.getKeyringId(KEY_SPEC_GROUP_KEYRING, true, own), says('EINVAL'))
    assert.throws(() => keys.getKeyringId(KEY_SPEC_REQKEY_AUTH_KEY, true, own), says('ENOKEY'))
    assert.throws(() => keys.getKeyringId(KEY_SPEC_REQUESTOR_KEYRING, true, own), says('ENOKEY'))
    for (const id of [-9, 0, 1.5, Number.NaN, -(2 ** 40)]) {
      assert.throws(() => keys.getKeyringId(id, true, own), says('EINVAL'), String(id))
    }
    assert.throws(() => keys.getKeyringId(2, true, own), says('ENOKEY'))
    assert.throws(() => keys.getKeyringId('1' as unknown as number, true, own), TypeError)
  })

  test('a session of its own is searched instead of the user session; closed, its keys have gone', async () => {
    const shared = await keys.addKey('user', name(), 'shared')
    const own = tenant()
    await assert.rejects(keys.requestKey('user', shared.description, undefined, own), says('ENOKEY'))
    const key = await keys.addKey('user', name(), 'own', own)
    assert.equal(keys.store.lookup(key.serial), key)
    await assert.rejects(keys.requestKey('user', key.description), says('ENOKEY'))
    own.credentials.close()
    own.credentials.close()
    assert.equal(keys.store.lookup(key.serial), undefined)
  })

  test('closed credentials see and make nothing among the keys that all of their user share', async () => {
    const shared = await keys.addKey('logon', `db:${name()}`, 'of the service')
    const remove = keys.registerKeyType({
      name: 'tenants',
      requestKey: authority => authority.instantiate('of the tenant'),
    })
    const own = tenant()
    own.credentials.close()
    const description = name()
    for (const act of [
      () => keys.requestKey('logon', shared.description, undefined, own),
      () => keys.requestKey('tenants', description, '', own),
      () => keys.addKey('user', name(), 'x', own),
      () => keys.read(shared, own),
      async () => keys.search(KEY_SPEC_USER_SESSION_KEYRING, 'logon', shared.description, own),
      async () => keys.getKeyringId(KEY_SPEC_SESSION_KEYRING, true, own),
      async () => keys.joinSessionKeyring(undefined, own),
      async () => keys.keyctl('show', [], own.credentials),
    ]) {
      await assert.rejects(act, /EKEYREVOKED: these credentials have been closed/)
    }
    await assert.rejects(keys.requestKey('tenants', description), says('ENOKEY'))
    remove()
  })

  test('what was asked before the credentials were closed is not answered, and sees nothing of the service', async () => {
    const shared = await keys.addKey('logon', `db:${name()}`, 'of the service')
    const { promise: gate, resolve: open } = withResolvers()
    const seen: string[] = []
    const remove = keys.registerKeyType({
      name: 'outlives',
      async requestKey(authority) {
        const credentials = keys.credentialsOfAuthority(authority)
        keys.assumeAuthority(authority.target.serial, { credentials })
        await gate
        const found = await keys
          .requestKey('logon', shared.description, undefined, { credentials })
          .catch(error => error.code)
        seen.push(String(found))
        authority.instantiate('of the tenant')
        credentials.close()
      },
    })
    const own = tenant()
    const description = name()
    const asked = keys.requestKey('outlives', description, '', own)
    const waits = keys.requestKey('outlives', description, '', own)
    const key = keys.search(KEY_SPEC_SESSION_KEYRING, 'outlives', description, own)
    const read = keys.read(key, own)
    own.credentials.close()
    open()
    for (const request of [asked, waits, read]) await assert.rejects(request, says('EKEYREVOKED'))
    assert.deepEqual(seen, ['ENOKEY'])
    assert.equal(keys.store.lookup(key.serial), undefined)
    remove()
  })

  test('a link that waits for its key is not put into a keyring that has gone meanwhile', async () => {
    const { promise: gate, resolve: open } = withResolvers()
    const remove = keys.registerKeyType({
      name: 'waited for',
      async requestKey(authority) {
        await gate
        authority.instantiate('x')
      },
    })
    const description = name()
    const request = keys.requestKey('waited for', description, '')
    const key = keys.search(KEY_SPEC_USER_SESSION_KEYRING, 'waited for', description)
    const ring = await keys.addKey('keyring', name())
    const link = keys.link(key, ring)
    keys.unlink(ring, KEY_SPEC_USER_SESSION_KEYRING)
    open()
    await Promise.all([request, link])
    assert.equal(keys.store.lookup(ring.serial), undefined)
    assert.equal(key.parents.size, 1)
    remove()
    assert.equal(keys.store.lookup(key.serial), undefined)
  })

  test('the user session keyring holds the user keyring', async () => {
    const key = await keys.addKey('user', name(), 'x', { keyring: KEY_SPEC_USER_KEYRING })
    assert.equal(await keys.requestKey('user', key.description), key)
  })

  test('a named session is joined if it may be searched, and else made; a dot is EPERM', () => {
    const first = keys.joinSessionKeyring('named')
    const second = keys.joinSessionKeyring('named')
    assert.notEqual(first.sessionKeyring, second.sessionKeyring)
    keys.setPermissions(KEY_SPEC_SESSION_KEYRING, 0x3f1b0000, { credentials: second })
    const third = keys.joinSessionKeyring('named')
    assert.equal(third.sessionKeyring, second.sessionKeyring)
    second.close()
    assert.ok(keys.getKeyringId(KEY_SPEC_SESSION_KEYRING, false, { credentials: third }))
    for (const credentials of [first, third]) credentials.close()
    assert.throws(() => keys.joinSessionKeyring('.hidden'), says('EPERM'))
    assert.throws(() => keys.joinSessionKeyring(5 as unknown as string), TypeError)
  })

  test('bad credentials and options are told at once', async () => {
    await assert.rejects(keys.addKey('user', 'a', 'b', { credentials: {} as never }), TypeError)
    await assert.rejects(keys.addKey('user', 'a', {} as never), TypeError)
    await assert.rejects(keys.addKey('user', 'nul\0', 'x'), says('EINVAL'))
    await assert.rejects(keys.addKey('user', '', 'x'), says('EINVAL'))
    await assert.rejects(keys.addKey('user', 'x'.repeat(4_096), 'x'), says('EINVAL'))
    await assert.rejects(keys.requestKey('user', 'a', 5 as never), TypeError)
    await assert.rejects(keys.requestKey('user', 'a', 'x'.repeat(4_096)), says('EINVAL'))
    await assert.rejects(keys.requestKey('user', '', ''), says('EINVAL'))
    await assert.rejects(keys.requestKey('user', 'a', '', { signal: {} as never }), TypeError)
    assert.throws(() => keys.createCredentials({ uid: -1 }), RangeError)
    assert.throws(() => keys.createCredentials({ gid: 'x' as never }), TypeError)
    assert.throws(() => keys.createCredentials({ groups: 'x' as never }), /"identity.groups"/)
    assert.throws(() => keys.createCredentials({ groups: [-1] }), /"identity.groups\[0\]"/)
  })
})

describe('quotas', () => {
  const OTHER = 77
  test('keys and bytes of a user: up to the sysctls, EDQUOT beyond, and given back', async () => {
    const own = { credentials: keys.createCredentials({ uid: OTHER, gid: OTHER, groups: [] }) }
    const ring = keys.getKeyringId(KEY_SPEC_PROCESS_KEYRING, true, own)
    sysctl(kernel, 'kernel/keys/maxkeys', 3)
    const made = [await keys.addKey('user', 'q:1', 'x', own), await keys.addKey('user', 'q:2', 'x', own)]
    await assert.rejects(keys.addKey('user', 'q:3', 'x', own), says('EDQUOT'))
    for (const key of made) keys.unlink(key, ring, own)
    sysctl(kernel, 'kernel/keys/maxkeys', 200)
    const line = () =>
      kernel.proc
        .read('/proc/key-users')
        .split('\n')
        .find(text => text.startsWith(`   ${OTHER}:`))
    const before = line()
    sysctl(kernel, 'kernel/keys/maxbytes', 100)
    const key = await keys.addKey('user', 'q:4', 'x'.repeat(50), own)
    await assert.rejects(keys.update(key, 'x'.repeat(200), own), says('EDQUOT'))
    assert.equal(key.payload().length, 50)
    await assert.rejects(keys.addKey('user', 'q:5', 'x'.repeat(80), own), says('EDQUOT'))
    keys.unlink(key, ring, own)
    sysctl(kernel, 'kernel/keys/maxbytes', 20_000)
    assert.equal(line(), before)
    own.credentials.close()
    assert.equal(line(), undefined)
  })

  test('keys that have ended give way to new ones, by number and by bytes, and leave nothing in the account', async () => {
    const own = { credentials: keys.createCredentials({ uid: 79, gid: 79, groups: [] }) }
    const ring = keys.getKeyringId(KEY_SPEC_PROCESS_KEYRING, true, own)
    const remove = keys.registerKeyType({
      name: 'asked for',
      requestKey: authority => authority.reject('ENOKEY', 1),
    })
    sysctl(kernel, 'kernel/keys/maxkeys', 20)
    const ask = (description: string) =>
      keys.requestKey('asked for', description, '', own).catch(error => error.code)
    let said = ''
    let asked = 0
    for (; said !== 'EDQUOT'; asked += 1) said = await ask(`peer:${asked}`)
    assert.ok(asked > 10)
    // Those that still say no, and those that hold, stay.
    const rejected = says('EDQUOT')
    await assert.rejects(keys.addKey('user', 'q:0', 'x', own), rejected)
    pass(1)
    const key = await keys.addKey('user', 'q:1', 'x', own)
    assert.equal((await keys.read(ring, own)).length, 4)
    sysctl(kernel, 'kernel/keys/maxbytes', 150)
    const revoked = await keys.addKey('user', 'q:2', 'x'.repeat(60), own)
    await keys.revoke(revoked, own)
    // In the place of one that ends while room is made for the payload, and for one that has ended itself.
    keys.setTimeout(key, 1, own)
    const upper = keys.registerKeyType({ name: 'plain' })
    const plain = await keys.addKey('plain', 'p:1', 'x'.repeat(40), own)
    keys.setTimeout(plain, 1, own)
    pass(1)
    const next = await keys.addKey('plain', 'p:1', 'y'.repeat(100), own)
    assert.equal(next.payload().length, 100)
    sysctl(kernel, 'kernel/keys/maxkeys', 200)
    sysctl(kernel, 'kernel/keys/maxbytes', 20_000)
    keys.unlink(next, ring, own)
    // The keyring alone, with its name and no link.
    assert.match(kernel.proc.read('/proc/key-users'), /^ {3}79: {5}1 1\/1 1\/200 5\/20000\n/m)
    upper()
    remove()
    own.credentials.close()
  })

  test('an update that needs room for a key that has ended does not take that key away', async () => {
    const own = { credentials: keys.createCredentials({ uid: 80, gid: 80, groups: [] }) }
    const key = await keys.addKey('user', 'q:1', 'x', own)
    keys.setTimeout(key, 1, own)
    pass(1)
    sysctl(kernel, 'kernel/keys/maxbytes', 60)
    await assert.rejects(keys.addKey('user', 'q:1', 'x'.repeat(100), own), says('EDQUOT'))
    sysctl(kernel, 'kernel/keys/maxbytes', 20_000)
    assert.equal(await keys.addKey('user', 'q:1', 'again', own), key)
    assert.equal(key.payload().toString(), 'again')
    own.credentials.close()
  })

  test('key-users: keys, instantiated, quota of keys and bytes', async () => {
    const own = { credentials: keys.createCredentials({ uid: 78, gid: 78, groups: [] }) }
    await keys.addKey('user', 'abc', 'xyz', { ...own, keyring: KEY_SPEC_THREAD_KEYRING })
    // Two keys with their descriptions and NULs, a payload, a link.
    assert.match(kernel.proc.read('/proc/key-users'), /^ {3}78: {5}2 2\/2 2\/200 16\/20000\n/m)
    own.credentials.close()
  })
})

describe('/proc/keys', () => {
  test('key-users: the quota of root is root_maxkeys and root_maxbytes', async () => {
    const own = { credentials: keys.createCredentials({ uid: 0, gid: 0, groups: [] }) }
    await keys.addKey('user', 'of root', 'x', { ...own, keyring: KEY_SPEC_THREAD_KEYRING })
    const limits = () =>
      /^ {4}0: .* \d+\/(\d+) \d+\/(\d+)$/m.exec(kernel.proc.read('/proc/key-users'))?.slice(1)
    assert.deepEqual(limits(), ['1000000', '25000000'])
    sysctl(kernel, 'kernel/keys/root_maxkeys', 999)
    sysctl(kernel, 'kernel/keys/root_maxbytes', 9_999)
    assert.deepEqual(limits(), ['999', '9999'])
    sysctl(kernel, 'kernel/keys/root_maxkeys', 1_000_000)
    sysctl(kernel, 'kernel/keys/root_maxbytes', 25_000_000)
    own.credentials.close()
  })

  test('a line as Linux has it', async () => {
    const gid = process.getegid?.() ?? 0
    const key = await keys.addKey('user', 'proc:one', 'four')
    const line = () =>
      kernel.proc
        .read('/proc/keys')
        .split('\n')
        .find(text => text.includes('proc:one')) ?? ''
    const serial = key.serial.toString(16).padStart(8, '0')
    const owner = `${String(uid).padStart(5)} ${String(gid).padStart(5)}`
    assert.equal(line(), `${serial} I--Q---     1 perm 3f010000 ${owner} user      proc:one: 4`)
    for (const [seconds, shown] of [
      [59, ' 59s'],
      [60, '  1m'],
      [7_200, '  2h'],
      [86_400, '  1d'],
      [604_800 * 3, '  3w'],
    ] as const) {
      keys.setTimeout(key, seconds)
      assert.ok(line().includes(` 1 ${shown} `), line())
    }
    keys.setTimeout(key, 1)
    pass(1)
    assert.ok(line().includes(' expd '), line())
  })

  test('keyrings say how many keys they hold', async () => {
    const ring = await keys.addKey('keyring', 'proc:ring')
    assert.match(kernel.proc.read('/proc/keys'), / keyring {3}proc:ring: empty\n/)
    await keys.addKey('user', 'proc:two', 'x', { keyring: ring })
    assert.match(kernel.proc.read('/proc/keys'), / keyring {3}proc:ring: 1\n/)
  })

  test('a description cannot make a line of its own, and what may not be viewed is not there', async () => {
    const key = await keys.addKey('user', 'line\nfeed\\', 'x')
    assert.match(kernel.proc.read('/proc/keys'), /line\\012feed\\134: 1\n/)
    keys.setPermissions(key, 0x3e000000)
    assert.ok(!kernel.proc.read('/proc/keys').includes('feed'))
  })

  test('negative keys are N', async () => {
    const own = tenant()
    const remove = keys.registerKeyType({
      name: 'no',
      requestKey: authority => authority.reject('EKEYREJECTED', 5, 'it is shut'),
    })
    await assert.rejects(keys.requestKey('no', 'door', '', own), (error: Error) => {
      assert.equal(error.message, "EKEYREJECTED: no 'door': it is shut")
      return says('EKEYREJECTED')(error)
    })
    assert.match(kernel.proc.read('/proc/keys'), / I--Q-N- .* no {8}door\n/)
    assert.ok(errno('EKEYREJECTED') > 0)
    remove()
  })
})
