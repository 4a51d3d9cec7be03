/**
 * `khelper/child_process` as a module: what it exports, and that its calls are khelper's while others stay Node's.
 */
import assert from 'node:assert/strict'
import native from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { eventually, openFds } from '../helpers/resources.js'

// Node marks a promisified function as its own promisified form: that must not be followed for ever.
promisify(native.execFile)
promisify(native.exec)
const dropIn = await import('../../src/child-process.js')

type Module = typeof native
const assignable: Module = dropIn.default

const startedByKhelper = (child: native.ChildProcess): boolean =>
  (child as unknown as { _handle: object })._handle.constructor.name === 'HelperHandle'

test('it has what Node’s module has, under the same names', () => {
  assert.deepEqual(Object.keys(assignable).toSorted(), Object.keys(native).toSorted())
  for (const [name, value] of Object.entries(native)) {
    const ours = assignable[name as keyof Module] as { readonly name?: string; readonly length?: number }
    assert.equal(typeof ours, typeof value)
    assert.equal(ours.name, value.name)
  }
})

test('its children are khelper’s, those of Node’s module stay Node’s', async () => {
  const children = [
    dropIn.spawn('true'),
    native.spawn('true'),
    dropIn.execFile('true'),
    native.execFile('true'),
  ]
  assert.deepEqual(children.map(startedByKhelper), [true, false, true, false])
  await Promise.all(children.map(child => once(child, 'close')))
})

test('promisified forms', async () => {
  const { stdout } = await promisify(dropIn.execFile)('echo', ['one'])
  const running = promisify(dropIn.exec)('echo two')
  assert.ok(running.child instanceof dropIn.ChildProcess)
  assert.deepEqual([stdout, (await running).stdout], ['one\n', 'two\n'])
  await assert.rejects(promisify(dropIn.exec)('echo so far; exit 4'), { code: 4, stdout: 'so far\n' })
})

test('a ChildProcess of one’s own', async () => {
  const child = new dropIn.ChildProcess() as native.ChildProcess & { spawn(options: object): number }
  assert.equal(child.spawn({ file: 'true', args: ['true'] }), 0)
  assert.ok(startedByKhelper(child))
  assert.ok(child instanceof native.ChildProcess)
  assert.ok(native.spawn('true') instanceof dropIn.ChildProcess)
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('a stream as stdio: one child’s output is another’s input', async () => {
  const first = dropIn.spawn('echo', ['handed over'])
  const second = dropIn.spawn('cat', [], { stdio: [first.stdout, 'pipe', 'inherit'] })
  let text = ''
  second.stdout?.setEncoding('utf8').on('data', chunk => {
    text += chunk
  })
  await once(second, 'close')
  assert.equal(text, 'handed over\n')
})

test('Node’s diagnostics channel tells of its children', async () => {
  const seen: unknown[] = []
  const listen = (message: unknown) => seen.push((message as { readonly process: unknown }).process)
  subscribe('child_process', listen)
  const child = dropIn.spawn('true')
  await once(child, 'close')
  unsubscribe('child_process', listen)
  assert.ok(seen.includes(child))
})

test('in a worker thread', async () => {
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
     import(workerData).then(({ execFile, spawnSync }) => execFile('echo', ['from a worker'], (error, stdout) =>
       parentPort.postMessage([stdout, String(spawnSync('echo', ['sync']).stdout)])))`,
    { eval: true, workerData: new URL('../../src/child-process.js', import.meta.url).href },
  )
  const exit = once(worker, 'exit')
  assert.deepEqual((await once(worker, 'message'))[0], ['from a worker\n', 'sync\n'])
  await exit
})

test('no descriptor is left behind, whatever became of the children', async () => {
  const closed = (child: native.ChildProcess) =>
    new Promise(resolve => child.on('error', () => {}).on('close', resolve))
  // By then every khelper that will be there is there.
  await Promise.all(Array.from({ length: 500 }, () => closed(dropIn.spawn('true'))))
  const before = openFds()
  for (let round = 0; round < 20; round += 1) {
    await Promise.all([
      closed(dropIn.spawn('cat', [], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] })),
      closed(dropIn.spawn('no-such-program')),
      closed(dropIn.spawn('true', [], { cwd: '/no/such/folder' })),
      closed(dropIn.spawn('true', [], { stdio: ['inherit', 1, 2] })),
      closed(dropIn.spawn('sleep', ['60'], { timeout: 5 })),
    ])
    assert.throws(() => dropIn.spawn('true', [], { stdio: ['pipe', 'pipe', 99_999] }), { code: 'EBADF' })
    assert.throws(() => dropIn.spawn('true', [], { cwd: '/etc/passwd' }), { code: 'ENOTDIR' })
    dropIn.spawnSync('cat', [], { input: 'x'.repeat(2_000_000) })
    dropIn.spawnSync('no-such-program', [], { input: 'x'.repeat(2_000_000) })
  }
  await eventually('as many descriptors as before', () => openFds() === before)
})

test('hundreds at once: every one spawns, exits and closes', async () => {
  const children = Array.from({ length: 300 }, (_, index) =>
    dropIn.spawn('sh', ['-c', `echo ${index}; exit ${index % 200}`], { stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  const ends = await Promise.all(
    children.map(async (child, index) => {
      let text = ''
      child.stdout.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      const [code] = await once(child, 'close')
      return text === `${index}\n` && code === index % 200
    }),
  )
  assert.ok(ends.every(Boolean))
})

test('uid and gid are Node’s to set, as they are', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  const { stdout } = dropIn.spawnSync('id', ['-u'], { uid: 65_534, gid: 65_534, encoding: 'utf8' })
  assert.equal(stdout, '65534\n')
})
