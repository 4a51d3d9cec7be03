import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  boot,
  UMH_DISABLED,
  UMH_ENABLED,
  UMH_FREEZING,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
} from '../../src/index.js'
import { errno } from '../../src/libc/index.js'
import { eventually } from '../helpers/resources.js'

const call = (kernel: ReturnType<typeof boot>, wait: number, seconds = '60') =>
  kernel.callUsermodehelper('/bin/sleep', ['sleep', seconds], [], wait)

test('disabled: every call gets -EBUSY; one enable undoes any number of disables', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(await kernel.usermodehelperDisable(), 0)
  assert.equal(await kernel.usermodehelperDisable(), 0)
  for (const wait of [UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC]) {
    assert.equal(await call(kernel, wait), -errno('EBUSY'))
  }
  await kernel.usermodehelperEnable()
  assert.equal(await call(kernel, UMH_WAIT_PROC, '0'), 0)
})

test('a waiting helper that goes on: -EAGAIN after 5 s, calls meanwhile -EBUSY, then enabled again', async () => {
  await using kernel = boot({ khelpers: 1 })
  const helper = kernel.run('sleep', ['60'], { reject: false })
  assert.ok(helper.pid)
  const disabling = kernel.usermodehelperDisable()
  await eventually('it is disabled', () => kernel.stats().running === 1)
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(await call(kernel, UMH_WAIT_PROC), -errno('EBUSY'))
  assert.equal(await disabling, -errno('EAGAIN'))
  assert.equal(await call(kernel, UMH_WAIT_PROC, '0'), 0)
  helper.kill('SIGKILL')
  await helper
})

test('helpers that nobody waits for are not waited for', async () => {
  await using kernel = boot({ khelpers: 1 })
  const { pid } = await kernel.run('sleep', ['60'], { wait: UMH_WAIT_EXEC })
  await call(kernel, UMH_NO_WAIT, '0')
  assert.equal(await kernel.usermodehelperDisable(), 0)
  process.kill(Number(pid), 'SIGKILL')
})

test('disable waits for callers that end in time', async () => {
  await using kernel = boot({ khelpers: 1 })
  const ended = call(kernel, UMH_WAIT_PROC, '0.2')
  assert.equal(await kernel.usermodehelperDisable(), 0)
  assert.equal(await ended, 0)
})

test('disable with depth ENABLED: -EINVAL, state unchanged', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(await kernel.usermodehelperDisable(UMH_ENABLED), -errno('EINVAL'))
  assert.equal(await call(kernel, UMH_WAIT_PROC, '0'), 0)
  await assert.rejects(kernel.usermodehelperDisable(3 as never), { code: 'ERR_OUT_OF_RANGE' })
})

test('readTrylock: 0 while enabled, -EAGAIN while disabled, waits while freezing', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(await kernel.usermodehelperReadTrylock(), 0)
  kernel.usermodehelperReadUnlock()
  await kernel.usermodehelperSetDisableDepth(UMH_DISABLED)
  assert.equal(await kernel.usermodehelperReadTrylock(), -errno('EAGAIN'))
  assert.throws(() => kernel.usermodehelperReadUnlock(), { code: 'ERR_OUT_OF_RANGE' })
  await kernel.usermodehelperSetDisableDepth(UMH_FREEZING)
  const waiting = kernel.usermodehelperReadTrylock()
  assert.equal(
    await Promise.race([waiting, new Promise(resolve => setTimeout(resolve, 30, 'waits'))]),
    'waits',
  )
  await kernel.usermodehelperEnable()
  assert.equal(await waiting, 0)
  kernel.usermodehelperReadUnlock()
})

test('a read lock holds off disable', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(await kernel.usermodehelperReadTrylock(), 0)
  const disabling = kernel.usermodehelperDisable()
  assert.equal(
    await Promise.race([disabling, new Promise(resolve => setTimeout(resolve, 30, 'waits'))]),
    'waits',
  )
  assert.equal(await call(kernel, UMH_WAIT_PROC, '0'), 0)
  kernel.usermodehelperReadUnlock()
  assert.equal(await disabling, 0)
})

test('readLockWait: -EINVAL, the whole timeout, the quirk of timeout 0, 0 without the lock', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(await kernel.usermodehelperReadLockWait(-1), -errno('EINVAL'))
  assert.equal(await kernel.usermodehelperReadLockWait(500), 500)
  kernel.usermodehelperReadUnlock()
  assert.equal(await kernel.usermodehelperReadLockWait(0), 0)
  kernel.usermodehelperReadUnlock()
  await kernel.usermodehelperDisable()
  assert.equal(await kernel.usermodehelperReadLockWait(10), 0)
  assert.throws(() => kernel.usermodehelperReadUnlock(), { code: 'ERR_OUT_OF_RANGE' })
  const waiting = kernel.usermodehelperReadLockWait(60_000)
  await kernel.usermodehelperEnable()
  const left = await waiting
  assert.ok(left > 0 && left <= 60_000)
  kernel.usermodehelperReadUnlock()
})
