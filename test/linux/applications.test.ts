/**
 * The C names of the applications give the kernel's numbers.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Pattern } from '../../src/applications/textsearch/index.js'
import { Kobject, Kset } from '../../src/applications/uevent/index.js'
import { UmdInfo } from '../../src/applications/usermode-driver/index.js'
import {
  add_key,
  default_kernel,
  delete_module,
  EBUSY,
  EINVAL,
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
  textsearch_get_pattern,
  textsearch_get_pattern_len,
  textsearch_next,
  textsearch_prepare,
  textsearch_register,
  try_module_get,
  try_then_request_module,
  umd_cleanup_helper,
  umd_load_blob,
  umd_unload_blob,
} from '../../src/linux.js'
import { moduleFolder } from '../helpers/modules.js'
import { alive, eventually } from '../helpers/resources.js'

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

test('text search: no more than `len` bytes of the pattern and of the text are looked at', async () => {
  const prepare = async (pattern: Pattern, len: number) => {
    const conf = await textsearch_prepare('kmp', pattern, len, 0, TS_AUTOLOAD)
    assert.ok(typeof conf === 'object')
    return conf
  }
  assert.equal(await textsearch_prepare('kmp', 'abc', 0, 0, TS_AUTOLOAD), -EINVAL)
  assert.equal(
    await textsearch_prepare('nonsense', 'abc', 0, 0, TS_AUTOLOAD),
    -EINVAL,
    'before the algorithm',
  )
  for (const [pattern, len, left] of [
    ['abc', 2, 'ab'],
    ['äb', 2, 'ä'],
    [Buffer.from('abc'), 3, 'abc'],
    [[0x61, 0x62], 1, 'a'],
  ] as const) {
    const conf = await prepare(pattern, len)
    assert.equal(Buffer.from(textsearch_get_pattern(conf)).toString(), left)
    assert.equal(textsearch_get_pattern_len(conf), len)
    textsearch_destroy(conf)
  }
  const token = { type: 0, recur: 0, value: 0x61 }
  const tokens = await textsearch_prepare('fsm', [token, token], 4, 0, TS_AUTOLOAD)
  assert.ok(typeof tokens === 'object')
  assert.equal(textsearch_get_pattern_len(tokens), 4)
  textsearch_destroy(tokens)
  const conf = await prepare('abc', 3)
  const text = Buffer.from('xxxabc')
  const state = { offset: 0 }
  assert.equal(textsearch_find_continuous(conf, state, text, 3), UINT_MAX)
  assert.equal(textsearch_find_continuous(conf, state, text, 5), UINT_MAX)
  assert.equal(textsearch_find_continuous(conf, state, text, 6), 3)
  assert.equal(textsearch_find_continuous(conf, state, text, 0), UINT_MAX)
  const beyond = { code: 'ERR_OUT_OF_RANGE', message: /"len".*6 bytes/ }
  for (const len of [7, -1, 0.5]) {
    assert.throws(() => textsearch_find_continuous(conf, state, text, len), beyond)
    await assert.rejects(textsearch_prepare('kmp', 'abcdef', len, 0, TS_AUTOLOAD), beyond)
  }
  assert.throws(() => textsearch_find_continuous(conf, state, text, '3' as never), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  assert.throws(() => textsearch_find_continuous(conf, state, 'xxxabc' as never, 3), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /"data"/,
  })
  textsearch_destroy(conf)
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

test('usermode drivers: no more than `len` bytes are the program; one that runs is ended, and started again', async () => {
  const info = new UmdInfo('driver')
  // The end of its input alone does not end it.
  const program = '#!/bin/sh\necho up; read -r line || exec /bin/sleep 60\n'
  assert.equal(umd_load_blob(info, Buffer.from(`${program}echo not this`), program.length), 0)
  for (const _ of ['once', 'and again']) {
    assert.equal(await fork_usermode_driver(info), 0)
    assert.equal(await fork_usermode_driver(info), -EBUSY)
    const { tgid, pipeFromUmh } = info
    assert.ok(tgid !== undefined && pipeFromUmh !== undefined)
    const [output] = await once(pipeFromUmh, 'data')
    assert.equal(String(output), 'up\n')
    umd_cleanup_helper(info)
    assert.deepEqual([info.tgid, info.pipeToUmh, info.pipeFromUmh], [undefined, undefined, undefined])
    await eventually('it has ended', () => !alive(tgid))
  }
  assert.equal(await fork_usermode_driver(info), 0)
  info.pipeToUmh?.end('one line\n')
  assert.equal(String(Buffer.concat((await info.pipeFromUmh?.toArray()) ?? [])), 'up\n')
  umd_cleanup_helper(info)
  umd_cleanup_helper(info)
  assert.equal(umd_unload_blob(info), 0)
})
