import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroups, type Group, type GroupOptions } from '../../../src/applications/cgroup/index.js'
import { boot, UMH_NO_WAIT, UMH_WAIT_EXEC } from '../../../src/index.js'
import { eventually } from '../../helpers/resources.js'

/** Bookkeeping alone: what is checked here does not depend on the machine. */
const BARE: GroupOptions = { real: false }
const paths = (groups: readonly Group[]) => groups.map(({ path }) => path)

test('groups are made in groups that are there, found by path, and listed parents first', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  assert.equal(cgroups(kernel), groups)
  const build = groups.create('/build', BARE)
  const worker = groups.create('//build/worker/', BARE)
  groups.create('/other', BARE)
  assert.equal(worker.path, '/build/worker')
  assert.equal(groups.get('/build'), build)
  assert.equal(groups.get('/build//worker'), worker)
  assert.equal(groups.get('/'), groups.root)
  assert.equal(groups.get('/none'), undefined)
  assert.deepEqual(paths(groups.list()), ['/', '/build', '/build/worker', '/other'])
})

for (const [situation, path, options, expected] of [
  ['a group that is there: EEXIST', '/there', {}, { code: 'EEXIST', retval: -17, path: '/there' }],
  ['the root: EEXIST', '/', {}, { code: 'EEXIST' }],
  ['in a group that is not there: ENOENT, with its path', '/none/x', {}, { code: 'ENOENT', path: '/none' }],
  ['a path that does not begin with /: EINVAL', 'build', {}, { code: 'EINVAL' }],
  ['an empty path: EINVAL', '', {}, { code: 'EINVAL' }],
  ['. in the path: EINVAL', '/there/./x', {}, { code: 'EINVAL' }],
  ['.. in the path: EINVAL', '/there/../x', {}, { code: 'EINVAL' }],
  ['a line feed in the name: EINVAL', '/a\nb', {}, { code: 'EINVAL' }],
  ['a NUL in the name: EINVAL', '/a\0b', {}, { code: 'EINVAL' }],
  ['half a surrogate pair in the name: EINVAL', '/a\ud800', {}, { code: 'EINVAL' }],
  ['a name of 256 bytes: ENAMETOOLONG', `/${'a'.repeat(256)}`, {}, { code: 'ENAMETOOLONG' }],
  ['a path of 4096 bytes: ENAMETOOLONG', `/${'a/'.repeat(2048)}`, {}, { code: 'ENAMETOOLONG' }],
  ['a path that is no string', 5, {}, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['options that are none', '/x', null, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['an option that is not known', '/x', { memoryMax: 1 }, { code: 'ERR_INVALID_ARG_VALUE' }],
  ['notifyOnRelease that is no boolean', '/x', { notifyOnRelease: 1 }, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['real that is no boolean', '/x', { real: 'v2' }, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['memory.max that is no number', '/x', { 'memory.max': {} }, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['memory.max that is text', '/x', { 'memory.max': 'much' }, { code: 'ERR_OUT_OF_RANGE' }],
  ['memory.max below 0', '/x', { 'memory.max': -1 }, { code: 'ERR_OUT_OF_RANGE' }],
  ['memory.max with a fraction', '/x', { 'memory.max': 1.5 }, { code: 'ERR_OUT_OF_RANGE' }],
  ['memory.max beyond what numbers count', '/x', { 'memory.max': '99999T' }, { code: 'ERR_OUT_OF_RANGE' }],
  ['pids.max as text', '/x', { 'pids.max': '5' }, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['pids.max below 0', '/x', { 'pids.max': -1 }, { code: 'ERR_OUT_OF_RANGE' }],
  ['cpu.max of 0', '/x', { 'cpu.max': 0 }, { code: 'ERR_OUT_OF_RANGE' }],
  ['cpu.max that is no number', '/x', { 'cpu.max': Number.NaN }, { code: 'ERR_OUT_OF_RANGE' }],
  ['cpu.max with a period of a minute', '/x', { 'cpu.max': '5000 60000000' }, { code: 'ERR_OUT_OF_RANGE' }],
  ['cpu.max that is no pair', '/x', { 'cpu.max': 'half' }, { code: 'ERR_INVALID_ARG_VALUE' }],
  ['cpu.max as a list', '/x', { 'cpu.max': [1, 2] }, { code: 'ERR_INVALID_ARG_TYPE' }],
] as const) {
  test(`create: ${situation}`, async () => {
    await using kernel = boot({ khelpers: 1 })
    const groups = cgroups(kernel)
    groups.create('/there', BARE)
    assert.throws(() => groups.create(path as never, options as never), expected)
    assert.deepEqual(paths(groups.list()), ['/', '/there'])
  })
}

test('limits where there is no real group: EOPNOTSUPP with the reason, and no group', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const bare = groups.create('/bare', BARE)
  assert.equal(bare.real, undefined)
  assert.match(bare.reason ?? '', /real: false/)
  const expected = { name: 'SystemError', code: 'EOPNOTSUPP', message: /real: false/ }
  assert.throws(() => groups.create('/x', { ...BARE, 'pids.max': 5 }), expected)
  assert.throws(() => groups.create('/bare/x', { 'memory.max': 5 }), expected)
  assert.match(groups.create('/bare/y').reason ?? '', /\/bare is not a group of the system/)
  assert.deepEqual(paths(groups.list()), ['/', '/bare', '/bare/y'])
  // No limit at all is none.
  groups.create('/max', { ...BARE, 'memory.max': 'max', 'pids.max': 'max', 'cpu.max': 'max' })
})

test('remove: EBUSY with helpers, with groups in it, and for the root; ENOENT; then the name can be used again', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const build = groups.create('/build', BARE)
  groups.create('/build/worker', BARE)
  assert.throws(() => groups.remove('/build'), { code: 'EBUSY', retval: -16, path: '/build' })
  groups.remove('/build/worker')
  const helper = build.run('cat', [], { stdin: 'pipe' })
  assert.throws(() => groups.remove('/build'), { code: 'EBUSY' })
  helper.stdin?.end()
  await helper
  groups.remove('/build')
  assert.throws(() => groups.remove('/build'), { code: 'ENOENT' })
  assert.throws(() => groups.remove('/'), { code: 'EBUSY' })
  assert.throws(() => build.run('true'), { name: 'SystemError', code: 'ENODEV' })
  assert.notEqual(groups.create('/build', BARE), build)
})

test('counts: running here and below, started, failed; helpers are pids; /proc/khelper/cgroups tells', async () => {
  await using kernel = boot({ khelpers: 2 })
  const groups = cgroups(kernel)
  const outer = groups.create('/outer group', { ...BARE, notifyOnRelease: true })
  const inner = groups.create('/outer group/inner', BARE)
  const first = outer.run('cat', [], { stdin: 'pipe' })
  const second = inner.run('cat', [], { stdin: 'pipe' })
  assert.deepEqual(outer.counts, { running: 1, subtree: 2, started: 1, failed: 0 })
  assert.deepEqual(inner.counts, { running: 1, subtree: 1, started: 1, failed: 0 })
  assert.equal(groups.root.counts.subtree, 2)
  assert.deepEqual(outer.helpers, [first.pid])
  assert.equal(
    kernel.proc.read('/proc/khelper/cgroups'),
    '/ 0 0 0 -\n/outer\\040group 1 1 1 -\n/outer\\040group/inner 1 1 1 -\n',
  )
  first.stdin?.end()
  second.stdin?.end()
  await Promise.all([first, second])
  await assert.rejects(outer.run('false'), { code: 'ERR_HELPER_EXIT', exitCode: 1, outOfMemory: false })
  await assert.rejects(outer.run('/no/such/program'), { code: 'ENOENT' })
  const { exitCode, outOfMemory } = await outer.run('false', [], { reject: false })
  assert.deepEqual([exitCode, outOfMemory], [1, false])
  assert.deepEqual(outer.counts, { running: 0, subtree: 0, started: 4, failed: 3 })
  assert.deepEqual(outer.helpers, [])
})

test('a helper that cannot be asked for is not counted', async () => {
  await using kernel = boot({ khelpers: 1 })
  const group = cgroups(kernel).create('/x', BARE)
  for (const [file, args, options] of [
    ['', [], {}],
    ['true', 'no array', {}],
    ['true', [], null],
    ['true', [], { timeout: -1 }],
    ['true', [], { wait: UMH_WAIT_EXEC }],
    ['true', [], { wait: UMH_NO_WAIT }],
  ] as const) {
    assert.throws(() => group.run(file, args as never, options as never), { code: /^ERR_/ })
  }
  assert.deepEqual(group.counts, { running: 0, subtree: 0, started: 0, failed: 0 })
})

test('the root runs helpers as the kernel does, and knows them', async () => {
  await using kernel = boot({ khelpers: 1 })
  const { root } = cgroups(kernel)
  assert.equal(root.real, undefined)
  const { stdout } = await root.run('echo', ['text'], { encoding: 'buffer' })
  assert.deepEqual(stdout, Buffer.from('text\n'))
  assert.equal(root.counts.started, 1)
})

test('an error is in the words that kernel.run uses, argv0 included', async () => {
  await using kernel = boot({ khelpers: 1 })
  const group = cgroups(kernel).create('/x', BARE)
  const options = { argv0: 'other' }
  const ours = await group.run('false', ['a'], options).catch(error => error)
  const its = await kernel.run('false', ['a'], options).catch(error => error)
  assert.equal(ours.message, its.message)
  assert.deepEqual(ours.argv, its.argv)
  await assert.rejects(group.run('sleep', ['60'], { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('shutdown: waits for helpers in groups; then nothing can be run', async () => {
  const kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const group = groups.create('/x', BARE)
  const helper = group.run('cat', [], { stdin: 'pipe' })
  const down = kernel.shutdown()
  assert.equal(group.counts.running, 1)
  helper.stdin?.end()
  await down
  assert.equal((await helper).exitCode, 0)
  assert.equal(group.counts.running, 0)
  await assert.rejects(group.run('true'), { code: 'ERR_KHELPER_SHUT_DOWN' })
  await eventually('no helper is left', () => groups.root.counts.subtree === 0)
})
