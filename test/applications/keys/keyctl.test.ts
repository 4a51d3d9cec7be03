/**
 * keyctl by name of operation: all of them, and arguments that nobody has looked at.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import {
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
} from '../../../src/applications/keys/index.js'
import { SystemError } from '../../../src/index.js'
import { errno } from '../../../src/libc/errno.js'
import { bench, says } from './harness.js'

const { kernel, keys, helper } = bench()
after(() => kernel.shutdown())
const credentials = keys.joinSessionKeyring()
const S = KEY_SPEC_SESSION_KEYRING
const call = async (operation: string, ...args: unknown[]) => keys.keyctl(operation, args, credentials)

const OPERATIONS = [
  'add',
  'request',
  'update',
  'revoke',
  'describe',
  'read',
  'link',
  'unlink',
  'move',
  'search',
  'clear',
  'newring',
  'timeout',
  'setperm',
  'instantiate',
  'negate',
  'reject',
  'invalidate',
  'assume_authority',
  'get_keyring_ID',
  'show',
]

describe('operations', () => {
  test('a life of a key', async () => {
    const key = await call('add', 'user', 'life', Buffer.from([0, 255]), S)
    assert.ok(typeof key === 'number' && key >= 3)
    assert.deepEqual(await call('read', key), Buffer.from([0, 255]))
    await call('update', key, Buffer.from('second'))
    assert.equal(String(await call('read', key)), 'second')
    assert.match(String(await call('describe', key)), /^user;.*;life$/)
    assert.equal(await call('request', 'user', 'life'), key)
    const ring = await call('newring', 'ring', S)
    await call('link', key, ring)
    assert.equal(await call('search', ring, 'user', 'life'), key)
    await call('unlink', key, S)
    await call('move', key, ring, S, 1)
    await call('timeout', key, 100)
    await call('setperm', key, 0x3f010000)
    assert.match(
      String(await call('show')),
      /Session Keyring\n +\d+ --alswrv .* keyring: _ses\n(.*\n)* +\d+ --alswrv .* \\_ user: life\n/,
    )
    assert.equal(await call('get_keyring_ID', S), credentials.sessionKeyring?.serial)
    await call('revoke', key)
    await assert.rejects(call('read', key), says('EKEYREVOKED'))
    await call('clear', ring)
    await call('invalidate', ring)
    assert.equal(await call('assume_authority', 0), 0)
  })

  test('a search that finds nothing is ENOKEY', async () => {
    await assert.rejects(call('search', S, 'user', 'absent'), says('ENOKEY'))
  })

  test('request with callout info and a destination', async () => {
    helper('/nonexistent')
    const thread = await call('get_keyring_ID', KEY_SPEC_THREAD_KEYRING, true)
    await assert.rejects(call('request', 'user', 'made', '', thread), says('ENOENT'))
    await assert.rejects(call('request', 'user', 'made', '', thread), says('ENOKEY'))
    await call('clear', KEY_SPEC_THREAD_KEYRING)
  })

  test('without authority: EPERM', async () => {
    await assert.rejects(call('instantiate', 5, 'x', 0), says('EPERM'))
    await assert.rejects(call('negate', 5, 1), says('EPERM'))
    await assert.rejects(call('reject', 5, 1, errno('EKEYREJECTED')), says('EPERM'))
    await assert.rejects(call('reject', 5, 1, 0), says('EINVAL'))
    await assert.rejects(call('assume_authority', 5), says('ENOKEY'))
    await assert.rejects(call('assume_authority', -1), says('EINVAL'))
  })

  test('a special keyring that is not there', async () => {
    await assert.rejects(call('get_keyring_ID', KEY_SPEC_PROCESS_KEYRING), says('ENOKEY'))
    assert.ok(Number(await call('get_keyring_ID', KEY_SPEC_PROCESS_KEYRING, 1)) >= 3)
  })
})

describe('bad input', () => {
  test('operations that there are not: EOPNOTSUPP', async () => {
    for (const operation of ['', 'chown', '__proto__', 'constructor', 'toString', 5, null, {}]) {
      await assert.rejects(call(operation as string), says('EOPNOTSUPP'))
    }
  })

  test('no list of arguments, and too many: EINVAL', () => {
    for (const args of [undefined, null, 'x', 5, {}, { length: 3 }]) {
      assert.throws(() => keys.keyctl('describe', args as unknown[], credentials), says('EINVAL'))
    }
    assert.throws(() => keys.keyctl('show', [1], credentials), says('EINVAL'))
  })

  test('payloads that are no bytes are refused and not shown', async () => {
    await assert.rejects(call('add', 'user', 'x', { secret: 'hush' }, S), (error: Error) => {
      assert.ok(!error.message.includes('hush'))
      return says('EINVAL')(error)
    })
    await assert.rejects(call('add', 'user', 'x', Buffer.alloc(2 ** 20), S), says('EINVAL'))
  })

  test('whatever it is given, it says a SystemError, and leaves the keys as they were', async () => {
    const scratch = keys.joinSessionKeyring()
    const key = await keys.addKey('user', 'survivor', 'x', { credentials: scratch })
    const value = fc.oneof(
      fc.constantFrom(-1, -2, -3, -4, -5, -6, -7, -8, -9, 0, 1, 2 ** 31, 2 ** 53, Number.NaN, 1.5),
      fc.anything(),
      fc.string(),
      fc.uint8Array({ maxLength: 8 }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...OPERATIONS),
        fc.array(value, { maxLength: 6 }),
        async (operation, args) => {
          const stranger = keys.createCredentials({ uid: 9_999, gid: 9_999, groups: [] })
          try {
            await keys.keyctl(operation, args, stranger)
          } catch (error) {
            assert.ok(error instanceof SystemError, `${operation}: ${error}`)
          } finally {
            stranger.close()
          }
        },
      ),
      { numRuns: 1_000 },
    )
    assert.equal(key.payload().toString(), 'x')
    scratch.close()
  })
})
