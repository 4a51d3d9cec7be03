/**
 * request_key, as in Linux 6.17, security/keys/request_key.c.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import {
  type AuthorityKey,
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_REQUESTOR_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
  KEY_SPEC_USER_SESSION_KEYRING,
  type KeyCredentials,
} from '../../../src/applications/keys/index.js'
import { errno } from '../../../src/libc/errno.js'
import { temporary, write } from '../../helpers/temporary.js'
import { bench, keysHelper, says, sysctl } from './harness.js'

const { kernel, keys, helpers, helper, pass } = bench()
after(() => kernel.shutdown())

const INSTANTIATE = keysHelper(`
  await call('assume_authority', key)
  const callout = await call('read', -7)
  await call('instantiate', key, 'made of ' + callout, 0)`)
const REJECT = keysHelper(`
  await call('assume_authority', key)
  await call('reject', key, 10, ${errno('EKEYREJECTED')}, 0)`)
const NOTHING = write('request-key-nothing', '#!/bin/sh\nexit 0\n', 0o755)

let names = 0
const name = () => {
  names += 1
  return `service:${names}`
}
/** A tenant of its own: nobody else's keys are in its way. */
const tenant = (): { readonly credentials: KeyCredentials } => ({ credentials: keys.joinSessionKeyring() })
const count = async (run: () => Promise<unknown>): Promise<number> => {
  const before = helpers.started
  await run()
  return helpers.started - before
}

describe('what is found is not asked for', () => {
  test('147: a key that is found: no helper runs', async () => {
    const description = name()
    const key = await keys.addKey('user', description, 'here')
    helper(NOTHING)
    const started = await count(async () => {
      assert.equal(await keys.requestKey('user', description, 'callout'), key)
    })
    assert.equal(started, 0)
  })

  test('147: no callout info and nothing found: ENOKEY, and no helper runs', async () => {
    const started = await count(() => assert.rejects(keys.requestKey('user', name()), says('ENOKEY')))
    assert.equal(started, 0)
  })

  test('a key in a keyring inside a keyring is found', async () => {
    const inner = await keys.addKey('keyring', name())
    const key = await keys.addKey('user', name(), 'deep', { keyring: inner })
    assert.equal(await keys.requestKey('user', key.description), key)
  })

  test('a destination gets a link to what is found, if the key permits links', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    const ring = await keys.addKey('keyring', name(), '', own)
    await keys.requestKey('user', key.description, undefined, { ...own, destination: ring })
    assert.equal((await keys.read(ring, own)).readInt32LE(0), key.serial)
    keys.setPermissions(key, 0x2f000000, own)
    await assert.rejects(
      keys.requestKey('user', key.description, undefined, { ...own, destination: ring }),
      says('EACCES'),
    )
  })

  test('157: an expired key is passed over and made again, not EKEYEXPIRED', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'old', own)
    keys.setTimeout(key, 5, own)
    pass(5)
    helper(INSTANTIATE)
    const started = await count(async () => {
      const made = await keys.requestKey('user', key.description, 'new', own)
      assert.equal(made.payload().toString(), 'made of new')
    })
    assert.equal(started, 1)
  })

  test('a revoked key is EKEYREVOKED; with another keyring that has none, it is masked and made', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', { ...own, keyring: KEY_SPEC_SESSION_KEYRING })
    await keys.revoke(key, own)
    await assert.rejects(keys.requestKey('user', key.description, 'c', own), says('EKEYREVOKED'))
    keys.getKeyringId(KEY_SPEC_THREAD_KEYRING, true, own)
    helper(INSTANTIATE)
    assert.equal((await keys.requestKey('user', key.description, 'c', own)).payload().toString(), 'made of c')
  })

  test('a keyring is not made on request: EPERM', async () => {
    await assert.rejects(keys.requestKey('keyring', name(), ''), says('EPERM'))
  })
})

describe('construction', () => {
  test('153: 100 requests at once: one helper runs, and all get the same key', async () => {
    const description = name()
    helper(INSTANTIATE)
    const started = await count(async () => {
      const made = await Promise.all(
        Array.from({ length: 100 }, () => keys.requestKey('user', description, 'many')),
      )
      assert.equal(new Set(made).size, 1)
      assert.equal(made[0]?.payload().toString(), 'made of many')
    })
    assert.equal(started, 1)
  })

  test('the helper gets the arguments and the environment of Linux, and what the hook adds', async () => {
    const seen = temporary('request-key-seen')
    helper(write('request-key-seen.sh', `#!/bin/sh\n{ echo "$0 $*"; env | sort; } > ${seen}\n`, 0o755))
    const own = tenant()
    const thread = keys.getKeyringId(KEY_SPEC_THREAD_KEYRING, true, own)
    const process_ = keys.getKeyringId(KEY_SPEC_PROCESS_KEYRING, true, own)
    const description = name()
    await assert.rejects(keys.requestKey('user', description, 'the callout', own), says('ENOKEY'))
    const [command = '', ...environment] = readFileSync(seen, 'utf8').trim().split('\n')
    const [, operation, serial, ...rest] = command.split(' ')
    assert.equal(operation, 'create')
    assert.ok(Number(serial) >= 3)
    assert.deepEqual(rest.map(Number), [
      process.geteuid?.(),
      process.getegid?.(),
      thread,
      process_,
      keys.getKeyringId(KEY_SPEC_SESSION_KEYRING, false, own),
    ])
    assert.ok(environment.includes('HOME=/'))
    assert.ok(environment.includes('PATH=/sbin:/bin:/usr/sbin:/usr/bin'))
    assert.ok(environment.some(line => line.startsWith('KEYS_SOCKET=')))
    assert.ok(!readFileSync(seen, 'utf8').includes('the callout'))
  })

  test('without keyrings of its own the service names 0, 0 and the session keyring of its user', async () => {
    const seen = temporary('request-key-default')
    helper(write('request-key-default.sh', `#!/bin/sh\necho "$*" > ${seen}\n`, 0o755))
    await assert.rejects(keys.requestKey('user', name(), ''), says('ENOKEY'))
    const session = keys.getKeyringId(KEY_SPEC_USER_SESSION_KEYRING)
    assert.match(readFileSync(seen, 'utf8'), new RegExp(` 0 0 ${session}\n$`))
  })

  test('149: a helper that does nothing: ENOKEY, negative for 60 s, asked again after that', async () => {
    const own = tenant()
    const description = name()
    helper(NOTHING)
    const ask = () => assert.rejects(keys.requestKey('user', description, 'c', own), says('ENOKEY'))
    assert.equal(await count(ask), 1)
    assert.equal(await count(ask), 0)
    pass(59)
    assert.equal(await count(ask), 0)
    pass(2)
    assert.equal(await count(ask), 1)
  })

  test('how the helper ends means nothing if the key was made', async () => {
    helper(
      keysHelper(`
      await call('assume_authority', key)
      await call('instantiate', key, 'made', 0)
      return 7`),
    )
    assert.equal((await keys.requestKey('user', name(), '')).payload().toString(), 'made')
  })

  test('no such helper: the first who asks gets ENOENT, the others ENOKEY', async () => {
    helper('/nonexistent/request-key')
    const own = tenant()
    const description = name()
    const codes = await Promise.all(
      [1, 2, 3].map(() => keys.requestKey('user', description, '', own).catch(error => error.code)),
    )
    assert.deepEqual(codes, ['ENOENT', 'ENOKEY', 'ENOKEY'])
    await assert.rejects(keys.requestKey('user', description, '', own), says('ENOKEY'))
  })

  test('helpers disabled: EBUSY for the first, ENOKEY afterwards', async () => {
    await kernel.usermodehelperDisable()
    const own = tenant()
    const description = name()
    helper(NOTHING)
    await assert.rejects(keys.requestKey('user', description, '', own), says('EBUSY'))
    await kernel.usermodehelperEnable()
    await assert.rejects(keys.requestKey('user', description, '', own), says('ENOKEY'))
  })

  test('151: rejected with EKEYREJECTED for 10 s: so say all waiters, and later requests, with no helper', async () => {
    helper(REJECT)
    const own = tenant()
    const description = name()
    const started = await count(async () => {
      const all = Array.from({ length: 5 }, () =>
        assert.rejects(keys.requestKey('user', description, '', own), says('EKEYREJECTED')),
      )
      await Promise.all(all)
      pass(9)
      await assert.rejects(keys.requestKey('user', description, '', own), says('EKEYREJECTED'))
    })
    assert.equal(started, 1)
    pass(1)
    assert.equal(
      await count(() => assert.rejects(keys.requestKey('user', description, '', own), says('EKEYREJECTED'))),
      1,
    )
  })

  test('rejected for 0 s: expired at once, so the caller sees ENOKEY', async () => {
    helper(
      keysHelper(`
      await call('assume_authority', key)
      await call('reject', key, 0, ${errno('EKEYREJECTED')}, 0)`),
    )
    await assert.rejects(keys.requestKey('user', name(), ''), says('ENOKEY'))
  })

  test('155: a wait that is broken off is ERESTARTSYS; the construction goes on for the others', async () => {
    const gate = temporary('gate-155')
    helper(
      keysHelper(`
      const { existsSync } = await import('node:fs')
      while (!existsSync(${JSON.stringify(gate)})) await new Promise(resolve => setTimeout(resolve, 5))
      await call('assume_authority', key)
      await call('instantiate', key, 'at last', 0)`),
    )
    const description = name()
    const first = new AbortController()
    const second = new AbortController()
    const broken = keys.requestKey('user', description, '', { signal: first.signal })
    const also = keys.requestKey('user', description, '', { signal: second.signal })
    const stays = keys.requestKey('user', description, '')
    first.abort()
    second.abort()
    await assert.rejects(broken, says('ERESTARTSYS'))
    await assert.rejects(also, says('ERESTARTSYS'))
    await assert.rejects(
      keys.requestKey('user', description, '', { signal: AbortSignal.abort() }),
      says('ERESTARTSYS'),
    )
    write('gate-155', '')
    assert.equal((await stays).payload().toString(), 'at last')
  })

  test('a first request whose signal is aborted already is broken off; its key is made for later', async () => {
    helper(INSTANTIATE)
    const description = name()
    await assert.rejects(
      keys.requestKey('user', description, 'x', { signal: AbortSignal.abort() }),
      says('ERESTARTSYS'),
    )
    assert.equal((await keys.requestKey('user', description)).payload().toString(), 'made of x')
  })

  test('165: over the quota: EDQUOT, and no helper runs', async () => {
    sysctl(kernel, 'kernel/keys/maxkeys', 1)
    sysctl(kernel, 'kernel/keys/root_maxkeys', 1)
    const started = await count(() => assert.rejects(keys.requestKey('user', name(), 'c'), says('EDQUOT')))
    sysctl(kernel, 'kernel/keys/maxkeys', 200)
    sysctl(kernel, 'kernel/keys/root_maxkeys', 1_000_000)
    assert.equal(started, 0)
  })

  test('a destination that is no keyring: ENOTDIR; one that may not be written to: EACCES; no helper runs', async () => {
    const own = tenant()
    const key = await keys.addKey('user', name(), 'x', own)
    const ring = await keys.addKey('keyring', name(), '', own)
    keys.setPermissions(ring, 0x3b000000, own)
    const started = await count(async () => {
      await assert.rejects(keys.requestKey('user', name(), '', { ...own, destination: key }), says('ENOTDIR'))
      await assert.rejects(keys.requestKey('user', name(), '', { ...own, destination: ring }), says('EACCES'))
    })
    assert.equal(started, 0)
  })

  test('two tenants do not share: each has a key made', async () => {
    helper(INSTANTIATE)
    const description = name()
    const [one, two] = [tenant(), tenant()]
    const started = await count(async () => {
      const [a, b] = await Promise.all([
        keys.requestKey('user', description, '1', one),
        keys.requestKey('user', description, '2', two),
      ])
      assert.notEqual(a, b)
    })
    assert.equal(started, 2)
  })

  test('a key under construction is waited for by whoever reads it by number', async () => {
    helper(INSTANTIATE)
    const description = name()
    const request = keys.requestKey('user', description, 'r')
    const key = keys.search(KEY_SPEC_USER_SESSION_KEYRING, 'user', description)
    assert.match(kernel.proc.read('/proc/keys'), new RegExp(`U-- .* ${description}\n`))
    assert.throws(() => key.payload(), says('ENOKEY'))
    assert.equal((await keys.read(key)).toString(), 'made of r')
    await request
  })

  test('unlinked while it is made: whoever asked for it has it all the same', async () => {
    helper(INSTANTIATE)
    const own = tenant()
    const request = keys.requestKey('user', name(), 'u', own)
    keys.clear(KEY_SPEC_SESSION_KEYRING, own)
    const key = await request
    assert.equal(key.payload().toString(), 'made of u')
    await assert.rejects(keys.read(key, own), says('ENOKEY'))
  })
})

describe('authority', () => {
  test('159, 161: it ends with the construction: EPERM, and ENOKEY or EKEYREVOKED when assumed again', async () => {
    const report = temporary('authority-report')
    helper(
      keysHelper(`
      const code = async (...args) => { try { await call(...args); return 'fine' } catch (e) { return e.code } }
      const codes = [await code('instantiate', key, 'no authority', 0)]
      codes.push(await code('assume_authority', key + 1 > 2 ** 31 - 1 ? 5 : key + 1))
      codes.push(await code('assume_authority', -1))
      codes.push(await code('assume_authority', key))
      codes.push(await code('instantiate', key + 1 > 2 ** 31 - 1 ? 5 : key + 1, 'another', 0))
      codes.push(await code('instantiate', key, 'bad ring', -7))
      codes.push(await code('instantiate', key, 'bad ring', -9))
      codes.push(await code('reject', key, 1, 0, 0))
      codes.push(await code('reject', key, 1, 512, 0))
      codes.push(await code('reject', key, 1, 4095, 0))
      codes.push(await code('instantiate', key, '', 0))
      codes.push(await code('instantiate', key, 'once', 0))
      codes.push(await code('instantiate', key, 'twice', 0))
      codes.push(await code('assume_authority', key))
      codes.push(await code('assume_authority', 0))
      const { writeFileSync } = await import('node:fs')
      writeFileSync(${JSON.stringify(report)}, codes.join(' '))`),
    )
    const key = await keys.requestKey('user', name(), '')
    assert.equal(key.payload().toString(), 'once')
    assert.equal(
      readFileSync(report, 'utf8').replace(/E(NOKEY|KEYREVOKED) fine$/, 'GONE fine'),
      'EPERM ENOKEY EINVAL fine EPERM EINVAL ENOKEY EINVAL EINVAL EINVAL EINVAL fine EPERM GONE fine',
    )
  })

  test('159: at the lower layer the second is EBUSY', async () => {
    const remove = keys.registerKeyType({
      name: 'twice',
      requestKey(authority) {
        authority.instantiate('once')
        assert.throws(() => authority.instantiate('twice'), says('EBUSY'))
        assert.throws(() => authority.reject('EKEYREJECTED', 5), says('EBUSY'))
      },
    })
    const key = await keys.requestKey('twice', name(), '')
    assert.equal(key.payload().toString(), 'once')
    remove()
  })

  test("KEY_SPEC_REQUESTOR_KEYRING is the destination of whoever asked; the helper finds the requestor's keys", async () => {
    const own = tenant()
    await keys.addKey('user', 'their:own', 'theirs', own)
    const ring = await keys.addKey('keyring', name(), '', own)
    helper(
      keysHelper(`
      await call('assume_authority', key)
      const theirs = await call('request', 'user', 'their:own')
      await call('instantiate', key, 'with ' + await call('read', theirs), ${KEY_SPEC_REQUESTOR_KEYRING})`),
    )
    const key = await keys.requestKey('user', name(), '', { ...own, destination: ring })
    assert.equal(key.payload().toString(), 'with theirs')
    assert.equal((await keys.read(ring, own)).readInt32LE(0), key.serial)
  })

  test('a helper that asks for another key: it is made for the first requestor, and goes to its keyring', async () => {
    const own = tenant()
    const [outer, inner] = [name(), name()]
    await keys.addKey('user', 'their:nested', 'first', own)
    helper(
      keysHelper(`
      await call('assume_authority', key)
      const what = (await call('describe', key)).split(';').at(-1)
      if (what === ${JSON.stringify(inner)}) {
        const theirs = await call('read', await call('request', 'user', 'their:nested'))
        await call('instantiate', key, 'inner of ' + theirs, 0)
      }
      else {
        const other = await call('request', 'user', ${JSON.stringify(inner)}, '')
        await call('instantiate', key, 'outer with ' + await call('read', other), 0)
      }`),
    )
    const key = await keys.requestKey('user', outer, '', own)
    assert.equal(key.payload().toString(), 'outer with inner of first')
    assert.equal(
      keys.search(KEY_SPEC_SESSION_KEYRING, 'user', inner, own).payload().toString(),
      'inner of first',
    )
  })

  test('asked for with an authority that has ended: EKEYREVOKED', async () => {
    const remembered: { credentials?: KeyCredentials } = {}
    const remove = keys.registerKeyType({
      name: 'remember',
      requestKey(authority) {
        const credentials = keys.credentialsOfAuthority(authority)
        keys.assumeAuthority(authority.target.serial, { credentials })
        remembered.credentials = credentials
        authority.instantiate('x')
      },
    })
    await keys.requestKey('remember', name(), '')
    const { credentials } = remembered
    assert.ok(credentials)
    await assert.rejects(keys.requestKey('user', name(), '', { credentials }), says('EKEYREVOKED'))
    assert.throws(() => keys.instantiate(1, 'x', 0, { credentials }), says('EPERM'))
    assert.throws(
      () => keys.getKeyringId(KEY_SPEC_REQUESTOR_KEYRING, false, { credentials }),
      says('EKEYREVOKED'),
    )
    credentials.close()
    remove()
  })

  test("the helper's session keyring is _req.<serial> and holds the authorisation key alone", async () => {
    const report = temporary('session-report')
    helper(
      keysHelper(`
      const { writeFileSync } = await import('node:fs')
      writeFileSync(${JSON.stringify(report)}, String(key) + '\\n' + await call('show'))
      await call('assume_authority', key)
      await call('negate', key, 5, 0)`),
    )
    await assert.rejects(keys.requestKey('user', name(), 'info'), says('ENOKEY'))
    const [serial = '', title, ring = '', auth = '', ...more] = readFileSync(report, 'utf8')
      .trim()
      .split('\n')
    assert.equal(title, 'Session Keyring')
    assert.ok(ring.endsWith(` keyring: _req.${serial}`), ring)
    assert.ok(auth.endsWith(` \\_ .request_key_auth: ${Number(serial).toString(16)}`), auth)
    assert.deepEqual(more, [])
    assert.ok(!kernel.proc.read('/proc/keys').includes(`_req.${serial}`))
    assert.ok(!kernel.proc.read('/proc/keys').includes('.request_key_auth'))
  })

  test('the hook is told when the helper has ended, also when it could not run', async () => {
    const other = bench()
    const done: string[] = []
    other.keys.helperEnvironment = async () => ({ env: ['A=b'], done: () => done.push('done') })
    other.helper(NOTHING)
    await assert.rejects(other.keys.requestKey('user', 'a:b', ''), says('ENOKEY'))
    other.helper('/nonexistent')
    await assert.rejects(other.keys.requestKey('user', 'c:d', ''), says('ENOENT'))
    assert.deepEqual(done, ['done', 'done'])
    await other.kernel.shutdown()
  })
})

describe('types that make their keys themselves', () => {
  test('no program runs; what they throw is for the first who asks, ENOKEY for the others', async () => {
    let calls = 0
    const remove = keys.registerKeyType({
      name: 'own',
      async requestKey() {
        calls += 1
        throw new RangeError('mine')
      },
    })
    const own = tenant()
    const description = name()
    const errors = await Promise.all(
      [1, 2].map(() => keys.requestKey('own', description, '', own).catch(error => error)),
    )
    assert.equal(errors[0].message, 'mine')
    assert.equal(errors[1].code, 'ENOKEY')
    assert.equal(calls, 1)
    remove()
  })

  test('a key that is not made is told from one that has ended before its maker; both are ENOKEY', async () => {
    const make = new Map<string, (authority: AuthorityKey) => void>([
      ['nothing', () => {}],
      [
        'short',
        authority => {
          authority.instantiate('x', { timeout: 1 })
          pass(2)
        },
      ],
      ['rejected', authority => authority.reject('EKEYREJECTED', 0)],
    ])
    const own = tenant()
    const remove = keys.registerKeyType({
      name: 'maker',
      async requestKey(authority) {
        make.get(authority.target.description)?.(authority)
      },
    })
    for (const [description, message] of [
      ['nothing', "ENOKEY: maker 'nothing': whoever was to make it has not"],
      ['short', "ENOKEY: maker 'short': has expired before its maker had come to an end"],
      ['rejected', "ENOKEY: maker 'rejected': has expired before its maker had come to an end"],
    ] as const) {
      await assert.rejects(keys.requestKey('maker', description, '', own), { code: 'ENOKEY', message })
    }
    remove()
  })

  test('at a shutdown whoever waits for one that never ends is told so', async () => {
    const other = bench()
    other.keys.registerKeyType({ name: 'endless', requestKey: () => new Promise(() => {}) })
    const own = { credentials: other.keys.joinSessionKeyring() }
    const controller = new AbortController()
    const signalled = { ...own, signal: controller.signal }
    const waits: Promise<unknown>[] = [
      other.keys.requestKey('endless', 'a', '', signalled),
      other.keys.requestKey('endless', 'a', '', signalled),
    ]
    const key = other.keys.search(KEY_SPEC_SESSION_KEYRING, 'endless', 'a', own)
    waits.push(other.keys.read(key, own), other.keys.revoke(key, own))
    const told = waits.map(wait => assert.rejects(wait, { code: 'ERR_KHELPER_SHUT_DOWN' }))
    await other.kernel.shutdown()
    await Promise.all(told)
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), [])
  })

  test('what asks for the key that it makes, straight or by way of others, is told EDEADLK', async () => {
    const own = tenant()
    const codes = new Map<string, string>()
    const remove = keys.registerKeyType({
      name: 'circle',
      async requestKey(authority) {
        const { description } = authority.target
        // By another turn of the event loop, and with credentials that say nothing of the construction.
        await new Promise(resolve => setImmediate(resolve))
        const next = { self: 'self', one: 'two', two: 'one' }[description] ?? 'fine'
        try {
          if (description !== 'fine') await keys.requestKey('circle', next, '', own)
          authority.instantiate('made')
        } catch (error) {
          codes.set(description, (error as { code: string }).code)
          throw error
        }
      },
    })
    const both = await Promise.allSettled([
      keys.requestKey('circle', 'self', '', own),
      keys.requestKey('circle', 'one', '', own),
      keys.requestKey('circle', 'two', '', own),
    ])
    assert.deepEqual(new Set(both.map(({ status }) => status)), new Set(['rejected']))
    assert.equal(codes.get('self'), 'EDEADLK')
    assert.deepEqual([codes.get('one'), codes.get('two')].sort(), ['EDEADLK', 'ENOKEY'])
    assert.equal((await keys.requestKey('circle', 'other', '', own)).payload().toString(), 'made')
    remove()
  })

  test('a helper that asks for the key that it makes is told EDEADLK', async () => {
    const report = temporary('deadlock-report')
    const description = name()
    helper(
      keysHelper(`
      const { writeFileSync } = await import('node:fs')
      const code = (...args) => call(...args).then(() => 'fine', error => error.code)
      const said = [await code('read', key)]
      await call('assume_authority', key)
      said.push(await code('request', 'user', ${JSON.stringify(description)}))
      writeFileSync(${JSON.stringify(report)}, said.join(' '))
      await call('instantiate', key, 'made', 0)`),
    )
    const key = await keys.requestKey('user', description, '')
    assert.equal(key.payload().toString(), 'made')
    assert.match(readFileSync(report, 'utf8'), /EDEADLK$/)
  })

  test('a timeout is a number of seconds, rounded down, 0 for expired at once; others are refused', async () => {
    let timeout: unknown
    const remove = keys.registerKeyType({
      name: 'timed',
      requestKey: authority => authority.instantiate('x', { timeout: timeout as number }),
    })
    const own = tenant()
    for (const [given, left] of [
      [30, 30],
      [59.5, 59],
      [undefined, undefined],
    ] as const) {
      timeout = given
      assert.equal((await keys.requestKey('timed', name(), '', own)).timeout, left)
    }
    for (timeout of [0, 0.5]) {
      await assert.rejects(keys.requestKey('timed', name(), '', own), says('ENOKEY'))
    }
    for (timeout of [-5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, '30', null]) {
      await assert.rejects(keys.requestKey('timed', name(), '', own), /"options.timeout"/)
    }
    remove()
  })

  test('a rejection names a known error and its seconds; others are refused', async () => {
    let given: readonly unknown[] = []
    const remove = keys.registerKeyType({
      name: 'refusing',
      requestKey: authority => authority.reject(...(given as Parameters<typeof authority.reject>)),
    })
    const own = tenant()
    const isArgument = (named: string, code: string) => (error: Error & { code?: string }) => {
      assert.ok(error.message.includes(`"${named}"`), error.message)
      assert.equal(error.code, code)
      return true
    }
    for (const [args, named, code] of [
      [['EKEYREJECTED', Number.NaN], 'timeout', 'ERR_OUT_OF_RANGE'],
      [['EKEYREJECTED', -3], 'timeout', 'ERR_OUT_OF_RANGE'],
      [['EKEYREJECTED', '3'], 'timeout', 'ERR_INVALID_ARG_TYPE'],
      [['EKEYREJECTED'], 'timeout', 'ERR_INVALID_ARG_TYPE'],
      [['EFOO', 5], 'code', 'ERR_INVALID_ARG_VALUE'],
      [['toString', 5], 'code', 'ERR_INVALID_ARG_VALUE'],
      [['ERESTARTSYS', 5], 'code', 'ERR_INVALID_ARG_VALUE'],
      [[undefined, 5], 'code', 'ERR_INVALID_ARG_TYPE'],
      [['EKEYREJECTED', 5, { a: 1 }], 'reason', 'ERR_INVALID_ARG_TYPE'],
    ] as const) {
      given = args
      await assert.rejects(keys.requestKey('refusing', name(), '', own), isArgument(named, code))
    }
    remove()
  })

  test('matchPreparse finds keys in its own way, and refuses what it does not like', async () => {
    const remove = keys.registerKeyType({
      name: 'prefix',
      instantiate: payload => payload,
      matchPreparse: description => {
        if (description === 'never') throw new RangeError('never')
        return key => key.description.startsWith(description)
      },
    })
    const own = tenant()
    const key = await keys.addKey('prefix', 'alpha beta', 'x', own)
    assert.equal(await keys.requestKey('prefix', 'alpha', undefined, own), key)
    await assert.rejects(keys.requestKey('prefix', 'never', undefined, own), RangeError)
    remove()
    assert.throws(() => key.payload(), says('EKEYREVOKED'))
    await assert.rejects(keys.requestKey('prefix', 'alpha', undefined, own), says('ENOKEY'))
  })

  test('a negative key becomes positive when it is updated', async () => {
    const own = tenant()
    const description = name()
    helper(REJECT)
    await assert.rejects(keys.requestKey('user', description, '', own), says('EKEYREJECTED'))
    const key = await keys.addKey('user', description, 'now there is', own)
    assert.equal(await keys.requestKey('user', description, '', own), key)
    pass(100)
    assert.equal(key.payload().toString(), 'now there is')
  })
})

test('nothing is left of constructions: no authority, no keyring, no hold', async () => {
  helper(INSTANTIATE)
  const before = kernel.proc.read('/proc/keys').split('\n').length
  const own = tenant()
  await Promise.all(
    Array.from({ length: 20 }, (_, index) => keys.requestKey('user', `left:${index}`, '', own)),
  )
  const lines = kernel.proc
    .read('/proc/keys')
    .split('\n')
    .filter(line => / left:\d+: /.test(line))
  assert.equal(lines.length, 20)
  for (const line of lines) assert.equal(line.split(/\s+/)[2], '1', line)
  own.credentials.close()
  assert.equal(kernel.proc.read('/proc/keys').split('\n').length, before)
})
