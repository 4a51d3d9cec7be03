import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findRoots, rootsOf } from '../../../src/applications/cgroup/real/roots.js'
import { temporary, write } from '../../helpers/temporary.js'

const v2 = (root: string, folder: string) =>
  `35 24 0:30 ${root} ${folder} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n`
const v1 = (root: string, folder: string, controllers: string) =>
  `36 24 0:31 ${root} ${folder} rw - cgroup cgroup rw,${controllers}\n`

test('v2: the folder of the own group below the mount', () => {
  assert.deepEqual(rootsOf(v2('/', '/sys/fs/cgroup'), '0::/system.slice/web.service\n'), {
    v2: '/sys/fs/cgroup/system.slice/web.service',
    v1: {},
  })
})

test('v1 beside v2, controllers that share a mount, and those that are of no use here', () => {
  const mounts =
    v2('/', '/c/unified') + v1('/', '/c/cpu,cpuacct', 'cpu,cpuacct') + v1('/', '/c/blkio', 'blkio')
  assert.deepEqual(rootsOf(mounts, '4:cpu,cpuacct:/job\n3:blkio:/\n1:name=systemd:/x\n0::/\n'), {
    v2: '/c/unified',
    v1: { cpu: '/c/cpu,cpuacct/job' },
  })
})

test('a container that sees its group on the host: the mount is its group', () => {
  const mounts = v1('/docker/abc', '/sys/fs/cgroup/memory', 'memory')
  assert.deepEqual(rootsOf(mounts, '7:memory:/docker/abc\n'), { v1: { memory: '/sys/fs/cgroup/memory' } })
  assert.deepEqual(rootsOf(mounts, '7:memory:/\n'), { v1: { memory: '/sys/fs/cgroup/memory' } })
  assert.deepEqual(rootsOf(mounts, '7:memory:/docker/abc/in\n'), {
    v1: { memory: '/sys/fs/cgroup/memory/in' },
  })
})

test('spaces in a mount point; a controller without a mount; nothing at all', () => {
  assert.equal(rootsOf(v2('/', '/my\\040groups'), '0::/\n').v2, '/my groups')
  assert.deepEqual(rootsOf('', '7:memory:/\n0::/x\n'), { v1: {} })
  assert.deepEqual(rootsOf('nonsense\n', 'nonsense\n'), { v1: {} })
  assert.equal(typeof findRoots(), 'object')
})

test('systemd with DelegateSubgroup: the folder above is the service’s too, and can give controllers', () => {
  const mount = temporary('cgroup2')
  const unit = join(mount, 'web.service')
  const own = join(unit, 'service')
  mkdirSync(own, { recursive: true })
  for (const [folder, procs] of [
    ['cgroup2/web.service', ''],
    ['cgroup2/web.service/service', '77\n'],
  ] as const) {
    write(`${folder}/cgroup.controllers`, 'cpu memory pids\n')
    write(`${folder}/cgroup.subtree_control`, '')
    write(`${folder}/cgroup.procs`, procs)
    write(`${folder}/cgroup.type`, 'domain\n')
  }
  assert.equal(rootsOf(v2('/', mount), '0::/web.service/service\n').v2, unit)
  // Without it, the folder above is everybody's.
  assert.equal(rootsOf(v2('/', mount), '0::/web.service\n').v2, unit)
})
