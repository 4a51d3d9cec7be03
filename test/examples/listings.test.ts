/**
 * The article's two listings, ported line by line, do what the article shows.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, test } from 'node:test'
import {
  call_usermodehelper,
  call_usermodehelper_exec,
  call_usermodehelper_exec_sync,
  call_usermodehelper_freeinfo,
  call_usermodehelper_pipe,
  call_usermodehelper_setcleanup,
  call_usermodehelper_setup,
  call_usermodehelper_stdinpipe,
  call_usermodehelper_sync,
  EBUSY,
  EINVAL,
  ENOENT,
  GFP_ATOMIC,
  GFP_KERNEL,
  shutdown_default_kernel,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  usermodehelper_disable,
  usermodehelper_enable,
} from '../../src/linux.js'

after(shutdown_default_kernel)

interface Listings {
  umh_test_setup_and_exec(): Promise<number>
  umh_test(): Promise<number>
  init(): Promise<number>
  exit(): void
  readonly license: string
}

const skip = existsSync('/usr/bin/logger') ? false : 'there is no /usr/bin/logger here'
const load = async () =>
  (await import(new URL('../../../examples/umh_test.js', import.meta.url).href)) as Listings

test('listing 2, setup, then exec, runs /usr/bin/logger and gives its status', { skip }, async () => {
  assert.equal(await (await load()).umh_test_setup_and_exec(), 0)
})

test('listing 3, a single call, runs /usr/bin/logger and gives its status', { skip }, async () => {
  assert.equal(await (await load()).umh_test(), 0)
})

test('the module of both listings is a module of the kernel', { skip }, async () => {
  const module = await load()
  assert.equal(await module.init(), 0)
  module.exit()
  assert.equal(module.license, 'GPL')
})

test('the C names take vectors that end with NULL, and give the kernel’s results', async () => {
  const argv = ['sh', '-c', 'exit 2', null, 'not an argument']
  assert.equal(await call_usermodehelper('/bin/sh', argv, [null], UMH_WAIT_PROC), 2 * 256)
  assert.equal(call_usermodehelper_sync('/bin/sh', argv, null, UMH_WAIT_PROC), 2 * 256)
  assert.equal(await call_usermodehelper('/no/such', ['x', null], null, UMH_WAIT_EXEC), -ENOENT)
  assert.equal(await call_usermodehelper('/bin/true', [null], null, UMH_WAIT_PROC), -EINVAL)
})

test('setup, setcleanup, stdinpipe, exec, freeinfo, pipe', async () => {
  let cleanups = 0
  const setup = () => call_usermodehelper_setup('/bin/cat', ['cat', null], [null], GFP_ATOMIC)
  const info = setup()
  assert.ok(info)
  call_usermodehelper_setcleanup(info, () => {
    cleanups += 1
  })
  const stdin = call_usermodehelper_stdinpipe(info)
  assert.ok(typeof stdin === 'object')
  stdin.end('input')
  assert.equal(await call_usermodehelper_exec(info, UMH_WAIT_PROC), 0)
  assert.equal(cleanups, 1)
  const unused = setup()
  assert.ok(unused)
  call_usermodehelper_freeinfo(unused)
  const blocking = await call_usermodehelper_setup('/bin/true', ['true', null], null, GFP_KERNEL)
  assert.equal(call_usermodehelper_exec_sync(blocking, UMH_WAIT_PROC), 0)
  const { retval, filp } = await call_usermodehelper_pipe('/bin/cat', ['cat', null], null)
  assert.equal(retval, 0)
  filp?.end()
})

test('disabled helpers: -EBUSY', async () => {
  assert.equal(await usermodehelper_disable(), 0)
  assert.equal(await call_usermodehelper('/bin/true', ['true', null], null, UMH_WAIT_PROC), -EBUSY)
  await usermodehelper_enable()
})
