import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { kmod } from '../../../src/applications/kmod/index.js'
import {
  SystemCallClient,
  SystemCallServer,
  systemCalls,
} from '../../../src/applications/system-calls/index.js'
import { boot, type Kernel } from '../../../src/index.js'
import { asRoot, fakeService, OTHER, outputOf, startAsOther } from '../../helpers/other-user.js'

const FACE = new URL('../../../src/applications/system-calls/index.js', import.meta.url).href
/** Entered by everybody: those of other tests are not. */
const PLACE = mkdtempSync('/tmp/khelper-trust-')
chmodSync(PLACE, 0o755)
let kernel: Kernel
before(() => {
  // What a boot that is refused its socket warns of is not for these tests' output.
  process.removeAllListeners('warning')
  kernel = boot({ khelpers: 1 })
})
after(async () => {
  await kernel.shutdown()
  rmSync(PLACE, { recursive: true })
})

function folder(name: string, mode: number, owner?: number, group = owner): string {
  const path = join(PLACE, name)
  mkdirSync(path, { recursive: true })
  if (owner !== undefined && group !== undefined) chownSync(path, owner, group)
  chmodSync(path, mode)
  return path
}

/** What a client gets that would send a secret from a thread that has no C library to ask who listens. */
async function inWorker(path: string): Promise<string> {
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import(${JSON.stringify(FACE)}).then(async ({ SystemCallClient }) => {
       const client = await SystemCallClient.connect({ socket: workerData, authority: 'a token' })
       const modules = await client.call('modules')
       client.close()
       return JSON.stringify(modules)
     }).catch(error => error.code).then(said => parentPort.postMessage(said))`,
    { eval: true, workerData: path },
  )
  try {
    return await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  } finally {
    await worker.terminate()
  }
}

async function keysFor(socket: string): Promise<void> {
  using client = await SystemCallClient.connect({ socket, authority: 'a token' })
  await client.call('keyctl', 'add_key', 'user', 'x', Buffer.from('a secret'), -4)
}

test('another user listens at the path: not one byte is sent', asRoot, async () => {
  const path = join(folder('sticky', 0o1777), 'app.sock')
  const fake = await fakeService(path)
  const refusal = {
    code: 'EACCES',
    path,
    message: /nothing was sent to .*is another user’s \(uid 12345\); connect as/,
  }
  await assert.rejects(keysFor(path), refusal)
  assert.equal(await inWorker(path), 'EACCES')
  assert.deepEqual(await fake.stop(), { connections: 0, received: '' })
})

test('another user listens behind a file that is ours: the connection itself tells', asRoot, async () => {
  const path = join(folder('sticky-too', 0o1777), 'app.sock')
  const fake = await fakeService(path)
  chownSync(path, 0, 0)
  await assert.rejects(keysFor(path), {
    code: 'EACCES',
    path,
    message: /nothing was sent to .*service of another user \(uid 12345\); connect as/,
  })
  assert.deepEqual(await fake.stop(), { connections: 1, received: '' })
})

test('whoever names the user may ask that user’s service', asRoot, async () => {
  const path = join(folder('named', 0o700, OTHER), 'app.sock')
  const fake = await fakeService(path)
  await assert.rejects(SystemCallClient.connect({ socket: path, uid: 54_321 }), { code: 'EACCES' })
  const client = await SystemCallClient.connect({ socket: path, uid: OTHER })
  client.call('modules').catch(() => {})
  client.close()
  assert.equal((await fake.stop()).connections, 1)
  for (const uid of [-1, 1.5, Number.NaN]) {
    await assert.rejects(SystemCallClient.connect({ socket: path, uid }), { code: 'ERR_OUT_OF_RANGE' })
  }
})

test('root’s service may be asked by everybody, who is refused there', asRoot, async () => {
  const own = boot({ khelpers: 1, socket: join(PLACE, 'root.sock') })
  await own.ready
  chmodSync(join(PLACE, 'root.sock'), 0o666)
  const told = outputOf(
    startAsOther(`import(${JSON.stringify(FACE)}).then(async ({ SystemCallClient }) => {
      const client = await SystemCallClient.connect({ socket: ${JSON.stringify(join(PLACE, 'root.sock'))} })
      await client.call('modules')
    }).catch(error => { console.log(error.code); process.exit() })`),
  )
  assert.equal(await told, 'EPERM\n')
  await own.shutdown()
})

test('folders that others can write to are refused by services and by clients', async () => {
  for (const [name, mode, allowed] of [
    ['for-us', 0o700, true],
    ['seen-by-all', 0o755, true],
    ['for-all', 0o777, false],
    ['for-a-group', 0o770, false],
    ['for-all-but-sticky', 0o1777, true],
  ] as const) {
    // Ours may be a group that nobody else is in.
    if (mode === 0o770 && process.getuid?.() !== 0) continue
    const inside = folder(name, 0o700)
    const socket = join(inside, 'app.sock')
    const own = boot({ khelpers: 1, socket })
    await own.ready
    chmodSync(inside, mode)
    const other = join(inside, 'new.sock')
    const opened = new SystemCallServer(own).listen(other)
    if (allowed) {
      assert.equal(await opened, other, name)
      assert.equal(await inWorker(socket), 'EACCES', 'no such token: it has been asked')
      using client = await SystemCallClient.connect({ socket })
      assert.deepEqual(await client.call('modules'), [])
    } else {
      const refusal = { code: 'EACCES', path: inside, message: /others can write to .*chmod go-w/ }
      await assert.rejects(opened, { ...refusal, syscall: 'listen' }, name)
      await assert.rejects(SystemCallClient.connect({ socket }), { ...refusal, syscall: 'connect' }, name)
      assert.equal(await inWorker(socket), 'EACCES')
      assert.throws(() => statSync(other), { code: 'ENOENT' })
    }
    await own.shutdown()
  }
})

test('every folder up to the root counts, and so does each link on the way', async () => {
  const open = folder('open', 0o777)
  const deep = folder('open/below/deeper', 0o700)
  const server = new SystemCallServer(kernel)
  await assert.rejects(server.listen(join(deep, 'app.sock')), { code: 'EACCES', path: open })
  const safe = folder('safe', 0o700)
  symlinkSync(deep, join(safe, 'to-open'))
  symlinkSync('../safe', join(open, 'to-safe'))
  await assert.rejects(server.listen(join(safe, 'to-open', 'app.sock')), { code: 'EACCES', path: open })
  await assert.rejects(server.listen(join(open, 'to-safe', 'app.sock')), { code: 'EACCES', path: open })
  symlinkSync('../safe', join(safe, 'again'))
  assert.equal(await server.listen(join(safe, 'again', 'app.sock')), join(safe, 'again', 'app.sock'))
  symlinkSync('app.sock', join(safe, 'link.sock'))
  using client = await SystemCallClient.connect({ socket: join(safe, 'link.sock') })
  assert.deepEqual(await client.call('modules'), [])
  server.close()
})

test('folders and links of another user are refused', asRoot, async () => {
  const theirs = folder('theirs', 0o755, OTHER)
  const refusal = { code: 'EACCES', path: theirs, message: /theirs is another user’s \(uid 12345\)/ }
  const server = new SystemCallServer(kernel)
  await assert.rejects(server.listen(join(theirs, 'app.sock')), refusal)
  await assert.rejects(SystemCallClient.connect({ socket: join(theirs, 'app.sock') }), refusal)
  const own = folder('with-links', 0o1777)
  const link = join(own, 'link')
  const told = outputOf(startAsOther(`require('node:fs').symlinkSync(${JSON.stringify(own)}, '${link}')`))
  await told
  await assert.rejects(server.listen(join(link, 'app.sock')), { code: 'EACCES', path: link })
})

test('what is there is no socket', async () => {
  await assert.rejects(SystemCallClient.connect({ socket: PLACE }), { code: 'ECONNREFUSED', path: PLACE })
  for (const socket of ['', '\0abstract', 7 as unknown as string]) {
    await assert.rejects(SystemCallClient.connect({ socket }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})

test('where nobody tells who is there, a service lets in nobody whom the socket’s mode would not keep out', async () => {
  const socket = join(folder('untold', 0o700), 'app.sock')
  const own = boot({ khelpers: 1, launcher: 'child_process', socket })
  await own.ready
  using client = await SystemCallClient.connect({ socket })
  assert.deepEqual(await client.call('modules'), [])
  chmodSync(socket, 0o660)
  using refused = await SystemCallClient.connect({ socket })
  await assert.rejects(refused.call('modules'), { code: 'EPERM', message: /mode/ })
  chmodSync(socket, 0o600)
  using again = await SystemCallClient.connect({ socket })
  assert.deepEqual(await again.call('modules'), [])
  await own.shutdown()
})

test('folders for temporary files that others can write to are not for the helpers’ socket', async t => {
  const { TMPDIR } = process.env
  t.after(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
  })
  await using own = boot({ khelpers: 1 })
  process.env['TMPDIR'] = folder('temporary', 0o777)
  const { envp } = await systemCalls(own).grant([])
  assert.match(envp[0] ?? '', /^KHELPER_SOCKET=\/tmp\/khelper-socket-/)
  await kmod(own).requestModule('ts_kmp')
})

test('a helper in the service asks the system who listens, as programs do', asRoot, async () => {
  const path = join(folder('modprobe', 0o1777), 's')
  const fake = await fakeService(path)
  chownSync(path, 0, 0)
  const modprobe = new URL('../../../workers/modprobe.js', import.meta.url).href
  const result = await kernel.run(modprobe, ['-q', '--', 'ts_kmp'], {
    env: { KHELPER_SOCKET: path, KHELPER_AUTHORITY: 'a token' },
    reject: false,
  })
  assert.equal(result.exitCode, 13, 'EACCES')
  assert.deepEqual(await fake.stop(), { connections: 1, received: '' })
})
