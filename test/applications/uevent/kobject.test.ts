import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  addUeventVar,
  Kobject,
  KobjUeventEnv,
  Kset,
  UEVENT_BUFFER_SIZE,
  UEVENT_NUM_ENVP,
} from '../../../src/applications/uevent/index.js'
import { SystemError } from '../../../src/index.js'

describe('kobjects', () => {
  test('the path names every object from the top down; the kset is the parent of what has no other', () => {
    const kset = new Kset('tenants')
    const tenant = new Kobject('acme', { kset })
    assert.equal(kset.path, '/tenants')
    assert.equal(tenant.path, '/tenants/acme')
    assert.equal(tenant.parent, kset)
    assert.equal(new Kobject('disk', { parent: tenant }).path, '/tenants/acme/disk')
    assert.equal(new Kobject('disk', { parent: tenant, kset }).path, '/tenants/acme/disk')
  })

  test('a slash in a name becomes !', () => {
    assert.equal(new Kobject('cciss/c0d0').path, '/cciss!c0d0')
  })

  test('without a name there is no path, nor below it, until it is named', () => {
    const top = new Kobject(null)
    const below = new Kobject('below', { parent: top })
    assert.equal(below.path, null)
    top.name = 'top'
    assert.equal(below.path, '/top/below')
  })

  test('del: the object leaves its parent', () => {
    const object = new Kobject('a', { parent: new Kobject('top') })
    object.del()
    assert.equal(object.parent, null)
    assert.equal(object.path, '/a')
  })

  test('what cannot be is refused', () => {
    const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
    assert.throws(() => new Kobject(1 as never), wrong)
    assert.throws(() => new Kobject('a', null as never), wrong)
    assert.throws(() => new Kobject('a', { parent: {} as never }), wrong)
    assert.throws(() => new Kobject('a', { kset: new Kobject('b') as never }), wrong)
    assert.throws(() => new Kset('a', null as never), wrong)
    assert.throws(() => new Kset('a', { filter: true as never }), wrong)
    assert.throws(() => new Kset('a', { name: 'x' as never }), wrong)
    assert.throws(() => new Kset('a', { uevent: {} as never }), wrong)
    assert.throws(() => new Kobject(''), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.throws(() => new Kobject('a\0b'), { code: 'ERR_INVALID_ARG_VALUE' })
  })
})

describe('addUeventVar', () => {
  test('64 variables fit, the 65th gives ENOMEM and is not there', () => {
    const env = new KobjUeventEnv()
    for (let index = 0; index < UEVENT_NUM_ENVP; index += 1) addUeventVar(env, `K${index}=`)
    assert.throws(() => addUeventVar(env, 'K64='), { code: 'ENOMEM', retval: -12 })
    assert.equal(env.variables.length, 64)
  })

  test('2048 bytes fit with the NUL of each, one more gives ENOMEM', () => {
    const exact = new KobjUeventEnv()
    addUeventVar(exact, `K=${'x'.repeat(UEVENT_BUFFER_SIZE - 3)}`)
    assert.equal(exact.room, 0)
    assert.throws(() => addUeventVar(exact, 'A='), { code: 'ENOMEM' })
    assert.throws(() => addUeventVar(new KobjUeventEnv(), `K=${'x'.repeat(UEVENT_BUFFER_SIZE - 2)}`), {
      code: 'ENOMEM',
    })
  })

  test('bytes are counted, not characters', () => {
    assert.throws(() => addUeventVar(new KobjUeventEnv(), `K=${'é'.repeat(1023)}`), { code: 'ENOMEM' })
  })

  test('as many variables are taken as Linux would take', () => {
    const variable = fc.tuple(
      fc.stringMatching(/^[A-Z_]{1,8}$/),
      fc.string({ maxLength: 200 }).filter(text => !text.includes('\0')),
    )
    fc.assert(
      fc.property(fc.array(variable, { maxLength: 80 }), pairs => {
        const env = new KobjUeventEnv()
        const expected: string[] = []
        let length = 0
        for (const [key, value] of pairs) {
          const text = `${key}=${value}`
          const bytes = Buffer.byteLength(text) + 1
          const fits = expected.length < 64 && length + bytes <= 2048
          try {
            addUeventVar(env, text)
            assert.ok(fits)
            expected.push(text)
            length += bytes
          } catch (error) {
            assert.ok(error instanceof SystemError && error.code === 'ENOMEM', String(error))
            assert.ok(!fits)
          }
        }
        assert.deepEqual(env.variables, expected)
        assert.equal(env.room, 2048 - length)
      }),
    )
  })

  test('what is no variable is refused, and its value not shown', () => {
    const env = new KobjUeventEnv()
    assert.throws(() => addUeventVar(env, '=secret'), /^TypeError(?!.*secret)/)
    assert.throws(() => addUeventVar(env, 'secret'), /^TypeError(?!.*secret)/)
    assert.throws(() => addUeventVar(env, 'K=secret\0'), /^TypeError(?!.*secret)/)
    assert.throws(() => addUeventVar(env, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.throws(() => addUeventVar({} as never, 'K=v'), { code: 'ERR_INVALID_ARG_TYPE' })
  })
})
