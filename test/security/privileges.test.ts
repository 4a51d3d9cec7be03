/**
 * A service's own privileges: it may give them up at any moment, and stays as open to those who may trace it as it was.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boot } from '../../src/index.js'
import { loadLibrary } from '../../src/libc/library.js'
import { AS_HELPER, LONGEST, SERVICE, serve, skipped } from './scene.js'

const PR_GET_DUMPABLE = 3
const SERVICES = 20

test('a service that becomes another user at any moment of launches: it does, with all of its threads', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const one = (moment: number) =>
    serve(`
      let go = true
      const after = { launches: 0 }
      const loop = async () => { while (go) { await kernel.run('true', [], OTHER).catch(() => {}); after.launches += 1 } }
      const loops = [loop(), loop(), loop()]
      // So many launches, and so much of the next.
      while (after.launches < ${1 + (moment % 5)}) await new Promise(setImmediate)
      for (let turn = 0; turn < ${moment * 5}; turn += 1) await new Promise(setImmediate)
      process.setgroups([])
      process.setgid(${SERVICE})
      process.setuid(${SERVICE})
      go = false
      await Promise.all(loops)
      const refused = await kernel.run('true', [], OTHER).catch(error => error.code)
      const { stdout } = await kernel.run('sh', ['-c', 'umask; id -u'], { umask: 0o27, env: OTHER.env })
      tell({ users: usersOfThreads(), refused, stdout })`)
  const own = Array.from({ length: 4 }, () => SERVICE).join(' ')
  const told = { users: [`Gid ${own}`, `Uid ${own}`], refused: 'EPERM', stdout: `0027\n${SERVICE}\n` }
  for (let moment = 0; moment < SERVICES; moment += 2) {
    for (const ended of await Promise.all([one(moment), one(moment + 1)])) {
      assert.deepEqual(ended, { told, code: 0, signal: null })
    }
  }
})

test('it stays dumpable before, during and after eight launches at once', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  await using kernel = boot({ khelpers: 8 })
  const prctl = loadLibrary().func(
    'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
  )
  const seen = new Set<number>()
  let looks = 0
  const look = (): void => {
    for (let times = 0; times < 200; times += 1) seen.add(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
    looks += 1
  }
  const before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
  for (let round = 0; round < 20; round += 1) {
    let ended = false
    const launches = Promise.all(Array.from({ length: 8 }, () => kernel.run('true', [], AS_HELPER)))
    launches.finally(() => {
      ended = true
    })
    while (!ended) {
      look()
      await new Promise(setImmediate)
    }
    await launches
  }
  assert.ok(looks > 0)
  assert.deepEqual([before, [...seen], prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)], [1, [1], 1])
})
