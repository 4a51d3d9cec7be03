import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boot } from '../../../src/index.js'

const FULL = '4294967295\t511\n'

for (const name of ['bset', 'inheritable']) {
  const path = `/proc/sys/kernel/usermodehelper/${name}`

  test(`${name} is Linux's full set, and can be written back as it is`, async () => {
    await using kernel = boot({ khelpers: 1 })
    assert.equal(kernel.proc.read(path), FULL)
    for (const same of [
      FULL,
      '4294967295 4294967295',
      '0xffffffff 0x1ff',
      ' 037777777777\t0777 ',
      '4294967295',
    ]) {
      kernel.proc.write(path, same)
      assert.equal(kernel.proc.read(path), FULL, same)
    }
    kernel.proc.write(path, '010 0x10')
    assert.equal(kernel.proc.read(path), '8\t16\n', 'a leading 0 is octal, as in the integers beside it')
  })

  test(`${name}: what is no set of capabilities changes nothing`, async () => {
    await using kernel = boot({ khelpers: 1 })
    for (const data of ['', ' \n', '1 2 3', 'x', '1 x', '09', '-1', '4294967296', '0x']) {
      assert.throws(() => kernel.proc.write(path, data), { code: 'EINVAL', path }, JSON.stringify(data))
    }
    assert.equal(kernel.proc.read(path), FULL)
  })
}

test('the set as one number has the 41 capabilities of Linux, and takes 64 bits', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal(kernel.usermodehelperBset, 0x1ff_ffff_ffffn)
  kernel.usermodehelperBset = 0xffff_ffff_ffff_ffffn
  assert.equal(kernel.usermodehelperBset, 0x1ff_ffff_ffffn)
})
