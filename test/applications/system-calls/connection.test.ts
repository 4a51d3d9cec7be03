/**
 * Connections whose other end does not do its part.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { SystemCallClient, SystemCallServer } from '../../../src/applications/system-calls/index.js'
import { boot } from '../../../src/index.js'
import { countTurns, eventually } from '../../helpers/resources.js'
import { temporary } from '../../helpers/temporary.js'

const openSockets = (): number =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length

test('an answer that is not read in time: closed, also where nothing more will be asked', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('never-read.sock')
  own.proc.define('/proc/answer', { read: () => 'x'.repeat(10_000) })
  await new SystemCallServer(own, { message: 200 }).listen(path)
  const request = `${JSON.stringify({ id: 1, call: 'sysctl_read', args: ['/proc/answer'] })}\n`
  const before = openSockets()
  // What the system holds for the reader, and what the service writes at once, falls full after one number or another.
  const sockets = Array.from({ length: 40 }, (_, count) => {
    const socket = connect({ path, allowHalfOpen: true }).pause()
    socket.end(request.repeat(count))
    return socket
  })
  const idle = connect(path).pause()
  idle.write(request.repeat(100))
  await Promise.all([...sockets, idle].map(socket => once(socket, 'connect')))
  await eventually('the service has closed its ends', () => openSockets() === before + 41)
  for (const socket of [...sockets, idle]) socket.destroy()
  await own.shutdown()
})

/** Connections that ask without end and read nothing, once as much is on its way as the system takes. */
async function deaf(path: string, count: number, call = 'sysctl_list', ...args: string[]): Promise<Socket[]> {
  const requests = `${JSON.stringify({ id: 1, call, args })}\n`.repeat(1000)
  const sockets = Array.from({ length: count }, () =>
    connect(path)
      .on('error', () => {})
      .pause(),
  )
  for (const socket of sockets) for (let batch = 0; batch < 100; batch += 1) socket.write(requests)
  for (const socket of sockets) await once(socket, 'connect')
  return sockets
}

test('whoever reads no answers gives way to others, operators and helpers alike', async () => {
  const own = boot({ khelpers: 1 })
  const server = new SystemCallServer(own, { connections: 2, silence: 50 })
  const path = temporary('unread.sock')
  await server.listen(path)
  const { envp } = await server.grant(['modules'])
  const [helpers = '', authority = ''] = envp.map(variable => variable.slice(variable.indexOf('=') + 1))
  for (const [socket, token, call] of [
    [path, undefined, 'sysctl_list'],
    [helpers, authority, 'x'],
  ] as const) {
    const crowd = await deaf(socket, 2, call)
    let told: unknown
    const deadline = Date.now() + 20_000
    while (!Array.isArray(told)) {
      assert.ok(Date.now() < deadline, `still ${told}`)
      using client = await SystemCallClient.connect({ socket, authority: token })
      told = await client.call('modules').catch((error: unknown) => error)
    }
    for (const each of crowd) each.destroy()
  }
  await own.shutdown()
})

test('answers that are not read have a bound: those who have not read for longest are closed', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('bounded.sock')
  own.proc.define('/proc/large', { read: () => 'x'.repeat(2 ** 20) })
  await new SystemCallServer(own, { unread: 4 * 2 ** 20 }).listen(path)
  const crowd = await deaf(path, 20, 'sysctl_read', '/proc/large')
  const closed = () => crowd.filter(socket => socket.destroyed).length
  await eventually('what has no room is closed', () => closed() >= 15)
  using client = await SystemCallClient.connect({ socket: path })
  assert.equal(String(await client.call('sysctl_read', '/proc/large')).length, 2 ** 20)
  assert.ok(closed() < 20, 'what has room is not')
  for (const socket of crowd) socket.destroy()
  await own.shutdown()
})

test('calls that take long, of many connections, take turns', async () => {
  const own = boot({ khelpers: 1 })
  const path = temporary('slow.sock')
  await new SystemCallServer(own).listen(path)
  const turns: number[] = []
  const loop = countTurns()
  own.proc.define('/proc/slow', {
    read: () => {
      turns.push(loop.turn)
      const end = performance.now() + 11
      while (performance.now() < end);
      return ''
    },
  })
  const clients = await Promise.all(
    Array.from({ length: 32 }, () => SystemCallClient.connect({ socket: path })),
  )
  // All have been let in, and what makes calls has been loaded.
  await Promise.all(clients.map(client => client.call('modules')))
  await Promise.all(clients.map(client => client.call('sysctl_read', '/proc/slow')))
  loop.stop()
  assert.equal(new Set(turns).size, 32)
  for (const client of clients) client.close()
  await own.shutdown()
})
