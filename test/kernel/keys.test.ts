/**
 * Secrets for helpers: a real session keyring and a private folder, and nowhere else.
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename } from 'node:path'
import { arch } from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { inspect, promisify } from 'node:util'
import { NAMESPACES } from '../../src/cli/stress/full-disk.js'
import { boot, GFP_ATOMIC, Keyring, UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../src/index.js'
import { CredentialDirectories } from '../../src/kernel/credential-directories.js'
import { withoutNamespaces } from '../helpers/namespaces.js'
import { eventually, openFds } from '../helpers/resources.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
const SECRET = 'correct horse battery staple'
const needsRoot = process.getuid?.() !== 0 && 'needs root'
const NOBODY = 65_534

/** Folders of services in the place where secrets lie. */
const left = (): string[] => readdirSync('/dev/shm').filter(name => name.startsWith('khelper-credentials-'))

/** Reads a key out of the session keyring; numbers of x86-64. */
const READ_KEY = `
import ctypes, sys
libc = ctypes.CDLL(None)
key = libc.syscall(250, 10, -3, b'user', sys.argv[1].encode(), 0)
buffer = ctypes.create_string_buffer(100000)
length = libc.syscall(250, 11, key, buffer, len(buffer))
print(buffer.raw[:length].decode() if key > 0 else 'no key')
`

test('files in $CREDENTIALS_DIRECTORY: private, the helper’s, gone with it', async () => {
  await using kernel = boot({ khelpers: 1 })
  const keys = new Keyring({ token: SECRET, binary: new Uint8Array([0, 255, 10]) })
  const { stdout } = await kernel.run(
    'sh',
    [
      '-c',
      'echo $CREDENTIALS_DIRECTORY; cd $CREDENTIALS_DIRECTORY; cat token; echo; wc -c <binary; stat -c %a:%u . token',
    ],
    { keys },
  )
  const [folder = '', token, bytes, ...modes] = stdout.trim().split('\n')
  assert.deepEqual([token, bytes], [SECRET, '3'])
  assert.deepEqual(modes, [`700:${process.getuid?.()}`, `400:${process.getuid?.()}`])
  assert.equal(existsSync(folder), false)
})

test('a helper of another user: its files are its own, and the folder is the service’s', {
  skip: needsRoot,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  const { stdout } = await kernel.run(
    'sh',
    ['-c', 'cd $CREDENTIALS_DIRECTORY; cat token; stat -c :%a:%u . token'],
    {
      keys: new Keyring({ token: SECRET }),
      uid: NOBODY,
      gid: NOBODY,
    },
  )
  assert.equal(stdout, `${SECRET}:711:0\n:400:${NOBODY}\n`)
})

/** Tries, so many times, all that could change what a folder holds or is. Prints what has succeeded. */
const SWAP = `
import os, sys
folder, tries = os.environ['CREDENTIALS_DIRECTORY'], int(sys.argv[1])
token, done = folder + '/token', set()
attempts = {
  'rename the folder': lambda: os.rename(folder, folder + '-moved'),
  'remove the folder': lambda: os.rmdir(folder),
  'make a folder in its place': lambda: os.mkdir(folder + '/../other'),
  'add a file': lambda: os.close(os.open(folder + '/more', os.O_CREAT | os.O_WRONLY)),
  'add a folder': lambda: os.mkdir(folder + '/more'),
  'add a link': lambda: os.symlink('/etc', folder + '/more'),
  'add a name': lambda: os.link(token, folder + '/more'),
  'rename a secret': lambda: os.rename(token, folder + '/more'),
  'remove a secret': lambda: os.unlink(token),
  'exchange a secret': lambda: os.replace(sys.argv[2], token),
  'open the folder to others': lambda: os.chmod(folder, 0o777),
  'take the folder': lambda: os.chown(folder, os.getuid(), -1),
  'list the folders of others': lambda: os.listdir(folder + '/..'),
}
for _ in range(tries):
  for name, attempt in attempts.items():
    try:
      attempt()
      done.add(name)
    except OSError:
      pass
print(sorted(done))
`

test('a helper of another user can exchange nothing in its folder, nor the folder, in 10 000 tries', {
  skip: needsRoot,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  const outside = mkdtempSync('/dev/shm/khelper-test-')
  try {
    chmodSync(outside, 0o777)
    const own = `${outside}/own`
    writeFileSync(own, 'not the secret')
    chownSync(own, NOBODY, NOBODY)
    const { stdout } = await kernel.run('python3', ['-c', SWAP, '10000', own], {
      keys: new Keyring({ token: SECRET }),
      // Where others may execute it.
      env: { PATH: '/usr/bin:/bin' },
      uid: NOBODY,
      gid: NOBODY,
    })
    assert.equal(stdout, '[]\n')
    assert.deepEqual(readdirSync(outside), ['own'])
  } finally {
    rmSync(outside, { recursive: true })
  }
})

test('what a helper of the same user has put into its folder is neither listed nor followed: it stays', async () => {
  const before = new Set(left())
  const kernel = boot({ khelpers: 1 })
  const outside = mkdtempSync('/dev/shm/khelper-test-')
  writeFileSync(`${outside}/precious`, '')
  const script = `cd "$CREDENTIALS_DIRECTORY" && pwd && rm -f second && ln -s ${outside}/precious second &&
    ln -s ${outside} link && mkdir -p deep/token && seq 5000 | sed s/^/more-/ | xargs touch`
  const keys = new Keyring({ token: SECRET, second: SECRET })
  const { stdout } = await kernel.run('sh', ['-c', script], { keys })
  const folder = stdout.trim()
  const there = readdirSync(folder)
  assert.equal(there.length, 5002)
  for (const name of ['token', 'second']) assert.ok(!there.includes(name), name)
  assert.deepEqual(readdirSync(outside), ['precious'])
  await kernel.shutdown()
  const [root = ''] = left().filter(name => !before.has(name))
  assert.deepEqual(readdirSync(`/dev/shm/${root}`), [basename(folder)])
  for (const path of [`/dev/shm/${root}`, outside]) rmSync(path, { recursive: true })
})

test('another’s folder that has come to the path of the service’s gets no secrets', {
  skip: needsRoot,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  const before = new Set(left())
  const run = async () =>
    (await kernel.run('sh', ['-c', 'echo $CREDENTIALS_DIRECTORY'], { keys: new Keyring({ a: 'b' }) })).stdout
  await run()
  const [name = ''] = left().filter(name => !before.has(name))
  const root = `/dev/shm/${name}`
  rmSync(root, { recursive: true })
  mkdirSync(root, { mode: 0o711 })
  chownSync(root, NOBODY, NOBODY)
  try {
    assert.ok(!(await run()).startsWith(root))
    assert.deepEqual(readdirSync(root), [])
  } finally {
    rmSync(root, { recursive: true })
  }
})

test('secrets of many helpers leave no descriptor open, and none where they cannot be written', async () => {
  await using kernel = boot({ khelpers: 1 })
  const keys = new Keyring({ token: SECRET })
  await kernel.run('true', [], { keys })
  const before = openFds()
  for (let call = 0; call < 20; call += 1) await kernel.run('true', [], { keys })
  const directories = new CredentialDirectories()
  const beyondUids = 2 ** 32 - 1
  for (let call = 0; call < 20; call += 1) {
    assert.throws(() => directories.create(keys, beyondUids + 1, undefined), { code: 'ERR_OUT_OF_RANGE' })
  }
  directories.close()
  await eventually('as many descriptors as before', () => openFds() <= before)
})

test('no place for secrets in which nobody can exchange them: EACCES, which says what to do', {
  skip: withoutNamespaces,
}, async () => {
  const service = `
    import { readdirSync } from 'node:fs'
    import { boot, Keyring } from '/mnt/checkout/dist/src/index.js'
    const kernel = boot({ khelpers: 1 })
    const error = await kernel.run('true', [], { keys: new Keyring({ token: 'x' }) }).catch(error => error)
    await kernel.shutdown()
    console.log(JSON.stringify([error.code, error.message, readdirSync('/dev/shm'), readdirSync('/tmp')]))`
  // This checkout, and Node itself, may lie in one of those places.
  const mount = `mount -t tmpfs none /mnt && mkdir /mnt/checkout && touch /mnt/node &&
    mount --bind "$1" /mnt/checkout && mount --bind "$2" /mnt/node && cd / &&
    for p in /dev/shm /tmp /var/tmp; do mount -t tmpfs -o mode=777 none $p; done &&
    exec /mnt/node --input-type=module --eval "$3"`
  const checkout = fileURLToPath(new URL('../../../', import.meta.url))
  const { stdout } = await promisify(execFile)('unshare', [
    ...NAMESPACES,
    ...['sh', '-c', mount, 'sh', checkout, process.execPath, service],
  ])
  const [code, message, ...places] = JSON.parse(stdout)
  assert.equal(code, 'EACCES')
  assert.match(message, /must be \/dev\/shm, or a TMPDIR that only root and this user/)
  assert.deepEqual(places, [[], []])
})

test('a session keyring of its own holds them; the next helper has another', {
  skip: arch !== 'x64' && 'numbers of x86-64',
}, async t => {
  await using kernel = boot({ khelpers: 1 })
  const read = async (name: string, keys?: Keyring) =>
    (await kernel.run('python3', ['-c', READ_KEY, name], keys === undefined ? {} : { keys })).stdout.trim()
  const found = await read('api', new Keyring({ api: SECRET, other: 'another' }))
  if (found === 'no key') return t.skip('keyctl does not work here')
  assert.equal(found, SECRET)
  assert.equal(await read('api', new Keyring({ api: 'of another helper' })), 'of another helper')
  assert.equal(await read('api'), 'no key')
})

test('the kernel’s functions: setkeys with every wait mode, and keys', async () => {
  await using kernel = boot({ khelpers: 1 })
  const keyring = new Keyring({ token: SECRET })
  const argv = ['sh', '-c', `test "$(cat $CREDENTIALS_DIRECTORY/token)" = "${SECRET}"`]
  for (const [wait, expected] of [
    [UMH_WAIT_PROC, 0],
    [UMH_WAIT_EXEC, 0],
    [UMH_NO_WAIT, 0],
  ] as const) {
    const info = kernel.callUsermodehelperSetup('/bin/sh', argv, ['PATH=/bin:/usr/bin'], GFP_ATOMIC)
    assert.ok(info !== null)
    kernel.callUsermodehelperSetkeys(info, keyring)
    assert.equal(await kernel.callUsermodehelperExec(info, wait), expected)
  }
  assert.equal(await kernel.callUsermodehelperKeys('/bin/sh', argv, ['PATH=/bin'], keyring, UMH_WAIT_PROC), 0)
  assert.equal(await kernel.callUsermodehelperKeys('/no/such', argv, [], keyring, UMH_WAIT_PROC), -2)
  const info = kernel.callUsermodehelperSetup('/bin/cat', ['cat'], [], GFP_ATOMIC)
  assert.ok(info !== null)
  const stdin = kernel.callUsermodehelperStdinpipe(info)
  kernel.callUsermodehelperSetkeys(info, keyring)
  stdin.end('still piped')
  assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), 0)
  const dropped = kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
  assert.ok(dropped !== null)
  kernel.callUsermodehelperSetkeys(dropped, keyring)
  kernel.callUsermodehelperFreeinfo(dropped)
  assert.equal(kernel.stats().descriptors.available, kernel.stats().descriptors.capacity)
})

test('a helper that is not waited for keeps its folder until it has ended', async () => {
  await using kernel = boot({ khelpers: 1 })
  const before = new Set(left())
  const helper = kernel.run('sleep', ['600'], { keys: new Keyring({ token: SECRET }), wait: UMH_WAIT_EXEC })
  await helper
  const [root = ''] = left().filter(name => !before.has(name))
  const folders = () => readdirSync(`/dev/shm/${root}`)
  assert.equal(folders().length, 1)
  helper.kill('SIGKILL')
  await eventually('the folder has gone', () => folders().length === 0)
})

test('secrets that are removed under a helper: it is refused, its khelper goes on, and the next has its own', async () => {
  const before = new Set(left())
  const kernel = boot({ khelpers: 1 })
  const keys = new Keyring({ token: SECRET })
  let deaths = 0
  kernel.onKhelperDeath(() => {
    deaths += 1
  })
  const ahead = Array.from({ length: 40 }, () => kernel.run('true'))
  const helper = kernel.run('true', [], { keys }).catch(error => error)
  const [root = ''] = left().filter(name => !before.has(name))
  rmSync(`/dev/shm/${root}`, { recursive: true })
  const { code, syscall, message } = await helper
  assert.deepEqual([code, syscall], ['ENOENT', 'open'])
  assert.match(message, /the files with the secrets of \S+ cannot be made, or read again/)
  await Promise.all(ahead)
  const { stdout } = await kernel.run('sh', ['-c', 'cat "$CREDENTIALS_DIRECTORY/token"'], { keys })
  assert.equal(stdout, SECRET)
  await kernel.shutdown()
  assert.equal(deaths, 0)
  assert.deepEqual(new Set(left()), before)
})

test('a place for secrets that is full: ENOSPC, nothing left, and nothing of the secrets in the error', {
  skip: withoutNamespaces,
}, async () => {
  const service = `
    import { readdirSync } from 'node:fs'
    import { boot, Keyring } from '${INDEX}'
    const kernel = boot({ khelpers: 1 })
    const run = keys => kernel.run('sh', ['-c', 'wc -c <$CREDENTIALS_DIRECTORY/token'], { keys })
    const error = await run(new Keyring({ before: 'fits', token: '${SECRET}'.repeat(1000) })).catch(error => error)
    const left = readdirSync('/dev/shm').flatMap(folder => readdirSync('/dev/shm/' + folder))
    const told = JSON.stringify([error, error.message, error.stack]).includes('${SECRET}')
    const { stdout } = await run(new Keyring({ token: '${SECRET}' }))
    await kernel.shutdown()
    console.log(JSON.stringify([error.code, left, told, Number(stdout), readdirSync('/dev/shm')]))`
  const mount = 'mount -t tmpfs -o size=16k none /dev/shm && exec "$@"'
  const { stdout } = await promisify(execFile)('unshare', [
    ...NAMESPACES,
    ...['sh', '-c', mount, 'sh', process.execPath, '--input-type=module', '--eval', service],
  ])
  assert.deepEqual(JSON.parse(stdout), ['ENOSPC', [], false, SECRET.length, []])
})

test('a shutdown, and the end of the process, leave nothing', async () => {
  const before = left()
  const kernel = boot({ khelpers: 1 })
  await kernel.run('true', [], { keys: new Keyring({ token: SECRET }) })
  await kernel.shutdown()
  assert.deepEqual(left(), before)
})

test('what a service that was killed has left is removed by the next boot', async () => {
  const source = `import { boot, Keyring } from ${JSON.stringify(INDEX)}
    const kernel = boot()
    for (let helper = 0; helper < 20; helper += 1) kernel.run('sleep', ['30'], { keys: new Keyring({ token: 'x' }) }).catch(() => {})
    setTimeout(() => console.log('ready'), 500)`
  const service = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  await once(service.stdout, 'data')
  const its = left().filter(name => name.startsWith(`khelper-credentials-${service.pid}-`))
  assert.equal(its.length, 1)
  // Its helpers lead groups of their own, and go on.
  const exit = once(service, 'exit')
  service.kill('SIGKILL')
  await exit
  assert.ok(existsSync(`/dev/shm/${its[0]}`))
  // One that is not of a service that has gone is left alone.
  const foreign = '/dev/shm/khelper-credentials-of-somebody'
  mkdirSync(foreign, { recursive: true })
  await boot({ khelpers: 1 }).shutdown()
  assert.ok(existsSync(foreign))
  rmSync(foreign, { recursive: true })
  assert.equal(existsSync(`/dev/shm/${its[0]}`), false)
})

test('never in argv, in the environment, in a log or an error', async () => {
  await using kernel = boot({ khelpers: 1 })
  const keys = new Keyring({ token: SECRET })
  const { stdout } = await kernel.run('cat', ['/proc/self/cmdline', '/proc/self/environ'], { keys })
  assert.ok(!stdout.includes(SECRET))
  const error = await kernel.run('sh', ['-c', 'exit 3'], { keys }).catch(reason => reason)
  for (const text of [
    inspect(error, { depth: 9 }),
    JSON.stringify(error),
    inspect(keys),
    JSON.stringify(keys),
    String(keys),
  ]) {
    assert.ok(!text.includes(SECRET))
  }
  assert.equal(inspect(keys), 'Keyring { token }')
})

test('a keyring copies what it is given, and forgets what is removed', () => {
  const bytes = Buffer.from(SECRET)
  const keyring = new Keyring().add('a', bytes).add('b', 'x')
  bytes.fill(0)
  assert.deepEqual(keyring.names, ['a', 'b'])
  const [[, secret] = ['', Buffer.alloc(0)]] = keyring.entries()
  assert.equal(secret.toString(), SECRET)
  assert.equal(keyring.remove('a'), true)
  assert.equal(keyring.remove('a'), false)
  assert.ok(secret.every(byte => byte === 0))
})

for (const [situation, make, code] of [
  ['an empty name', () => new Keyring({ '': 'x' }), 'ERR_INVALID_ARG_VALUE'],
  ['a name that leads elsewhere', () => new Keyring({ '../x': 'x' }), 'ERR_INVALID_ARG_VALUE'],
  ['the name of the folder above', () => new Keyring({ '..': 'x' }), 'ERR_INVALID_ARG_VALUE'],
  ['a name beyond what a file may have', () => new Keyring({ ['n'.repeat(256)]: 'x' }), 'ERR_OUT_OF_RANGE'],
  ['a secret that is none', () => new Keyring({ a: 3 as never }), 'ERR_INVALID_ARG_TYPE'],
  [
    'a secret of more than a megabyte',
    () => new Keyring({ a: Buffer.alloc(2 ** 20 + 1) }),
    'ERR_OUT_OF_RANGE',
  ],
] as const) {
  test(`${situation} is refused`, () => {
    assert.throws(make, { code })
  })
}

test('keys that are no Keyring, and keys for an in-thread helper, are refused at once', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.throws(() => kernel.run('true', [], { keys: { token: SECRET } as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  assert.throws(() => kernel.run('file:///x.mjs', [], { keys: new Keyring() }), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
})
