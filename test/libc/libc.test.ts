import assert from 'node:assert/strict'
import { readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { asFd, EPOLLIN, EPOLLONESHOT, errno, type Fd, loadLibc, WNOHANG } from '../../src/libc/index.js'
import { FileActionsFactory, ProcessGroup, SpawnAttributes } from '../../src/libc/posix-spawn.js'
import { descriptors } from '../helpers/resources.js'

const libc = loadLibc()
const attributes = new SpawnAttributes(libc.library, ProcessGroup.OWN)
const factory = new FileActionsFactory(libc.library)

const opened = (result: number): Fd => {
  assert.ok(result >= 0, `error number ${-result}`)
  return asFd(result)
}

/** Strings as a C vector; what it returns must be kept while the address is used. */
function vector(strings: readonly string[]) {
  const texts = strings.map(text => Buffer.from(`${text}\0`))
  const pointers = new BigUint64Array(texts.length + 1)
  for (const [index, text] of texts.entries()) pointers[index] = BigInt(libc.library.addressOf(text))
  return { texts, pointers, address: libc.library.addressOf(pointers) }
}

function spawn(path: string, argv: readonly string[], stdout: number, cwd?: string) {
  const pid = new Int32Array(1)
  const actions = factory.create()
  const argvVector = vector(argv)
  const envpVector = vector([])
  const pathVector = vector([path])
  try {
    actions.openNull(0)
    actions.duplicate(stdout, 1)
    if (cwd !== undefined) actions.changeDirectory(cwd)
    actions.closeFrom(2)
    const error = libc.posixSpawn(
      libc.library.addressOf(pid),
      libc.library.addressOf(pathVector.texts[0] ?? Buffer.alloc(1)),
      actions.address,
      attributes.address,
      argvVector.address,
      envpVector.address,
    )
    return { error, pid: pid[0] ?? 0 }
  } finally {
    actions.destroy()
  }
}

test('a child writes to a pipe in the folder it was given; its pidfd tells of its exit once, wait4 reaps it', () => {
  const before = descriptors()
  const pipe = libc.pipe()
  assert.ok(typeof pipe === 'object')
  const child = spawn('/bin/sh', ['sh', '-c', 'pwd; exit 3'], pipe.write, '/usr')
  assert.equal(child.error, 0)
  libc.close(pipe.write)

  const epoll = opened(libc.epollCreate())
  const pidfd = opened(libc.pidfdOpen(child.pid))
  assert.equal(libc.epollAdd(epoll, pidfd, EPOLLIN | EPOLLONESHOT, 42), 0)
  const events = libc.epollEvents(4)
  assert.equal(libc.epollWait(epoll, events, 30_000), 1)
  assert.equal(libc.epollEventData(events, 0), 42)
  assert.equal(libc.epollEventFlags(events, 0) & EPOLLIN, EPOLLIN)
  assert.equal(libc.epollWait(epoll, events, 0), 0, 'one exit is told once')

  assert.equal(libc.hasExited(child.pid), true)
  assert.equal(libc.hasExited(child.pid), true, 'asking does not reap')
  assert.deepEqual(libc.wait4(child.pid, WNOHANG), { pid: child.pid, status: 3 << 8 })
  assert.equal(libc.wait4(child.pid, WNOHANG).pid, -errno('ECHILD'))
  assert.ok(libc.rusage.some(field => field > 0n))

  const output = new Uint8Array(64)
  const length = libc.read(pipe.read, output)
  assert.equal(Buffer.from(output.subarray(0, length)).toString(), '/usr\n')
  assert.equal(libc.read(pipe.read, output), 0, 'nobody else holds the write end')
  for (const fd of [pipe.read, epoll, pidfd]) libc.close(fd)
  assert.deepEqual(
    descriptors().filter(each => !before.includes(each)),
    [],
  )
})

test('a program that is not there and a folder that is not there are the result of posix_spawn, with no child', () => {
  const missing = spawn('/no/such/program', ['x'], 1)
  assert.equal(missing.error, errno('ENOENT'))
  const folder = spawn('/bin/true', ['true'], 1, '/no/such/folder')
  assert.equal(folder.error, errno('ENOENT'))
  const directory = spawn('/usr', ['usr'], 1)
  assert.equal(directory.error, errno('EACCES'))
})

test('what fails gives -errno', () => {
  assert.equal(libc.pidfdOpen(2 ** 22 + 1), -errno('ESRCH'))
  assert.equal(libc.kill(2 ** 22 + 1, 0), -errno('ESRCH'))
  assert.equal(libc.read(asFd(1_000_000), new Uint8Array(1)), -errno('EBADF'))
  assert.equal(libc.setNonblocking(asFd(1_000_000)), -errno('EBADF'))
})

test('descriptors are close-on-exec, and a copy stands above the number it was asked for', () => {
  const pipe = libc.pipe()
  assert.ok(typeof pipe === 'object')
  const copy = opened(libc.duplicateAbove(pipe.read, 100))
  assert.ok(copy >= 100)
  assert.equal(readlinkSync(`/proc/self/fd/${copy}`), readlinkSync(`/proc/self/fd/${pipe.read}`))
  const child = spawn('/bin/ls', ['ls', '/proc/self/fd'], pipe.write)
  libc.close(pipe.write)
  const output = new Uint8Array(256)
  const length = libc.read(pipe.read, output)
  const listed = Buffer.from(output.subarray(0, length)).toString().trim().split('\n')
  assert.deepEqual(listed.slice(0, 2), ['0', '1'])
  assert.ok(!listed.includes(String(copy)))
  libc.wait4(child.pid, 0)
  for (const fd of [pipe.read, copy]) libc.close(fd)
})

test('splice moves a pipe into a memfd, whose size is what was written', () => {
  const pipe = libc.pipe()
  assert.ok(typeof pipe === 'object')
  const file = opened(libc.memfd('khelper-test'))
  assert.equal(libc.write(pipe.write, Buffer.from('hello')), 5)
  libc.close(pipe.write)
  assert.equal(libc.splice(pipe.read, file, 1024), 5)
  assert.equal(libc.splice(pipe.read, file, 1024), 0, 'the end')
  assert.equal(libc.fileSize(file), 5)
  for (const fd of [pipe.read, file]) libc.close(fd)
})
