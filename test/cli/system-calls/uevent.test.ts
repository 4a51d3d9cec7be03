import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { khelper } from '../../helpers/command.js'
import { moduleFolder } from '../../helpers/modules.js'
import { eventually } from '../../helpers/resources.js'
import { type Service, startService } from '../../helpers/service.js'

const UEVENT = new URL('../../../src/applications/uevent/index.js', import.meta.url).href
const UUID = 'fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed'

let service: Service
before(async () => {
  service = await startService(`
    import { uevents } from '${UEVENT}'
    const listener = uevents(kernel).events()
    void (async () => { for await (const { action, devpath, env } of listener) console.log('event', action, devpath, env.SYNTH_ARG_COUNT ?? '-') })()`)
})
after(() => service.stop())

const uevent = (...args: string[]) => khelper(['uevent', '--socket', service.socket, ...args])

test('a module’s coming and going are events, and it can be made to send one again', async () => {
  const file = join(
    moduleFolder({
      'tells.js': `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`,
    }),
    'tells.js',
  )
  assert.equal(khelper(['insmod', '--socket', service.socket, file]).status, 0)
  await eventually('add', () => service.output().includes('event add /module/tells -'))
  assert.equal(uevent('/module/tells', 'change', UUID, 'COUNT=3').status, 0)
  await eventually('change', () => service.output().includes('event change /module/tells 3'))
  assert.equal(khelper(['rmmod', '--socket', service.socket, 'tells']).status, 0)
  await eventually('remove', () => service.output().includes('event remove /module/tells -'))
})

test('an event that cannot be', () => {
  for (const [args, expected] of [
    [['/module/none', 'change'], /ENOENT/],
    [['module', 'change'], /EINVAL: the path of an object begins with a slash/],
    [['/module/../../proc/sys/kernel/modprobe', 'change'], /ENOENT/],
  ] as const) {
    const { status, stderr } = uevent(...args)
    assert.equal(status, 1)
    assert.match(stderr, expected)
  }
})
