import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { KOBJECT_ACTIONS, Kobject, Kset, uevents } from '../../../src/applications/uevent/index.js'
import { boot, SystemError } from '../../../src/index.js'

const UUID = 'fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed'

describe('synthesize', () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  const object = new Kobject('acme', { kset: new Kset('tenants') })
  /** The event's SYNTH_ variables. */
  const synthesized = async (text: string): Promise<Record<string, string>> => {
    const listener = uevents(kernel).events()
    try {
      uevents(kernel).synthesize(object, text)
      const { value } = await listener.next()
      return Object.fromEntries(
        Object.entries({ ACTION: '', ...value?.env }).filter(([key]) => /^(ACTION|SYNTH_.*)$/.test(key)),
      )
    } finally {
      await listener.return()
    }
  }

  test('an action alone: SYNTH_UUID=0', async () => {
    assert.deepEqual(await synthesized('add'), { ACTION: 'add', SYNTH_UUID: '0' })
  })

  test('one line feed or NUL at the end means nothing, two are an error', async () => {
    assert.deepEqual(await synthesized('change\n'), { ACTION: 'change', SYNTH_UUID: '0' })
    assert.deepEqual(await synthesized('change\0'), { ACTION: 'change', SYNTH_UUID: '0' })
    assert.deepEqual(await synthesized(`change ${UUID}\n`), { ACTION: 'change', SYNTH_UUID: UUID })
    await assert.rejects(synthesized('change\n\n'), { code: 'EINVAL' })
  })

  test('a UUID and arguments', async () => {
    assert.deepEqual(await synthesized(`add ${UUID} A=1 bc=D2`), {
      ACTION: 'add',
      SYNTH_UUID: UUID,
      SYNTH_ARG_A: '1',
      SYNTH_ARG_bc: 'D2',
    })
  })

  for (const text of [
    '',
    '\n',
    'ad',
    'adds',
    'ADD',
    ' add',
    'add ',
    'add \n',
    `add  ${UUID}`,
    `add ${UUID} `,
    `add ${UUID}x`,
    `add ${UUID}A=1`,
    `add ${UUID}xA=1`,
    `add ${UUID} A`,
    `add ${UUID} A=`,
    `add ${UUID} =1`,
    `add ${UUID} A=1 `,
    `add ${UUID} A=1  B=2`,
    `add ${UUID} A_B=1`,
    `add ${UUID} A=1=2`,
    `add ${UUID} A=é`,
    `add ${UUID.slice(0, -1)}`,
    `add ${UUID.replace('f', 'g')}`,
    `add ${UUID.replace('-', '0')}`,
    `add A=1`,
    `add ${UUID} ${Array.from({ length: 64 }, (_, index) => `K${index}=1`).join(' ')}`,
    `add ${UUID} A=${'x'.repeat(2048)}`,
  ]) {
    test(`EINVAL: ${JSON.stringify(text.slice(0, 60))}`, async () => {
      const { seqnum } = uevents(kernel)
      await assert.rejects(synthesized(text), { code: 'EINVAL', retval: -22 })
      assert.equal(uevents(kernel).seqnum, seqnum)
    })
  }

  test('no text does anything but give its event or EINVAL', async () => {
    const part = fc.oneof(
      fc.constantFrom(...KOBJECT_ACTIONS, UUID, ' ', '=', '\n', '\0', 'A=1', 'key=value'),
      fc.string({ maxLength: 4 }),
    )
    const grammar = new RegExp(
      `^(${KOBJECT_ACTIONS.join('|')})( [0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}( [0-9A-Za-z]+=[0-9A-Za-z]+)*)?[\\n\\0]?$`,
    )
    const valid = fc
      .tuple(
        fc.constantFrom(...KOBJECT_ACTIONS),
        fc.uuid(),
        fc.array(fc.stringMatching(/^[0-9A-Za-z]{1,5}=[0-9A-Za-z]{1,5}$/), { maxLength: 5 }),
      )
      .map(words => words.flat().join(' '))
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          valid,
          fc.array(part, { maxLength: 6 }).map(parts => parts.join('')),
        ),
        async text => {
          try {
            await synthesized(text)
            assert.match(text, grammar)
          } catch (error) {
            assert.ok(error instanceof SystemError && error.code === 'EINVAL', String(error))
            assert.doesNotMatch(text, grammar)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  test('what is no text is refused', () => {
    assert.throws(() => uevents(kernel).synthesize(object, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.throws(() => uevents(kernel).synthesize({} as never, 'add'), { code: 'ERR_INVALID_ARG_TYPE' })
  })
})
