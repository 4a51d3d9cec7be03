import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { khelper } from '../../helpers/command.js'
import { moduleFolder } from '../../helpers/modules.js'
import { type Service, startService } from '../../helpers/service.js'

const MODULE = `
  export const license = 'GPL'
  export const params = { whom: { type: 'charp', perm: 0o644 } }
  export const init = () => 0
  export const exit = () => {}`

let service: Service
before(async () => {
  service = await startService()
})
after(() => service.stop())

const sysctl = (...args: string[]) => khelper(['sysctl', '--socket', service.socket, ...args])

test('a value is shown by its name, and set', () => {
  assert.equal(sysctl('kernel.core_pattern').stdout, 'kernel.core_pattern = core\n')
  assert.equal(sysctl('-n', 'kernel/core_pattern').stdout, 'core\n')
  assert.equal(sysctl('kernel.hotplug=/sbin/hotplug').stdout, 'kernel.hotplug = /sbin/hotplug\n')
  assert.match(sysctl('-a').stdout, /^kernel\.hotplug = \/sbin\/hotplug$/m)
})

test('parameters of a module are shown and set by their paths', () => {
  const file = join(moduleFolder({ 'ok.js': MODULE }), 'ok.js')
  assert.equal(khelper(['insmod', '--socket', service.socket, file, 'whom=world']).status, 0)
  const path = '/sys/module/ok/parameters/whom'
  assert.equal(sysctl(path).stdout, `${path} = world\n`)
  assert.equal(sysctl(`${path}=you`).stdout, `${path} = you\n`)
  assert.match(sysctl('/proc/modules').stdout, /^\/proc\/modules = ok /)
})

test('one that is not there is told, and the others are shown', () => {
  const { status, stdout, stderr } = sysctl('kernel.none', 'kernel.core_pattern')
  assert.equal(status, 1)
  assert.equal(stdout, 'kernel.core_pattern = core\n')
  assert.match(stderr, /ENOENT.*kernel\/none/)
})

test('without a name it says that one is missing', () => {
  const { status, stderr } = sysctl()
  assert.equal(status, 1)
  assert.match(stderr, /which values\?.*-a/)
})
