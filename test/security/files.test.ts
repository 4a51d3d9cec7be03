/**
 * Files and groups: what a helper of another user is given is what that user may have.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { boot } from '../../src/index.js'
import { countTurns } from '../helpers/resources.js'
import { write } from '../helpers/temporary.js'
import { AS_HELPER, HELPER, LONGEST, openFolder, python, skipped } from './scene.js'

test('a link to a root file, in each way to it: EACCES, and the file is what it was', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  await using kernel = boot({ khelpers: 2 })
  const roots = openFolder()
  const own = openFolder(HELPER)
  const precious = join(roots, 'precious')
  writeFileSync(precious, 'precious', { mode: 0o600 })
  const dangling = join(roots, 'not-there')
  for (const [name, target] of [
    ['link', precious],
    ['dangling', dangling],
    ['indirect', join(own, 'link')],
    ['descriptor', '/proc/self/root/etc/shadow'],
  ] as const) {
    symlinkSync(target, join(own, name))
    const file = join(own, name)
    for (const options of [
      { stdout: { file } },
      { stdout: { file, append: true } },
      { stderr: { file } },
      ...(name === 'dangling' ? [] : [{ stdin: { file } }]),
    ]) {
      await assert.rejects(kernel.run('cat', [], { ...AS_HELPER, ...options }), { code: 'EACCES' }, name)
    }
  }
  assert.equal(readFileSync(precious, 'utf8'), 'precious')
  assert.equal(statSync(precious).uid, 0)
  assert.equal(existsSync(dangling), false)
})

/** Exchanges a file for a link, and back, until its input ends. */
const SWAP = python(`
path, target, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
end = time.monotonic() + seconds
while time.monotonic() < end:
  for make in (lambda: open(path, 'w').close(), lambda: os.symlink(target, path)):
    outcome(make)
    outcome(os.unlink, path)
tell('tired')
`)

test('a file that is exchanged for a link to a root file all the time: the link is never followed as root', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  await using kernel = boot({ khelpers: 2 })
  const precious = join(openFolder(), 'precious')
  writeFileSync(precious, 'precious', { mode: 0o600 })
  const file = join(openFolder(HELPER), 'log')
  let over = false
  const attacker = kernel
    .run('python3', ['-c', SWAP, file, precious, '1'], { ...AS_HELPER, env: { PATH: '/usr/bin:/bin' } })
    .finally(() => {
      over = true
    })
  while (!over) {
    await kernel.run('echo', ['by the helper'], { ...AS_HELPER, stdout: { file }, reject: false })
  }
  assert.equal((await attacker).stdout, '"tired"\n')
  assert.equal(readFileSync(precious, 'utf8'), 'precious')
})

test('new files have the helper’s user, group and umask', { skip: skipped, timeout: LONGEST }, async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = join(openFolder(HELPER), 'log')
  await kernel.run('echo', [], { ...AS_HELPER, umask: 0o77, stdout: { file } })
  const { uid, gid, mode } = statSync(file)
  assert.deepEqual([uid, gid, mode & 0o777], [HELPER, HELPER, 0o600])
})

test('a FIFO that nobody opens: a timeout ends the call, and all else goes on', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = join(openFolder(HELPER), 'fifo')
  spawnSync('mkfifo', [file])
  chownSync(file, HELPER, HELPER)
  chmodSync(file, 0o600)
  const turns = countTurns()
  for (const options of [{ stdout: { file } }, { stderr: { file } }, { stdin: { file } }]) {
    for (const user of [AS_HELPER, {}]) {
      const before = turns.turn
      const hangs = kernel.run('true', [], {
        ...user,
        ...options,
        timeout: 100,
        forceKillAfter: 50,
        reject: false,
      })
      assert.equal((await kernel.run('echo', ['another'])).stdout, 'another\n')
      const { timedOut, exitCode } = await hangs
      assert.deepEqual([timedOut, exitCode], [true, null])
      assert.ok(turns.turn > before)
    }
  }
  turns.stop()
})

test('a user by number has no group of the service’s that was not asked for', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.throws(() => kernel.run('true', [], { uid: HELPER }), { code: 'ERR_INVALID_ARG_VALUE' })
  const ids = async (options: object) => (await kernel.run('sh', ['-c', 'id -g; id -G'], options)).stdout
  assert.equal(await ids({ uid: HELPER, gid: 'keep' }), '0\n0\n')
  assert.equal(await ids(AS_HELPER), `${HELPER}\n${HELPER}\n`)
})

const noMounts = skipped || (spawnSync('unshare', ['--mount', 'true']).status !== 0 && 'needs mounts')

test('a user by name has its own group and those that it is a member of', {
  skip: noMounts,
  timeout: LONGEST,
}, async () => {
  const group = write(
    'group',
    'root:x:0:\nnobody-own:x:65534:\na:x:4001:x,nobody\nb:x:4002:nobodyelse\nc:x:4003:nobody\n',
  )
  const index = new URL('../../src/index.js', import.meta.url).href
  const service = write(
    'by-name.mjs',
    `import { boot } from '${index}'
     const kernel = boot({ khelpers: 1 })
     for (const more of [{}, { groups: ['b'] }, { gid: 'c' }, { gid: 'keep' }])
       console.log((await kernel.run('sh', ['-c', 'id -u; id -g; id -G'], { uid: 'nobody', ...more })).stdout.trim().replaceAll('\\n', ' | '))
     await kernel.shutdown()`,
  )
  const script = `mount --bind ${group} /etc/group && printf 'nobody:x:65533:4004::/:/bin/false\\n' >${group}.passwd && mount --bind ${group}.passwd /etc/passwd && exec "$@"`
  const { stdout } = spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', process.execPath, service], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  assert.deepEqual(stdout.trim().split('\n'), [
    '65533 | 4004 | 4004 4001 4003',
    '65533 | 4004 | 4004 4002',
    '65533 | 4003 | 4003 4001',
    '65533 | 0 | 0 4001 4003',
  ])
})
