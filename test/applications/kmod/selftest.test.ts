/**
 * The kernel's own test of kmod: lib/test_kmod.c and tools/testing/selftests/kmod/kmod.sh of Linux 6.17, cases 0001 to
 * 0011 with their thread counts and repeats. What stands for the driver's kernel threads are promises, all at once.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { kmod } from '../../../src/applications/kmod/index.js'
import { depmod } from '../../../src/applications/kmod/modprobe/depmod.js'
import { boot } from '../../../src/index.js'
import { errno } from '../../../src/libc/index.js'
import { FileSystems } from '../../helpers/filesystems.js'
import { moduleFolder } from '../../helpers/modules.js'
import { write } from '../../helpers/temporary.js'

const DEFAULT_THREADS = 50
const LIMIT = 50
const MODPROBE_FAILED = 256

const kernel = boot()
after(() => kernel.shutdown())
const modules = kmod(kernel)
const fileSystems = new FileSystems(modules)
const DRIVER = 'test_module'
const FS = 'xfs'
const folder = moduleFolder({
  'test_module.js': `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`,
  'xfs.js': `export const license = 'GPL', alias = 'fs-xfs'
    let type
    export const init = ({ module, symbols }) => symbols.register_filesystem(type = { name: 'xfs', owner: module })
    export const exit = ({ symbols }) => { symbols.unregister_filesystem(type) }`,
})
depmod(folder)
kernel.proc.write('/proc/sys/khelper/module_directory', folder)
const MODPROBE = kernel.proc.read('/proc/sys/kernel/modprobe')

/** A trigger of the test driver: the last result that is not 0. */
async function trigger(threads: number, one: () => Promise<number>): Promise<number> {
  const results = await Promise.all(Array.from({ length: threads }, one))
  return results.reduce((last, result) => (result === 0 ? last : result), 0)
}
const testDriver = (threads = DEFAULT_THREADS, name = DRIVER) =>
  trigger(threads, () => modules.requestRetval(true, name))
const testFs = (threads = DEFAULT_THREADS, name = FS) =>
  trigger(threads, async () => {
    const type = await fileSystems.get(name)
    type?.owner.put()
    return type === null ? -errno('EINVAL') : 0
  })

/** What kmod.sh does after each case. */
async function unload(): Promise<void> {
  for (const { name } of modules.lsmod()) await modules.rmmod(name)
}

async function times(count: number, run: () => Promise<void>): Promise<void> {
  for (let round = 0; round < count; round += 1) {
    await run()
    await unload()
  }
}

test('0001: empty names, 3 times', () =>
  times(3, async () => {
    assert.equal(await testDriver(1, '\0'), MODPROBE_FAILED)
    assert.equal(await testFs(1, ''), -errno('EINVAL'))
  }))

test('0002: a driver and a file system that are not there, 3 times', () =>
  times(3, async () => {
    assert.equal(await testDriver(1, 'nope-test_module'), MODPROBE_FAILED)
    assert.equal(await testFs(DEFAULT_THREADS, 'nope-xfs'), -errno('EINVAL'))
  }))

test('0003: get_fs_type, 1 thread', () => times(1, async () => assert.equal(await testFs(1), 0)))
test('0004: get_fs_type, 2 threads', () => times(1, async () => assert.equal(await testFs(2), 0)))
test('0005: request_module, 50 threads, 10 times', () =>
  times(10, async () => assert.equal(await testDriver(), 0)))
test('0006: get_fs_type, 50 threads, 10 times', () => times(10, async () => assert.equal(await testFs(), 0)))
test('0007: both, 5 times', () =>
  times(5, async () => {
    assert.equal(await testDriver(), 0)
    assert.equal(await testFs(), 0)
  }))
test('0008: request_module, more threads than slots, 150 times', () =>
  times(150, async () => assert.equal(await testDriver(LIMIT + Math.floor(LIMIT / 6)), 0)))
test('0009: get_fs_type, more threads than slots, 150 times', () =>
  times(150, async () => assert.equal(await testFs(LIMIT + Math.floor(LIMIT / 4)), 0)))
test('0010: a modprobe that is not there', async () => {
  kernel.proc.write('/proc/sys/kernel/modprobe', '/KMOD_TEST_NONEXISTENT')
  assert.equal(await testDriver(1), -errno('ENOENT'))
})
test('0011: no modprobe', async () => {
  kernel.proc.write('/proc/sys/kernel/modprobe', '')
  assert.equal(await testDriver(1), -errno('ENOENT'))
  kernel.proc.write('/proc/sys/kernel/modprobe', MODPROBE)
  assert.equal(await testDriver(1), 0)
})

test('get_fs_type: a name that nobody has is asked for once, one with a dot by what stands before it', async () => {
  const asked = write('asked', '')
  const asks = write('modprobe-asked', `#!/bin/sh\necho "$3" >> ${asked}\nexit 1\n`, 0o755)
  kernel.proc.write('/proc/sys/kernel/modprobe', asks)
  assert.equal(await fileSystems.get('nosuch'), null)
  assert.equal(readFileSync(asked, 'utf8'), 'fs-nosuch\n')
  assert.equal(await fileSystems.get('a.b'), null)
  assert.equal(readFileSync(asked, 'utf8'), 'fs-nosuch\nfs-a\n')
  kernel.proc.write('/proc/sys/kernel/modprobe', MODPROBE)
  assert.equal(await fileSystems.get('xfs.sub'), null, 'it has no subtypes')
  assert.ok(modules.findModule('xfs'))
  assert.equal(modules.findModule('xfs')?.references, 0)
})
