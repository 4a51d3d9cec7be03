/**
 * Session keyrings: another user's helper never possesses the service's, and is not started where it cannot have its own.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attack, LONGEST, python, SERVICE, serve, skipped, withoutSetpriv } from './scene.js'

const KEYS = `
SESSION, USER = -3, -4
JOIN, SEARCH, READ, LINK, SET_TIMEOUT = 1, 10, 11, 8, 15
def add(name, secret, keyring=SESSION):
  return syscall('add_key', b'user', name.encode(), secret.encode(), len(secret), keyring)
def read(key):
  buffer = ctypes.create_string_buffer(200)
  length = syscall('keyctl', READ, key, buffer, 200)
  return buffer.raw[:length].decode()
`

/** Has a session keyring with a secret, and becomes the service; the environment tells it the key. */
const WITH_KEYRING = python(`${KEYS}
syscall('keyctl', JOIN, 0)
os.environ['KEY'] = str(add('of-the-service', 'secret of the service'))
os.execvp(sys.argv[1], sys.argv[1:])
`)

/** What a helper finds, by name in its keyrings and by number. */
const PROBE = python(`${KEYS}
def found(attempt):
  try:
    return attempt()
  except OSError as error:
    return errno.errorcode[error.errno]
service = int(sys.argv[1])
tell([
  found(lambda: read(syscall('keyctl', SEARCH, SESSION, b'user', b'of-the-service', 0))),
  found(lambda: read(service)),
  found(lambda: syscall('keyctl', LINK, service, SESSION)),
  found(lambda: syscall('keyctl', SET_TIMEOUT, service, 1000)),
  found(lambda: read(syscall('keyctl', SEARCH, SESSION, b'user', b'token', 0))),
])
`)

const SOURCE = `
  const run = options => kernel.run('python3', ['-c', ${JSON.stringify(PROBE)}, process.env.KEY], options)
    .then(({ stdout }) => JSON.parse(stdout), error => [error.code, error.syscall])
  const keys = new Keyring({ token: 'its own' })
  tell([await run({}), await run(OTHER), await run({ ...OTHER, keys }), await run({ ...OTHER, detached: true, terminal: true })])`

const OWN = ['secret of the service', 'secret of the service', 0, 0, 'ENOKEY']
const without = (token: string) => ['ENOKEY', 'EACCES', 'EACCES', 'EACCES', token]
/** A helper of the service's own user; another's; with secrets; without a session of its own. */
const SEPARATE = [OWN, without('ENOKEY'), without('its own'), without('ENOKEY')]
const SERVICE_WITH_KEYRING = ['python3', '-c', WITH_KEYRING]

/** Makes keys until the user's quota is used up, and has them until its input ends. */
const USE_UP = `${KEYS}
syscall('keyctl', JOIN, 0)
result, number = 'done', 0
while result == 'done':
  number += 1
  result = outcome(add, f'key-{number}', 'x')
tell(result)
sys.stdin.read()
`

const noKeys =
  skipped || (await attack(`${KEYS}tell(outcome(syscall, 'keyctl', JOIN, 0))`, []).told()) !== 'done'
const skip = noKeys ? 'needs keyrings' : false

test('without secrets, with them, and in the service’s session: no key of the service is found or read', {
  skip,
  timeout: LONGEST,
}, async () => {
  assert.deepEqual((await serve(SOURCE, SERVICE_WITH_KEYRING)).told, SEPARATE)
})

test('with the quota of the helper’s user used up: the same', { skip, timeout: LONGEST }, async () => {
  const attacker = attack(USE_UP, [])
  assert.equal(await attacker.told(), 'EDQUOT')
  assert.deepEqual((await serve(SOURCE, SERVICE_WITH_KEYRING)).told, SEPARATE)
  attacker.child.stdin?.end()
})

test('with the quota of the service’s user used up: other users’ helpers are refused', {
  skip: skip || withoutSetpriv,
  timeout: LONGEST,
}, async () => {
  const become = [
    ...['setpriv', `--reuid=${SERVICE}`, `--regid=${SERVICE}`, '--clear-groups'],
    ...[
      '--inh-caps=+setuid,+setgid,+chown,+dac_read_search',
      '--ambient-caps=+setuid,+setgid,+chown,+dac_read_search',
    ],
  ]
  const users = attack(USE_UP, [], SERVICE)
  assert.equal(await users.told(), 'EDQUOT')
  const refused = ['EDQUOT', 'keyctl']
  const { told } = await serve(SOURCE, [...SERVICE_WITH_KEYRING, ...become])
  users.child.stdin?.end()
  assert.deepEqual((told as unknown[]).slice(1), [refused, refused, refused])
})
