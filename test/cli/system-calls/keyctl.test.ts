import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { khelper } from '../../helpers/command.js'
import { asRoot, fakeService } from '../../helpers/other-user.js'
import { type Service, startService } from '../../helpers/service.js'
import { temporary, write } from '../../helpers/temporary.js'

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url))
const KEYS = new URL('../../../src/applications/keys/index.js', import.meta.url).href

let service: Service
before(async () => {
  service = await startService(`
    import { keys } from '${KEYS}'
    process.on('message', async () => {})
    kernel.proc.define('/proc/ask', { write: async description => {
      const key = await keys(kernel).requestKey('user', description, 'from the service').catch(error => error)
      console.log('asked:', description, key instanceof Error ? key.code : key.payload().toString())
    } })`)
})
after(() => service.stop())

const run = (args: readonly string[], input = '') =>
  khelper(['keyctl', '--socket', service.socket, ...args], input)
const ok = (args: readonly string[], input = ''): string => {
  const { status, stdout, stderr } = run(args, input)
  assert.equal(status, 0, stderr)
  return stdout.trim()
}
const fails = (args: readonly string[]): string => {
  const { status, stderr } = run(args)
  assert.equal(status, 1)
  return stderr
}

test('keys are added, read, described, linked, expired and revoked on a running service', () => {
  const ring = ok(['newring', 'mine', '@u'])
  const key = ok(['padd', 'user', 'token', ring], 'secret words')
  assert.equal(ok(['print', key]), 'secret words')
  assert.equal(run(['pipe', key]).stdout, 'secret words')
  assert.match(ok(['rdescribe', key]), /^user;\d+;\d+;[\da-f]{8};token$/)
  assert.equal(ok(['search', '@u', 'user', 'token']), key)
  assert.equal(ok(['request', 'user', 'token']), key)
  ok(['pupdate', key], 'other')
  assert.equal(ok(['print', key]), 'other')
  ok(['timeout', key, '100'])
  assert.match(ok(['show']), /keyring: mine[\s\S]*user: token/)
  ok(['unlink', key, ring])
  assert.match(fails(['print', key]), /ENOKEY/)
  const binary = ok(['padd', 'user', 'bytes', '@u'], '\u0000\u0001')
  assert.equal(ok(['print', binary]), ':hex:0001')
  ok(['revoke', binary])
  assert.match(fails(['print', binary]), /EKEYREVOKED/)
})

test('no secret is taken from a command line', () => {
  for (const operation of ['add', 'update', 'instantiate']) {
    const stderr = fails([operation, 'user', 'x', 'secret'])
    assert.match(stderr, /standard input/)
    assert.doesNotMatch(stderr, /secret\b.*secret/)
  }
})

test('what cannot be is said in a line', () => {
  assert.match(
    fails(['print', 'nonsense']),
    /^khelper: not a key: nonsense; a key is its number, or one of @t/,
  )
  assert.match(fails(['nonsense']), /keyctl has no nonsense; it has\n {2}show/)
  assert.match(fails(['padd', 'user']), /usage: keyctl padd <type> <description> <keyring>/)
  assert.match(fails(['request', 'user', 'not-there']), /ENOKEY/)
  assert.match(fails(['padd', 'nonsense', 'x', '@u']), /ENODEV/)
})

test('a helper program makes the key that was asked for, with the command and its authority, and nothing else', () => {
  const log = temporary('helper.log')
  const helper = write(
    'request-key',
    `#!/bin/sh
     printf secret | '${process.execPath}' '${MAIN}' keyctl pinstantiate "$2" 0
     '${process.execPath}' '${MAIN}' lsmod 2> ${log}
     exit 0`,
    0o755,
  )
  const set = khelper(['sysctl', '--socket', service.socket, `khelper.request_key=${helper}`])
  assert.equal(set.status, 0, set.stderr)
  const key = ok(['request2', 'user', 'made', 'call me', '@u'])
  assert.equal(ok(['print', key]), 'secret')
  assert.match(
    khelper(['run', '--', 'cat', log]).stdout,
    /EPERM: the authority of this helper is not for modules/,
  )
})

test('a helper program refuses: whoever asks is told why', () => {
  const helper = write(
    'refuse-key',
    `#!/bin/sh\n'${process.execPath}' '${MAIN}' keyctl reject "$2" 30 rejected 0\n`,
    0o755,
  )
  khelper(['sysctl', '--socket', service.socket, `khelper.request_key=${helper}`])
  assert.match(fails(['request2', 'user', 'refused', '', '@u']), /EKEYREJECTED/)
})

test('another user listens at the path: no secret, no token, nothing is sent', asRoot, async t => {
  const folder = mkdtempSync('/tmp/khelper-keyctl-')
  t.after(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o1777)
  const socket = join(folder, 'app.sock')
  const fake = await fakeService(socket)
  const padd = ['keyctl', '--socket', socket, 'padd', 'user', 'token', '@u']
  const { status, stderr } = khelper(padd, 'secret words')
  assert.equal(status, 1)
  assert.match(stderr, /^khelper: EACCES: .*app\.sock is another user’s \(uid 12345\).*\n$/)
  // As if the file had been another's a moment before.
  chownSync(socket, 0, 0)
  const again = khelper(padd, 'secret words')
  assert.equal(again.status, 1)
  assert.match(again.stderr, /^khelper: EACCES: .*another user \(uid 12345\).*\n$/)
  assert.deepEqual(await fake.stop(), { connections: 1, received: '' })
})

test('a path in a folder that others can write to', async t => {
  const folder = mkdtempSync('/tmp/khelper-keyctl-')
  t.after(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o777)
  const { status, stderr } = khelper(['keyctl', '--socket', join(folder, 'app.sock'), 'show'])
  assert.equal(status, 1)
  assert.match(stderr, /^khelper: EACCES: .*others can write to .*\n$/)
})
