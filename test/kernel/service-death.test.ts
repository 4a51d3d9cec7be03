/**
 * What becomes of helpers when the service dies.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { boot, UMH_WAIT_EXEC } from '../../src/index.js'
import { alive, eventually } from '../helpers/resources.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href

/** A service that starts helpers, prints their pids and stays. */
async function service(
  options: object,
  helpers: number,
  then = '',
): Promise<{ pids: number[]; end(signal: NodeJS.Signals): Promise<void> }> {
  const source = `
    import { boot } from ${JSON.stringify(INDEX)}
    const kernel = boot(${JSON.stringify(options)})
    const helpers = Array.from({ length: ${helpers} }, () => kernel.run('sleep', ['600'], { reject: false }))
    for (const ended of Array.from({ length: 20 }, () => kernel.run('true'))) await ended
    console.log(JSON.stringify(helpers.map(({ pid }) => pid)))
    ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  const [line] = await once(child.stdout, 'data')
  return {
    pids: JSON.parse(String(line)) as number[],
    end: async signal => {
      child.kill(signal)
      await exit
    },
  }
}

test("onServiceDeath: 'kill': killed with SIGKILL while 200 helpers run, none survives it", async () => {
  const { pids, end } = await service({ onServiceDeath: 'kill' }, 200)
  assert.equal(pids.filter(alive).length, 200)
  await end('SIGKILL')
  await eventually('all helpers have gone', () => !pids.some(alive))
})

test("onServiceDeath: 'kill': process.exit() is the service's end, too", async () => {
  const { pids } = await service({ onServiceDeath: 'kill' }, 3, 'process.exit()')
  await eventually('all helpers have gone', () => !pids.some(alive))
})

test('by default they go on', async () => {
  const { pids, end } = await service({}, 2)
  await end('SIGKILL')
  assert.deepEqual(pids.map(alive), [true, true])
  for (const pid of pids) process.kill(pid)
})

test('a shutdown leaves those that are not waited for, and the watcher goes', async () => {
  const kernel = boot({ khelpers: 1, onServiceDeath: 'kill' })
  const helper = kernel.run('sleep', ['600'], { wait: UMH_WAIT_EXEC })
  const { pid } = await helper
  assert.equal((await kernel.run('true')).exitCode, 0)
  assert.ok(pid !== undefined)
  await kernel.shutdown()
  assert.equal(alive(pid), true)
  process.kill(pid)
  await eventually('it has gone', () => !alive(pid))
})

test('anything else is refused, and so is what cannot be had', () => {
  assert.throws(() => boot({ onServiceDeath: 'mourn' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => boot({ onServiceDeath: 'kill', launcher: 'child_process' }), {
    code: 'ERR_KHELPER_UNSUPPORTED',
  })
})
