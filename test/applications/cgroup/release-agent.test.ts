import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { cgroups, type GroupOptions } from '../../../src/applications/cgroup/index.js'
import { boot } from '../../../src/index.js'
import { eventually } from '../../helpers/resources.js'
import { temporary, write } from '../../helpers/temporary.js'

const BARE: GroupOptions = { real: false, notifyOnRelease: true }
let agents = 0

/** A script that writes down what it is told, a line each time. */
function agent(line = '$1') {
  agents += 1
  const log = temporary(`agent-${agents}.log`)
  const path = write(`agent-${agents}.sh`, `#!/bin/sh\necho "${line}" >> ${log}\n`, 0o755)
  const told = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [])
  return { path, told, forget: () => rmSync(log, { force: true }) }
}

test('the last helper leaves: the agent is run with its own name and the path of the group', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent('$0|$*|$HOME|$PATH|$(env | cut -d= -f1 | sort | tr "\\n" " ")')
  groups.releaseAgent = path
  groups.create('/a', BARE)
  const group = groups.create('/a/b c', BARE)
  const helpers = [group.run('cat', [], { stdin: 'pipe' }), group.run('cat', [], { stdin: 'pipe' })]
  helpers[0]?.stdin?.end()
  await helpers[0]
  await kernel.flush()
  assert.deepEqual(told(), [])
  helpers[1]?.stdin?.end()
  await helpers[1]
  await eventually('the agent was run', () => told().length > 0)
  assert.deepEqual(told(), [`${path}|/a/b c|/|/sbin:/bin:/usr/sbin:/usr/bin|HOME PATH PWD `])
})

test('a group with a group in it is not released until that is removed', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  const outer = groups.create('/outer', BARE)
  const inner = groups.create('/outer/inner', { ...BARE, notifyOnRelease: false })
  await outer.run('true')
  await inner.run('true')
  await new Promise(setImmediate)
  await kernel.flush()
  assert.deepEqual(told(), [])
  groups.remove('/outer/inner')
  await eventually('the agent was run', () => told().length > 0)
  assert.deepEqual(told(), ['/outer'])
})

test('a shutdown that waits for helpers: the agent is told of each group that falls empty meanwhile', async () => {
  const kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  const helpers = ['/early', '/late'].map(name => groups.create(name, BARE).run('cat', [], { stdin: 'pipe' }))
  const over = kernel.shutdown()
  helpers[0]?.stdin?.end()
  await helpers[0]
  await eventually('the first was told', () => told().length > 0)
  helpers[1]?.stdin?.end()
  await over
  await eventually('the second was told', () => told().length > 1)
  assert.deepEqual(told(), ['/early', '/late'])
})

test('a helper enters between the release and the start of the agent: the agent is run all the same', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  const group = groups.create('/a', BARE)
  await group.run('true')
  const again = group.run('cat', [], { stdin: 'pipe' })
  await eventually('the agent was run', () => told().length > 0)
  assert.equal(group.counts.running, 1)
  again.stdin?.end()
  await again
  await eventually('the agent was run for the second release', () => told().length > 1)
  assert.deepEqual(told(), ['/a', '/a'])
})

test('a group that is removed between the release and the start of the agent is told of', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  await groups.create('/a', BARE).run('true')
  groups.remove('/a')
  await eventually('the agent was run', () => told().length > 0)
  assert.deepEqual(told(), ['/a'])
})

test('a helper that could not be started was in the group, too', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  await assert.rejects(groups.create('/a', BARE).run('/no/such/program'), { code: 'ENOENT' })
  await eventually('the agent was run', () => told().length > 0)
})

test('what is released before a shutdown is told of', async () => {
  const kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const { path, told } = agent()
  groups.releaseAgent = path
  await groups.create('/a', BARE).run('true')
  await kernel.shutdown()
  await eventually('the agent was run', () => told().length > 0)
})

test('no agent, one that is not there, one that fails: nobody is told, nothing is thrown', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const group = groups.create('/a', BARE)
  for (const path of ['', '  \n', '/no/such/agent', '/bin/false']) {
    groups.releaseAgent = path
    await group.run('true')
    await new Promise(setImmediate)
    await kernel.flush()
  }
  assert.equal(group.counts.started, 4)
})

test('the agent is the one that is set when it is run', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  const [first, second] = [agent(), agent()]
  groups.releaseAgent = first.path
  await groups.create('/a', BARE).run('true')
  groups.releaseAgent = second.path
  await eventually('the agent was run', () => second.told().length > 0)
  assert.deepEqual(first.told(), [])
})

test('releaseAgent: trimmed; at most PATH_MAX - 1 bytes', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  assert.equal(groups.releaseAgent, '')
  groups.releaseAgent = ' \t/sbin/agent \n'
  assert.equal(groups.releaseAgent, '/sbin/agent')
  groups.releaseAgent = `/${'a'.repeat(4094)}`
  const tooLong = { name: 'SystemError', code: 'E2BIG' }
  for (const [value, expected] of [
    [`/${'a'.repeat(4095)}`, tooLong],
    [`/${'ä'.repeat(2048)}`, tooLong],
    ['agent', { name: 'SystemError', code: 'EINVAL', path: 'agent', message: /absolute path/ }],
    [' ./agent', { name: 'SystemError', code: 'EINVAL', path: './agent' }],
    ['/a\0b', { code: 'ERR_INVALID_ARG_VALUE' }],
    [undefined, { code: 'ERR_INVALID_ARG_TYPE' }],
  ] as const) {
    assert.throws(() => {
      groups.releaseAgent = value as string
    }, expected)
  }
  assert.equal(groups.releaseAgent, `/${'a'.repeat(4094)}`)
  groups.releaseAgent = 'file:///srv/agent.mjs'
  groups.releaseAgent = ' '
  assert.equal(groups.releaseAgent, '')
})

test('notifyOnRelease: off at the root, taken over from the parent at creation, and changed later', async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = cgroups(kernel)
  assert.equal(groups.root.notifyOnRelease, false)
  const outer = groups.create('/outer', { real: false })
  assert.equal(outer.notifyOnRelease, false)
  outer.notifyOnRelease = true
  const inner = groups.create('/outer/inner', { real: false })
  assert.equal(inner.notifyOnRelease, true)
  outer.notifyOnRelease = false
  assert.equal(inner.notifyOnRelease, true)
  assert.equal(groups.create('/outer/off', { real: false }).notifyOnRelease, false)
  assert.throws(
    () => {
      inner.notifyOnRelease = 1 as never
    },
    { code: 'ERR_INVALID_ARG_TYPE' },
  )
})

test('random lives of groups: the agent is told of exactly the releases that a simple model has', async () => {
  await using kernel = boot({ khelpers: 2 })
  const groups = cgroups(kernel)
  const { path, told, forget } = agent()
  groups.releaseAgent = path
  // Paths of two levels; helpers are programs that end when their input does.
  const names = ['/a', '/b', '/a/x', '/a/y', '/b/x']
  const command = fc.record({
    kind: fc.constantFrom('create', 'create', 'run', 'run', 'exit', 'exit', 'remove', 'notify'),
    name: fc.constantFrom(...names),
    flag: fc.boolean(),
  })
  const parentOf = (name: string) => name.slice(0, name.lastIndexOf('/'))
  let releases = 0
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40 }), async commands => {
      forget()
      const model = new Map<string, { notify: boolean; helpers: number }>()
      const running = new Map<string, ReturnType<typeof groups.root.run>[]>()
      const expected: string[] = []
      const hasChildren = (name: string) => [...model.keys()].some(other => parentOf(other) === name)
      const check = (name: string) => {
        const group = model.get(name)
        if (group?.notify && group.helpers === 0 && !hasChildren(name)) expected.push(name)
      }
      const exit = async (name: string) => {
        const helper = running.get(name)?.shift()
        const group = model.get(name)
        if (helper === undefined || group === undefined) return
        group.helpers -= 1
        check(name)
        helper.stdin?.end()
        await helper
        // Work that is scheduled twice before it begins is done once: each is let begin.
        await new Promise(setImmediate)
        await eventually('the agent has been run', () => told().length === expected.length)
      }
      const remove = async (name: string) => {
        const group = model.get(name)
        if (group === undefined || group.helpers > 0 || hasChildren(name)) {
          assert.throws(() => groups.remove(name), { code: group === undefined ? 'ENOENT' : 'EBUSY' })
          return
        }
        model.delete(name)
        check(parentOf(name))
        groups.remove(name)
        await eventually('the agent has been run', () => told().length === expected.length)
      }
      for (const { kind, name: wanted, flag } of commands) {
        // What needs a group, or a helper in one, takes one that is there.
        const candidates = [...model].filter(([, { helpers }]) => kind !== 'exit' || helpers > 0)
        const [found] = candidates[names.indexOf(wanted) % Math.max(candidates.length, 1)] ?? []
        const name = kind === 'create' ? wanted : (found ?? wanted)
        const group = model.get(name)
        if (kind === 'create') {
          const parent = model.get(parentOf(name))
          if (group !== undefined || (parentOf(name) !== '' && parent === undefined)) {
            const code = group === undefined ? 'ENOENT' : 'EEXIST'
            assert.throws(() => groups.create(name, { real: false }), { code })
          } else {
            model.set(name, { notify: flag || (parent?.notify ?? false), helpers: 0 })
            groups.create(name, { real: false, ...(flag && { notifyOnRelease: true }) })
          }
        } else if (kind === 'run' && group !== undefined) {
          group.helpers += 1
          const helper = groups.get(name)?.run('cat', [], { stdin: 'pipe' })
          if (helper !== undefined) running.set(name, [...(running.get(name) ?? []), helper])
        } else if (kind === 'exit') await exit(name)
        else if (kind === 'remove') await remove(name)
        else if (kind === 'notify' && group !== undefined) {
          group.notify = flag
          const real = groups.get(name)
          if (real !== undefined) real.notifyOnRelease = flag
        }
        for (const [path, { notify, helpers }] of model) {
          const real = groups.get(path)
          assert.deepEqual([real?.notifyOnRelease, real?.counts.running], [notify, helpers])
        }
      }
      for (const name of [...names].reverse()) while ((running.get(name)?.length ?? 0) > 0) await exit(name)
      for (const name of [...names].reverse()) if (model.has(name)) await remove(name)
      assert.deepEqual(told(), expected)
      assert.equal(groups.list().length, 1)
      releases += expected.length
    }),
    { numRuns: 40 },
  )
  assert.ok(releases > 0, 'no group was ever released')
})
