import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Cgroups, cgroups } from '../../../src/applications/cgroup/cgroups.js'
import type { CgroupRoots } from '../../../src/applications/cgroup/types.js'
import { boot } from '../../../src/index.js'
import { alive, eventually } from '../../helpers/resources.js'
import { temporary } from '../../helpers/temporary.js'
import { machine } from './machine.js'

let serial = 0
const SLEEP = 'sleep 1000'

/** A helper with a child, one in a session of its own, and one whose parents have gone; it tells their pids. */
function tree() {
  serial += 1
  const file = temporary(`pids-${serial}`)
  const tell = `echo $$ >> ${file}; exec ${SLEEP}`
  const script = `
    sh -c '${tell}' &
    setsid sh -c '${tell}' &
    (setsid sh -c 'sh -c "echo \\$\\$ >> ${file}; exec ${SLEEP}" & exit' &)
    ${SLEEP}`
  const pids = () => {
    try {
      return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number)
    } catch {
      return []
    }
  }
  return { script, pids }
}

test('a group that is none of the system’s: all helpers below it with all their descendants', async () => {
  await using kernel = boot({ khelpers: 2 })
  const groups = cgroups(kernel)
  const outer = groups.create('/outer', { real: false })
  const inner = groups.create('/outer/inner', { real: false })
  const other = groups.create('/other', { real: false })
  const trees = [tree(), tree()] as const
  const options = { stdout: 'ignore', stderr: 'ignore', reject: false } as const
  const helpers = [
    outer.run('sh', ['-c', trees[0].script], options),
    inner.run('sh', ['-c', trees[1].script], options),
  ]
  const spared = other.run('cat', [], { stdin: 'pipe' })
  await eventually('all have started', () => trees.every(({ pids }) => pids().length === 3))
  await outer.kill()
  for (const helper of helpers) assert.equal((await helper).signalCode, 'SIGKILL')
  for (const { pids } of trees) {
    await eventually('descendants have ended', () => pids().every(pid => !alive(pid)))
  }
  assert.equal(other.counts.running, 1)
  spared.stdin?.end()
  await spared
  await outer.kill()
  assert.deepEqual(outer.counts, { running: 0, subtree: 0, started: 1, failed: 1 })
})

const { v1, ...onlyV2 } = machine.roots
for (const [kind, roots, skip] of [
  ['v2', onlyV2, machine.noV2],
  ['v1', { v1: { ...(v1?.pids !== undefined && { pids: v1.pids }) } }, machine.noV1],
] as [string, CgroupRoots, string | false][]) {
  test(`a group of ${kind}: descendants of helpers that have ended, too; until then it is EBUSY`, {
    skip,
  }, async () => {
    await using kernel = boot({ khelpers: 2 })
    const groups = new Cgroups(kernel, roots)
    const outer = groups.create('/outer')
    assert.equal(outer.real, kind)
    const inner = groups.create('/outer/inner')
    const trees = [tree(), tree()] as const
    const options = { stdout: 'ignore', stderr: 'ignore', reject: false } as const
    const left = outer.run('sh', ['-c', trees[0].script.replace(/sleep 1000$/, 'exit')], options)
    const running = inner.run('sh', ['-c', trees[1].script], options)
    await eventually('all have started', () => trees.every(({ pids }) => pids().length === 3))
    assert.equal((await left).exitCode, 0)
    await inner.kill()
    assert.equal((await running).signalCode, 'SIGKILL')
    assert.ok(trees[1].pids().every(pid => !alive(pid)))
    assert.ok(trees[0].pids().every(alive))
    groups.remove('/outer/inner')
    assert.throws(() => groups.remove('/outer'), { code: 'EBUSY', message: /descendants/ })
    await outer.run('true')
    await groups.root.kill()
    assert.ok(trees[0].pids().every(pid => !alive(pid)))
    groups.remove('/outer')
  })
}

test('a killed group: nothing of it is alive, and its helper is reaped; orphans are process 1’s to reap', {
  skip: machine.noLimits,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  const group = new Cgroups(kernel).create('/x', { 'pids.max': 20 })
  const script = 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & echo $!; done; echo; wait; wait'
  const helper = group.run('sh', ['-c', script], { stdout: 'pipe', reject: false })
  let said = ''
  helper.stdout?.setEncoding('utf8').on('data', text => {
    said += text
  })
  await eventually('all have started', () => said.endsWith('\n\n'))
  const pids = said.trim().split('\n').map(Number)
  assert.equal(pids.length, 8)
  const { pid } = helper
  await group.kill()
  assert.deepEqual(pids.filter(alive), [])
  // The helper's zombie is khelper's to reap, and has been.
  assert.ok(pid !== undefined && !existsSync(`/proc/${pid}`))
})

test('a helper that waits in the queue is withdrawn', async () => {
  await using kernel = boot({ khelpers: 1, enabled: true })
  const group = cgroups(kernel).create('/x', { real: false })
  const helpers = Array.from({ length: 200 }, () => group.run('sleep', ['1000'], { reject: false }))
  await group.kill()
  for (const helper of helpers) assert.notEqual((await helper).retval, 0)
  assert.equal(group.counts.running, 0)
})
