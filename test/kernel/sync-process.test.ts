import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boot } from '../../src/index.js'
import { eventually, openFds } from '../helpers/resources.js'
import { endlessHelper } from '../helpers/temporary.js'

const SIGTERM = 15

test('a program whose time is over before a khelper is free is not waited for', async () => {
  const kernel = boot({ khelpers: 1 })
  await kernel.run('true')
  const fds = openFds()
  const holds = endlessHelper()
  const held = kernel.run(holds.url, [], { reject: false })
  await eventually('the khelper is held', holds.begun)
  const spec = { path: '/bin/sleep', argv: ['sleep', '60'], envp: [], flags: 0, killSignal: SIGTERM }
  const outcome = kernel.processSync(spec, Buffer.alloc(2_000_000), 1)
  assert.deepEqual([outcome?.timedOut, outcome?.retval, outcome?.pid], [true, SIGTERM, 0])
  held.kill('SIGKILL')
  await held
  const { capacity } = kernel.stats().descriptors
  await eventually('its descriptor is back', () => kernel.stats().descriptors.available === capacity)
  await eventually('its pipe is closed', () => openFds() <= fds)
  assert.equal((await kernel.run('true')).exitCode, 0)
  await kernel.shutdown()
})
