/**
 * The C names of the applications give the kernel's numbers.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Kobject, Kset } from '../../src/applications/uevent/index.js'
import { UmdInfo } from '../../src/applications/usermode-driver/index.js'
import {
  add_key,
  default_kernel,
  delete_module,
  ENOENT,
  find_module,
  fork_usermode_driver,
  init_module,
  key_link,
  key_unlink,
  key_validate,
  keyctl,
  kobject_synth_uevent,
  kobject_uevent,
  module_put,
  O_TRUNC,
  request_key,
  request_module,
  request_module_nowait,
  shutdown_default_kernel,
  textsearch_destroy,
  textsearch_find_continuous,
  textsearch_get_pattern_len,
  textsearch_next,
  textsearch_prepare,
  textsearch_register,
  try_module_get,
  try_then_request_module,
  umd_load_blob,
  umd_unload_blob,
} from '../../src/linux.js'
import { moduleFolder } from '../helpers/modules.js'

after(shutdown_default_kernel)

const TS_AUTOLOAD = 1
const UINT_MAX = 0xffff_ffff

test('modules: init_module, delete_module, references, request_module', async () => {
  const folder = moduleFolder({ 'c_module.js': `export const license = 'GPL'; export const init = () => 0` })
  const file = join(folder, 'c_module.js')
  assert.equal(await init_module(file), 0)
  assert.equal(await init_module(file), -17)
  const module = find_module('c_module')
  assert.equal(try_module_get(module), true)
  assert.equal(await delete_module('c_module', O_TRUNC), 0)
  assert.equal(try_module_get(module), false)
  assert.equal(await delete_module('c_module'), -ENOENT)
  assert.equal(try_module_get(null), true)
  module_put(null)
  assert.equal(await request_module('nobody-knows'), 256)
  assert.equal(await request_module_nowait('nobody-knows'), 0)
  assert.equal(await try_then_request_module(() => 'there', 'any'), 'there')
})

test('text search: an algorithm is loaded on demand, and found again by its module', async () => {
  assert.equal(await textsearch_prepare('kmp', '', 0, 0, TS_AUTOLOAD), -22)
  assert.equal(await textsearch_prepare('nonsense', 'x', 1, 0, TS_AUTOLOAD), -ENOENT)
  const conf = await textsearch_prepare('kmp', 'aa', 2, 0, TS_AUTOLOAD)
  assert.ok(typeof conf === 'object')
  assert.equal(textsearch_get_pattern_len(conf), 2)
  assert.equal(find_module('ts_kmp')?.references, 1, 'held until the configuration is destroyed')
  assert.equal(await delete_module('ts_kmp'), -11)
  const state = { offset: 0 }
  assert.equal(textsearch_find_continuous(conf, state, Buffer.from('aaaa')), 0)
  assert.equal(textsearch_next(conf, state), 2)
  assert.equal(textsearch_next(conf, state), UINT_MAX)
  textsearch_destroy(conf)
  assert.equal(await delete_module('ts_kmp'), 0)
  assert.equal(textsearch_register({} as never), -22)
})

test('events', () => {
  const kset = new Kset('disks')
  const disk = new Kobject('sda', { kset })
  assert.equal(kobject_uevent(disk, 'add'), 0)
  assert.equal(kobject_synth_uevent(disk, 'nonsense'), -22)
  assert.equal(kobject_uevent(new Kobject('lonely'), 'add'), -22)
  default_kernel().proc.write('/sys/disks/sda/uevent', 'change')
  disk.del()
  assert.throws(() => default_kernel().proc.write('/sys/disks/sda/uevent', 'change'), { code: 'ENOENT' })
})

test('keys', async () => {
  const ring = Number(await keyctl('newring', 'mine', -4))
  assert.ok(ring > 0)
  const serial = await add_key('user', 'password', 'secret', ring)
  assert.ok(serial > 0)
  const key = await request_key('user', 'password', null)
  assert.ok(typeof key === 'object')
  assert.equal(key_validate(key), 0)
  assert.equal(await request_key('user', 'not there', null), -126)
  assert.equal(await key_link(ring, serial), 0)
  assert.equal(key_unlink(ring, serial), 0)
  assert.equal(key_unlink(ring, serial), -126, 'nobody held it any more: it has gone')
  assert.equal(await keyctl('nonsense'), -95)
})

test('usermode drivers', async () => {
  const info = new UmdInfo('driver')
  assert.equal(await fork_usermode_driver(info), -22)
  assert.equal(umd_load_blob(info, Buffer.from('#!/no/such/interpreter\n')), 0)
  assert.equal(umd_load_blob(info, Buffer.from('x')), -16)
  assert.equal(await fork_usermode_driver(info), -ENOENT)
  assert.equal(umd_unload_blob(info), 0)
  assert.equal(umd_unload_blob(info), -22)
})
