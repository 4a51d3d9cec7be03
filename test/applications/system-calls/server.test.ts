import assert from 'node:assert/strict'
import { existsSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { SystemCallClient, SystemCallServer } from '../../../src/applications/system-calls/index.js'
import { boot } from '../../../src/index.js'
import { moduleFolder } from '../../helpers/modules.js'
import { eventually, openFds } from '../../helpers/resources.js'
import { temporary } from '../../helpers/temporary.js'

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

test('more connections than there may be: the others go on', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('few.sock')
  await new SystemCallServer(own, { connections: 2 }).listen(path)
  const clients = [
    await SystemCallClient.connect({ socket: path }),
    await SystemCallClient.connect({ socket: path }),
  ]
  const third = await SystemCallClient.connect({ socket: path })
  await assert.rejects(third.call('modules'), { code: 'ECONNRESET' })
  for (const client of clients) assert.deepEqual(await client.call('modules'), [])
  clients[0]?.close()
  clients[1]?.close()
  await own.shutdown()
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
