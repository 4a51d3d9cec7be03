/**
 * When descriptors have run out, helpers are disabled or a khelper dies: what has to end ends, and what failed for want of
 * something succeeds when that is there again.
 */
import assert from 'node:assert/strict'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { after, test } from 'node:test'
import { boot, type HelperError, Keyring, UMH_DISABLED } from '../../src/index.js'
import { awaitExec } from '../../src/kernel/await-exec.js'
import type { Kernel } from '../../src/kernel/kernel.js'
import { Memory, Slot, type SlotIndex, SlotState } from '../../src/kernel/memory.js'
import { errno } from '../../src/libc/index.js'
import { eventually, openFds } from '../helpers/resources.js'
import { inThreadHelper } from '../helpers/temporary.js'

const RLIMIT_NOFILE = 7

/** Takes every descriptor that this process may have, but for `left` of them. @returns gives them back */
function exhaust(kernel: Kernel, left = 0): () => void {
  const { libc } = kernel
  assert.ok(libc, 'needs the launcher posix_spawn')
  const setrlimit = libc.library.func('int setrlimit(int, void *)')
  const before = new BigUint64Array(2)
  libc.library.func('int getrlimit(int, void *)')(RLIMIT_NOFILE, before)
  const highest = Math.max(...readdirSync('/proc/self/fd').map(Number))
  setrlimit(RLIMIT_NOFILE, new BigUint64Array([BigInt(highest + 20), before[1] ?? 0n]))
  const opened: number[] = []
  try {
    for (;;) opened.push(openSync('/dev/null', 'r'))
  } catch {
    // EMFILE, as wanted.
  }
  for (const fd of opened.splice(0, left)) closeSync(fd)
  const release = () => {
    setrlimit(RLIMIT_NOFILE, before)
    for (const fd of opened.splice(0)) closeSync(fd)
  }
  after(release)
  return release
}

test('an in-thread helper that could not be read is EMFILE, and is there when descriptors are', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  await kernel.run('/bin/true')
  const helper = inThreadHelper('export default () => 0')
  const release = exhaust(kernel)
  const failed = await kernel.run(helper, [], { stderr: 'ignore' }).catch((error: HelperError) => error)
  release()
  assert.equal((failed as HelperError).code, 'EMFILE')
  // On the thread that has failed Node would give the same error for ever.
  assert.equal((await kernel.run(helper)).exitCode, 0)
})

test('a khelper that dies without a descriptor is replaced when there are some, and Node leaks none meanwhile', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  const exits = inThreadHelper('export default () => process.exit(3)')
  assert.equal((await kernel.run(exits, [], { reject: false })).exitCode, 3)
  await eventually('there is one', () => kernel.stats().khelpers === 1)
  await kernel.run('/bin/true')
  const before = openFds()
  const release = exhaust(kernel)
  // Whether it gets as far as its exit depends on what its thread has open already.
  await kernel.run(exits, [], { reject: false })
  await new Promise(resolve => setTimeout(resolve, 200))
  release()
  await kernel.run('/bin/true')
  await eventually('as many descriptors as before', () => openFds() <= before)
})

test('a kernel that is booted when there are descriptors for itself and not for its threads gets them later', async () => {
  const other = boot({ khelpers: 1 })
  after(() => other.shutdown())
  await other.run('/bin/true')
  const before = openFds()
  const release = exhaust(other, 4)
  const kernel = boot({ khelpers: 1 })
  release()
  assert.equal((await kernel.run('/bin/true')).exitCode, 0)
  await kernel.shutdown()
  await eventually('as many descriptors as before', () => openFds() <= before)
})

test('a helper times out while no descriptor is left to look for its descendants', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  // The threads are up: coming up takes descriptors.
  await kernel.run('/bin/true')
  const helper = kernel.run('/bin/sleep', ['60'], { timeout: 50, forceKillAfter: false, reject: false })
  assert.ok(helper.pid)
  const release = exhaust(kernel)
  const { timedOut, signalCode } = await helper
  release()
  assert.deepEqual({ timedOut, signalCode }, { timedOut: true, signalCode: 'SIGTERM' })
})

test('a helper times out while helpers are disabled: its end is what that waits for', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  const helper = kernel.run('/bin/sleep', ['60'], { timeout: 100, forceKillAfter: false, reject: false })
  assert.ok(helper.pid)
  assert.equal(await kernel.usermodehelperDisable(UMH_DISABLED), 0)
  assert.equal((await helper).signalCode, 'SIGTERM')
})

test('a folder for secrets that was made without a free descriptor is not taken for a dead service’s', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  await kernel.run('/bin/true')
  const release = exhaust(kernel)
  const keys = new Keyring({ token: 'secret' })
  assert.equal((await kernel.run('/bin/true', [], { keys, reject: false })).retval, -errno('EMFILE'))
  release()
  await boot({ khelpers: 1 }).shutdown()
  const { stdout } = await kernel.run('sh', ['-c', 'cat "$CREDENTIALS_DIRECTORY/token"'], { keys })
  assert.equal(stdout, 'secret')
})

test('secrets whose folder could not be removed are removed later, and the calls behind them end', async () => {
  const kernel = boot({ khelpers: 1 })
  const root = (): string | undefined =>
    readdirSync('/dev/shm').find(name => name.startsWith(`khelper-credentials-${process.pid}-`))
  // The threads are up: coming up takes descriptors.
  await kernel.run('/bin/true')
  const helper = kernel.run('/bin/cat', [], { stdin: 'pipe', keys: new Keyring({ a: 'b' }) })
  assert.ok(helper.pid)
  const release = exhaust(kernel)
  helper.stdin?.end()
  const { exitCode } = await helper.catch(error => error)
  release()
  assert.equal(exitCode, 0)
  assert.equal((await kernel.run('/bin/true')).exitCode, 0)
  await kernel.shutdown()
  assert.equal(root(), undefined)
})

test('nobody waits for the exec of a call that was withdrawn', () => {
  const memory = Memory.create({ descriptors: 1, pages: 1, khelpers: 1 })
  const slot = 0 as SlotIndex
  Atomics.store(memory.words, memory.slot(slot) + Slot.STATE, SlotState.CANCELLED)
  assert.equal(
    awaitExec(
      memory,
      slot,
      () => assert.fail('it waits'),
      () => {},
    ),
    true,
  )
})
