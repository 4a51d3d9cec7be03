import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boot } from '../../src/index.js'
import { eventually, openFds } from '../helpers/resources.js'

const SIGTERM = 15

test('a program whose time is over before a khelper is free is not waited for', async () => {
  const kernel = boot({ khelpers: 1 })
  await kernel.run('true')
  const fds = openFds()
  const before = Array.from({ length: 300 }, () => kernel.run('true'))
  const spec = { path: '/bin/sleep', argv: ['sleep', '60'], envp: [], flags: 0, killSignal: SIGTERM }
  const outcome = kernel.processSync(spec, Buffer.alloc(2_000_000), 1)
  assert.deepEqual([outcome?.timedOut, outcome?.retval, outcome?.pid], [true, SIGTERM, 0])
  assert.ok(kernel.stats().queued > 0)
  await Promise.all(before)
  const { capacity } = kernel.stats().descriptors
  await eventually('its descriptor is back', () => kernel.stats().descriptors.available === capacity)
  await eventually('its pipe is closed', () => openFds() <= fds)
  assert.equal((await kernel.run('true')).exitCode, 0)
  await kernel.shutdown()
})
