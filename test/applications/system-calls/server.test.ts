import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { after, mock, test } from 'node:test'
import { promisify } from 'node:util'
import { kmod } from '../../../src/applications/kmod/index.js'
import {
  SystemCallClient,
  SystemCallServer,
  systemCalls,
} from '../../../src/applications/system-calls/index.js'
import { LONGEST_ANSWER, LONGEST_REQUEST } from '../../../src/applications/system-calls/protocol.js'
import { DEFAULT_LIMITS } from '../../../src/applications/system-calls/server.js'
import { boot } from '../../../src/index.js'
import { moduleFolder, shared } from '../../helpers/modules.js'
import { countTurns, eventually, openFds } from '../../helpers/resources.js'
import { startService } from '../../helpers/service.js'
import { temporary, untilThere, write } from '../../helpers/temporary.js'

const SOCKET = temporary('service.sock')
const kernel = boot({ khelpers: 1, socket: SOCKET })
after(() => kernel.shutdown())
const MODULE = `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`

/** All that comes back for bytes that are sent as they are. */
async function raw(bytes: string | Buffer, path = SOCKET): Promise<string> {
  const socket = connect(path)
  socket.on('error', () => {})
  socket.write(bytes)
  return received(socket)
}

async function received(socket: Socket): Promise<string> {
  let text = ''
  try {
    for await (const chunk of socket) text += chunk
  } catch {
    // Closed while there was something on its way.
  }
  return text
}

const works = async (): Promise<void> => {
  using client = await SystemCallClient.connect({ socket: SOCKET })
  assert.equal(await client.call('sysctl_read', 'kernel.core_pattern'), 'core\n')
}

test('the socket is there when the kernel is ready, for this user only, and nothing else is left beside it', async () => {
  await kernel.ready
  assert.equal(statSync(SOCKET).mode & 0o777, 0o600)
  assert.deepEqual(
    readdirSync(dirname(SOCKET)).filter(name => name.startsWith('service.sock')),
    ['service.sock'],
  )
})

test('an operator loads and unloads modules, and reads and sets values', async () => {
  using client = await SystemCallClient.connect({ socket: SOCKET })
  const file = join(moduleFolder({ 'served.js': MODULE }), 'served.js')
  assert.equal(await client.call('init_module', file), 0)
  await assert.rejects(client.call('init_module', file), { code: 'EEXIST', retval: -17 })
  assert.match(String(await client.call('sysctl_read', '/proc/modules')), /^served /)
  assert.equal(await client.call('delete_module', 'served'), 0)
  assert.equal(await client.call('sysctl_write', 'kernel.hotplug', '/sbin/hotplug'), 0)
  assert.equal(kernel.proc.read('/proc/sys/kernel/hotplug'), '/sbin/hotplug\n')
  kernel.proc.write('/proc/sys/kernel/hotplug', '')
})

test('values anywhere in the tree by their paths, and below /proc/sys by their names', async () => {
  using client = await SystemCallClient.connect({ socket: SOCKET })
  const source = `${MODULE}; export const params = { whom: { type: 'charp', perm: 0o644 } }`
  const file = join(moduleFolder({ 'named.js': source }), 'named.js')
  await client.call('init_module', file, 'whom=world')
  const parameter = '/sys/module/named/parameters/whom'
  assert.equal(await client.call('sysctl_read', parameter), 'world\n')
  await client.call('sysctl_write', parameter, 'you')
  assert.equal(await client.call('sysctl_read', parameter), 'you\n')
  assert.deepEqual(await client.call('sysctl_list', '/sys/module/named/parameters'), ['whom'])
  assert.equal(await client.call('sysctl_read', 'kernel/core_pattern'), 'core\n')
  await client.call('delete_module', 'named')
})

test('calls that cannot be: no such call, no such argument, a path of nobody’s', async () => {
  using client = await SystemCallClient.connect({ socket: SOCKET })
  await assert.rejects(client.call('reboot'), { code: 'ENOSYS' })
  await assert.rejects(client.call('__proto__'), { code: 'ENOSYS' })
  await assert.rejects(client.call('init_module'), { code: 'EINVAL' })
  await assert.rejects(client.call('init_module', 7), { code: 'EINVAL' })
  await assert.rejects(client.call('init_module', 'relative.js'), {
    code: 'EINVAL',
    message: /must be absolute/,
  })
  await assert.rejects(client.call('init_module', '/a\0b.js'), { code: 'EINVAL' })
  await assert.rejects(client.call('delete_module', 'x', 'y'), { code: 'EINVAL' })
  await assert.rejects(client.call('sysctl_write', 'kernel.modules_disabled', '7'), { code: 'EINVAL' })
  await assert.rejects(client.call('sysctl_read', 'nonsense'), { code: 'ENOENT' })
  await assert.rejects(client.call('sysctl_read', 'kernel'), { code: 'EISDIR' })
})

test('garbage is told so and closed, and the service goes on', async () => {
  for (const garbage of [
    'GET / HTTP/1.1\n',
    '[]\n',
    '"text"\n',
    'null\n',
    '{}\n',
    '{"id":-1,"call":"modules"}\n',
    '{"id":1.5,"call":"modules"}\n',
    '{"id":1}\n',
    '{"id":1,"call":7}\n',
    `{"id":1,"call":"${'x'.repeat(65)}"}\n`,
    '{"id":1,"call":"modules","args":{}}\n',
    `{"id":1,"call":"modules","args":[${'1,'.repeat(16)}1]}\n`,
    '{"id":1,"call":"modules","authority":7}\n',
    '{"id":1,"call":"modules","args":[[]]}\n',
    '{"id":1,"call":"modules","args":[{"$bytes":"","more":1}]}\n',
    Buffer.from([0, 255, 254, 10]),
    '\n',
  ]) {
    const answer = JSON.parse(await raw(garbage)) as { id: number; error: { code: string } }
    assert.equal(answer.error.code, 'EPROTO', String(garbage))
  }
  await works()
})

test('a huge message is refused before it is whole', async () => {
  const answer = await raw(Buffer.alloc(3 * 1024 * 1024, 'x'))
  assert.ok(answer === '' || answer.includes('EPROTO'), answer)
  await works()
})

test('half a message, and the other end has gone', async () => {
  const socket = connect(SOCKET)
  await new Promise<void>(resolve => socket.once('connect', resolve))
  socket.write('{"id":1,"call":"mod')
  socket.destroy()
  await works()
})

test('half a message, and silence: closed when its time is over', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('impatient.sock')
  await new SystemCallServer(own, { message: 20 }).listen(path)
  const socket = connect(path)
  socket.write('{"id":1,')
  assert.equal(await received(socket), '')
  await own.shutdown()
})

test('a message in single bytes, and several in one piece', async () => {
  const socket = connect(SOCKET)
  for (const byte of '{"id":1,"call":"modules"}\n') socket.write(byte)
  socket.end('{"id":2,"call":"modules"}\n{"id":3,"call":"modules"}\n')
  const answers = (await received(socket)).trim().split('\n')
  assert.deepEqual(
    answers.map(line => (JSON.parse(line) as { id: number }).id),
    [1, 2, 3],
  )
})

test('whoever sends calls and reads no answers does not fill the service’s memory', async () => {
  const socket = connect(SOCKET)
  socket.pause()
  await new Promise<void>(resolve => socket.once('connect', resolve))
  let sent = 0
  const line = '{"id":1,"call":"sysctl_list"}\n'.repeat(1000)
  while (sent < 10_000_000 && socket.write(line)) sent += line.length
  await works()
  socket.destroy()
})

test('more to tell than fits into an answer: EMSGSIZE, and the connection goes on', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('long.sock')
  await new SystemCallServer(own).listen(path)
  own.proc.define('/proc/long', { read: () => 'x'.repeat(LONGEST_ANSWER) })
  own.proc.define('/proc/fits', { read: () => 'x'.repeat(LONGEST_ANSWER - 100) })
  using client = await SystemCallClient.connect({ socket: path })
  await assert.rejects(client.call('sysctl_read', '/proc/long'), {
    code: 'EMSGSIZE',
    message: /sysctl_read .* at most 2097152; the service itself/,
  })
  assert.equal(String(await client.call('sysctl_read', '/proc/fits')).length, LONGEST_ANSWER - 100)
  await own.shutdown()
})

test('an answer of the largest size behind spaces is taken', async () => {
  const path = temporary('spaces.sock')
  const server = createServer(socket => {
    const answer = JSON.stringify({ id: 1, result: 'x'.repeat(LONGEST_ANSWER - 100) })
    socket.end(`${' '.repeat(200_000)}${answer}\n`)
  }).listen(path)
  await once(server, 'listening')
  using client = await SystemCallClient.connect({ socket: path })
  assert.equal(String(await client.call('any')).length, LONGEST_ANSWER - 100)
  server.close()
})

test('what answers is no service of this protocol: EPROTO', async () => {
  const path = temporary('other.sock')
  const server = createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n')).listen(path)
  await once(server, 'listening')
  using client = await SystemCallClient.connect({ socket: path })
  await assert.rejects(client.call('modules'), { code: 'EPROTO', path })
  server.close()
})

test('the limits are those that the guide names', () => {
  const { connections, calls, silence, message, unread } = DEFAULT_LIMITS
  assert.deepEqual(
    { connections, calls, silence, message, unread, LONGEST_REQUEST, LONGEST_ANSWER },
    {
      connections: 256,
      calls: 256,
      silence: 5_000,
      message: 30_000,
      unread: 64 * 2 ** 20,
      LONGEST_REQUEST: 64 * 2 ** 10,
      LONGEST_ANSWER: 2 * 2 ** 20,
    },
  )
  const guide = readFileSync(new URL('../../../../guide/system-calls.md', import.meta.url), 'utf8')
  const row = (name: string): string => guide.split('\n').find(line => line.startsWith(`| ${name} |`)) ?? ''
  assert.match(row('a request'), /at most 64 KiB .* 30 s to come in/)
  assert.match(row('an answer'), /at most 2 MiB .* 30 s to be read.* 64 MiB/)
  assert.match(row('connections'), /at most 256 .* 5 s gives way/)
  assert.match(row('calls under way'), /at most 256 /)
})

const asRoot = { skip: process.getuid?.() === 0 ? false : 'takes root' }

test('another user is refused, also where the mode of the socket lets them in', asRoot, async t => {
  const folder = mkdtempSync('/tmp/khelper-peer-')
  t.after(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o755)
  const path = join(folder, 'open.sock')
  const own = boot({ khelpers: 1, socket: path })
  await own.ready
  chmodSync(path, 0o666)
  const request = JSON.stringify({ id: 1, call: 'modules' })
  // It becomes the other user by itself: Node's program may lie where only root can execute it.
  const ask = (uid: number) =>
    `const { connect } = require('net'); process.setuid(${uid}); connect('${path}').on('error', () => {}).end('${request}\\n').pipe(process.stdout)`
  for (const [uid, answer] of [
    [65_534, { id: 0, error: 'EPERM' }],
    [0, { id: 1, error: undefined }],
  ] as const) {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', ask(uid)])
    const { id, error } = JSON.parse(stdout) as { id: number; error?: { code: string } }
    assert.deepEqual({ id, error: error?.code }, answer, stdout)
  }
  await own.shutdown()
})

test('more connections than there may be: who comes too late is told so, and the others go on', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('few.sock')
  await new SystemCallServer(own, { connections: 2 }).listen(path)
  const clients = [
    await SystemCallClient.connect({ socket: path }),
    await SystemCallClient.connect({ socket: path }),
  ]
  const third = await SystemCallClient.connect({ socket: path })
  await assert.rejects(third.call('modules'), { code: 'EAGAIN', message: /too many connections/ })
  for (const client of clients) assert.deepEqual(await client.call('modules'), [])
  clients[0]?.close()
  clients[1]?.close()
  await own.shutdown()
})

test('a connection that has been silent gives way to one that has something to ask', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('silent.sock')
  await new SystemCallServer(own, { connections: 2, silence: 0 }).listen(path)
  const silent = connect(path)
  const told = received(silent)
  using second = await SystemCallClient.connect({ socket: path })
  await second.call('modules')
  using third = await SystemCallClient.connect({ socket: path })
  assert.deepEqual(await third.call('modules'), [])
  assert.match(await told, /EAGAIN.*silent/)
  await own.shutdown()
})

test('one that connects and says nothing is closed when its time is over', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('mute.sock')
  await new SystemCallServer(own, { message: 20 }).listen(path)
  assert.equal(await received(connect(path)), '')
  await own.shutdown()
})

const hung: { fail?: () => void } = shared('hungLoad', {})
const HANGS = `
  export const license = 'GPL'
  export const init = () => new Promise(resolve => { globalThis.hungLoad.fail = () => resolve(-19) })`

/** A server on which a load of the module `hangs` hangs; a second load of it waits for the first. */
async function hanging(name: string, limits: ConstructorParameters<typeof SystemCallServer>[1] = {}) {
  delete hung.fail
  const own = boot({ khelpers: 1 })
  const path = temporary(name)
  await new SystemCallServer(own, { beat: 5, ...limits }).listen(path)
  const file = join(moduleFolder({ 'hangs.js': HANGS }), 'hangs.js')
  const first = await SystemCallClient.connect({ socket: path })
  const call = first.call('init_module', file).catch((error: unknown) => error)
  await eventually('it hangs', () => hung.fail !== undefined)
  return { own, path, file, first, call }
}

const load = (file: string): string => `${JSON.stringify({ id: 1, call: 'init_module', args: [file] })}\n`

test('whoever goes while their call waits takes it along, and makes room for others', async () => {
  const { own, path, file, first } = await hanging('gone.sock', { connections: 8, calls: 2 })
  for (let round = 0; round < 20; round += 1) {
    const socket = connect(path)
    // More behind it than is read while the call waits: the end that comes after it is not seen by reading.
    socket.write(load(file) + load(file).repeat(round % 2 === 0 ? 0 : 4000))
    await new Promise(resolve => socket.once('connect', resolve))
    socket.destroy()
  }
  let answered = false
  while (!answered) {
    using client = await SystemCallClient.connect({ socket: path })
    answered = await client.call('modules').then(
      () => true,
      () => false,
    )
  }
  first.close()
  await own.shutdown()
})

test('whoever goes while a key is made for them is not waited for, and its making goes on', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('keys.sock')
  await new SystemCallServer(own, { calls: 4 }).listen(path)
  const go = temporary('keys.go')
  own.proc.write(
    '/proc/sys/khelper/request_key',
    write('slow-request-key', `#!/bin/sh\n${untilThere(go)}\n`, 0o755),
  )
  const request = { id: 1, call: 'keyctl', args: ['request', 'user', 'same', ''] }
  const crowd = Array.from({ length: 4 }, () => connect(path).on('error', () => {}))
  for (const socket of crowd) socket.write(`${JSON.stringify(request)}\n`)
  using client = await SystemCallClient.connect({ socket: path })
  const refused = () => client.call('modules').catch((error: unknown) => (error as { code: string }).code)
  while ((await refused()) !== 'EAGAIN');
  for (const socket of crowd) socket.destroy()
  const deadline = Date.now() + 20_000
  while ((await refused()) === 'EAGAIN') assert.ok(Date.now() < deadline, 'their calls are still under way')
  await eventually('the program runs', () => own.stats().processes === 1)
  const last = client.call(request.call, ...request.args)
  write('keys.go', '')
  await assert.rejects(last, { code: 'ENOKEY' })
  await own.shutdown()
})

test('a call that cannot be broken off counts when its caller has gone', async () => {
  const { own, path, first } = await hanging('counts.sock', { calls: 1 })
  first.close()
  using client = await SystemCallClient.connect({ socket: path })
  await assert.rejects(client.call('modules'), { code: 'EAGAIN', message: /too many calls/ })
  await own.shutdown()
})

test('whoever says that nothing more will come still gets the answer', async () => {
  const { own, path, file, first, call } = await hanging('half.sock')
  const module = kmod(own).findModule('hangs')
  assert.ok(module)
  const until = mock.method(module, 'until')
  const socket = connect({ path, allowHalfOpen: true })
  socket.end(load(file))
  const [space] = (await once(socket, 'data')) as [Buffer]
  assert.equal(String(space).trim(), '', 'only spaces while the call is under way')
  await eventually('it waits for the first', () => until.mock.callCount() > 0)
  hung.fail?.()
  assert.equal((JSON.parse(await received(socket)) as { error: { code: string } }).error.code, 'EBUSY')
  assert.equal(((await call) as NodeJS.ErrnoException).code, 'ENODEV')
  first.close()
  await own.shutdown()
})

test('large messages take turns: none keeps the event loop for long behind many others', async () => {
  const body = Buffer.from(`{"id":1,"call":"modules","args":[[${'{},'.repeat(20_000)}1]]}\n`)
  const turns: number[] = []
  const loop = countTurns()
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      assert.match(await raw(body), /EPROTO: an argument is/)
      turns.push(loop.turn)
    }),
  )
  loop.stop()
  assert.ok(new Set(turns).size >= 16, `answers came in ${new Set(turns).size} turns`)
})

test('a helper without its authority is nobody', async () => {
  const own = boot({ khelpers: 1, socket: temporary('operators.sock') })
  await own.ready
  const { envp, revoke } = await systemCalls(own).grant(['modules'])
  const [socket = ''] = envp.map(variable => variable.slice(variable.indexOf('=') + 1))
  assert.notEqual(socket, temporary('operators.sock'))
  using client = await SystemCallClient.connect({ socket })
  for (const call of ['modules', 'sysctl_write']) {
    await assert.rejects(client.call(call, 'kernel.hotplug', '/evil'), {
      code: 'EACCES',
      message: /KHELPER_AUTHORITY/,
    })
  }
  assert.equal(own.proc.read('/proc/sys/kernel/hotplug'), '\n')
  revoke()
  await own.shutdown()
})

test('a crowd at the operators’ socket, or none at all, does not concern helpers', async () => {
  const own = boot({ khelpers: 1 })
  const server = new SystemCallServer(own, { connections: 1 })
  const path = temporary('crowded.sock')
  await assert.rejects(server.listen(temporary('no-folder/s')), { code: 'ENOENT' })
  await server.listen(path)
  using crowd = await SystemCallClient.connect({ socket: path })
  assert.deepEqual(await crowd.call('modules'), [])
  rmSync(path)
  const { envp } = await server.grant(['modules'])
  const [socket = '', authority = ''] = envp.map(variable => variable.slice(variable.indexOf('=') + 1))
  using helper = await SystemCallClient.connect({ socket, authority })
  assert.deepEqual(await helper.call('modules'), [])
  // The folder for temporary files was cleaned up.
  rmSync(dirname(socket), { recursive: true })
  const again = await server.grant(['modules'])
  assert.ok(existsSync(again.envp[0]?.slice('KHELPER_SOCKET='.length) ?? ''))
  await own.shutdown()
})

test('without its socket the service still loads modules when they are asked for', async () => {
  const file = temporary('not-a-socket')
  writeFileSync(file, 'precious')
  process.removeAllListeners('warning')
  const own = boot({ khelpers: 1, socket: file })
  await assert.rejects(own.ready, { code: 'EADDRINUSE' })
  await kmod(own).requestModule('ts_kmp')
  assert.match(own.proc.read('/proc/modules'), /^ts_kmp /)
  await own.shutdown()
})

test('the folder of a service that was killed goes with the next one’s; those of others stay', async () => {
  const service = await startService(`
    import { systemCalls } from '${new URL('../../../src/applications/system-calls/index.js', import.meta.url).href}'
    console.log('private', (await systemCalls(kernel).grant([])).envp[0].slice('KHELPER_SOCKET='.length))`)
  const [, socket = ''] = /^private (.*)$/m.exec(service.output()) ?? []
  const own = boot({ khelpers: 1 })
  const server = new SystemCallServer(own)
  await server.grant([])
  assert.ok(existsSync(socket), 'a service that lives keeps its own')
  const exited = once(service.child, 'exit')
  service.child.kill('SIGKILL')
  await exited
  const other = boot({ khelpers: 1 })
  await new SystemCallServer(other).grant([])
  assert.equal(existsSync(dirname(socket)), false)
  await own.shutdown()
  await other.shutdown()
})

test('an authority is good for its calls, until it is revoked', async () => {
  const own = boot({ khelpers: 1 })
  const server = new SystemCallServer(own)
  const { envp, revoke } = await server.grant(['modules'])
  const [socket = '', authority = ''] = envp.map(variable => variable.slice(variable.indexOf('=') + 1))
  assert.equal(statSync(dirname(socket)).mode & 0o777, 0o700, 'a private folder')
  using client = await SystemCallClient.connect({ socket, authority })
  assert.deepEqual(await client.call('modules'), [])
  await assert.rejects(client.call('sysctl_read', 'kernel.modprobe'), { code: 'EPERM' })
  await assert.rejects(client.call('init_module', '/x.js'), { code: 'EPERM' })
  using guesser = await SystemCallClient.connect({ socket, authority: 'x'.repeat(32) })
  await assert.rejects(guesser.call('modules'), { code: 'EACCES' })
  revoke()
  await assert.rejects(client.call('modules'), { code: 'EACCES' })
  assert.equal(server.granted, 0)
  await own.shutdown()
  assert.equal(existsSync(dirname(socket)), false, 'the folder goes with the kernel')
})

test('a path that is in use: EADDRINUSE from ready, and the service there goes on', async () => {
  process.removeAllListeners('warning')
  const second = boot({ khelpers: 1, socket: SOCKET })
  await assert.rejects(second.ready, { code: 'EADDRINUSE', path: SOCKET })
  await second.shutdown()
  await works()
})

test('what a dead service has left is replaced; what is no socket is not', async () => {
  const left = temporary('left.sock')
  const dead = createServer().listen(left)
  await new Promise<void>(resolve => dead.once('listening', resolve))
  // A server that is closed takes its socket along: one that is moved stays, as after a SIGKILL.
  renameSync(left, `${left}.moved`)
  await new Promise<void>(resolve => dead.close(() => resolve()))
  const own = boot({ khelpers: 1, socket: `${left}.moved` })
  await own.ready
  await own.shutdown()
  assert.equal(existsSync(`${left}.moved`), false)
  const file = temporary('a-file')
  writeFileSync(file, 'precious')
  const other = boot({ khelpers: 1, socket: file })
  await assert.rejects(other.ready, { code: 'EADDRINUSE' })
  assert.ok(existsSync(file))
  await other.shutdown()
})

test('a shutdown leaves the socket of another service that has come to its path', async () => {
  const path = temporary('taken-over.sock')
  const first = boot({ khelpers: 1, socket: path })
  await first.ready
  rmSync(path)
  const second = boot({ khelpers: 1, socket: path })
  await second.ready
  await first.shutdown()
  using client = await SystemCallClient.connect({ socket: path })
  assert.deepEqual(await client.call('modules'), [])
  await second.shutdown()
  assert.equal(existsSync(path), false)
})

test('of services that come to one path at once, one has it', async () => {
  for (const left of [false, true]) {
    const path = temporary(`at-once-${left}.sock`)
    if (left) {
      const dead = createServer().listen(`${path}.moved`)
      await once(dead, 'listening')
      renameSync(`${path}.moved`, path)
      await new Promise<void>(resolve => dead.close(() => resolve()))
    }
    const kernels = Array.from({ length: 4 }, () => boot({ khelpers: 1 }))
    const opened = await Promise.allSettled(kernels.map(each => new SystemCallServer(each).listen(path)))
    const refused = opened.flatMap(each => (each.status === 'rejected' ? [each.reason.code] : []))
    assert.deepEqual(refused, ['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE'])
    using client = await SystemCallClient.connect({ socket: path })
    assert.deepEqual(await client.call('modules'), [])
    await Promise.all(kernels.map(each => each.shutdown()))
    const folder = readdirSync(dirname(path))
    assert.deepEqual(
      folder.filter(name => name.startsWith(`at-once-${left}`)),
      [],
    )
  }
})

test('paths that cannot be', async () => {
  for (const [path, code] of [
    [temporary('no-folder/s'), 'ENOENT'],
    [`/tmp/${'x'.repeat(107)}`, 'ENAMETOOLONG'],
    ['', 'ERR_INVALID_ARG_TYPE'],
    [7 as unknown as string, 'ERR_INVALID_ARG_TYPE'],
  ] as const) {
    const own = boot({ khelpers: 1, socket: path })
    await assert.rejects(own.ready, { code }, String(path))
    await own.shutdown()
  }
})

test('nobody is at the path', async () => {
  await assert.rejects(SystemCallClient.connect({ socket: temporary('nobody') }), {
    code: 'ENOENT',
    message: /no service answers/,
  })
})

test('a shutdown ends connections, and a call that is under way is told', async () => {
  const own = boot({ khelpers: 1, socket: temporary('ending.sock') })
  await own.ready
  const client = await SystemCallClient.connect({ socket: temporary('ending.sock') })
  const folder = moduleFolder({
    'hangs.js': `export const license = 'GPL'; export const init = () => new Promise(() => {})`,
  })
  const call = client.call('init_module', join(folder, 'hangs.js'))
  await eventually('it hangs', () => own.proc.read('/proc/modules') !== '')
  const refused = assert.rejects(call, { code: 'ECONNRESET' })
  await own.shutdown()
  await refused
  await assert.rejects(client.call('modules'), { code: 'ECONNRESET' })
})

test('ten thousand calls leave nothing open', async () => {
  const before = openFds()
  for (let round = 0; round < 20; round += 1) {
    using client = await SystemCallClient.connect({ socket: SOCKET })
    await Promise.all(Array.from({ length: 500 }, () => client.call('modules')))
  }
  await eventually('all is closed', () => openFds() <= before)
})
