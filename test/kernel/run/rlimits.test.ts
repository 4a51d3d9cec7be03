import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { boot, type RunOptions } from '../../../src/index.js'

const missing = spawnSync('prlimit', ['--version']).error !== undefined && 'prlimit(1) is not installed'

describe('rlimits', { skip: missing }, () => {
  test('soft and hard limits, one for both, and none', async () => {
    await using kernel = boot({ khelpers: 1 })
    const { stdout, pid } = await kernel.run(
      'sh',
      ['-c', 'ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Sf; echo $$ "$1"', 'sh', 'an argument'],
      { rlimits: { nofile: [100, 200], core: 0, fsize: ['unlimited', 'unlimited'] } },
    )
    assert.equal(stdout, `100\n200\n0\nunlimited\n${pid} an argument\n`)
  })

  test('a helper that uses more than it may is ended by the system', async () => {
    await using kernel = boot({ khelpers: 1 })
    const { signalCode } = await kernel.run('sh', ['-c', 'while :; do :; done'], {
      rlimits: { cpu: [1, 1] },
      reject: false,
    })
    assert.equal(signalCode, 'SIGKILL')
  })

  test('with another user, who could not set them', {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, async () => {
    await using kernel = boot({ khelpers: 1 })
    const { stdout } = await kernel.run('sh', ['-c', 'ulimit -Hn; id -u'], {
      rlimits: { nofile: 64 },
      uid: 65_534,
      gid: 65_534,
    })
    assert.equal(stdout, '64\n65534\n')
  })

  test('a program that is not there: ENOENT, as without', async () => {
    await using kernel = boot({ khelpers: 1 })
    const options: RunOptions = { rlimits: { core: 0 } }
    for (const path of ['no-such-program', '/no/such/program']) {
      await assert.rejects(kernel.run(path, [], options), { code: 'ENOENT', syscall: 'execve', path })
    }
  })

  test('with a name of its own, and fewer descriptors than the launch takes', async () => {
    await using kernel = boot({ khelpers: 1 })
    const options: RunOptions = { rlimits: { nofile: [3, 10] }, argv0: 'named', stdin: { file: '/dev/null' } }
    const { stdout } = await kernel.run('/bin/cat', ['/proc/self/cmdline'], { ...options, reject: false })
    assert.equal(stdout, '')
    const limits = await kernel.run('/bin/sh', ['-c', 'ulimit -n; ulimit -Hn; echo $0'], {
      ...options,
      rlimits: { nofile: [8, 10] },
    })
    assert.equal(limits.stdout, '8\n10\nnamed\n')
  })

  test('with the launcher child_process, prlimit(1) sets them', async () => {
    await using kernel = boot({ launcher: 'child_process' })
    const options: RunOptions = { rlimits: { nofile: [8, 10], core: 'unlimited' } }
    const { stdout } = await kernel.run('sh', ['-c', 'ulimit -n; ulimit -Hn'], options)
    assert.equal(stdout, '8\n10\n')
    assert.throws(() => kernel.run('true', [], { ...options, argv0: 'x' }), { code: 'ERR_INVALID_ARG_VALUE' })
  })

  for (const [situation, options, code] of [
    ['a soft limit above the hard one', { rlimits: { nofile: [2, 1] } }, 'ERR_OUT_OF_RANGE'],
    ['a negative limit', { rlimits: { nofile: -1 } }, 'ERR_OUT_OF_RANGE'],
    ['a limit that is none', { rlimits: { nofile: 'many' as never } }, 'ERR_INVALID_ARG_TYPE'],
    ['an unknown resource', { rlimits: { toString: 1 } as never }, 'ERR_INVALID_ARG_VALUE'],
    ['limits that are none', { rlimits: 5 as never }, 'ERR_INVALID_ARG_TYPE'],
  ] as const) {
    test(`${situation}: an error before anything starts`, async () => {
      await using kernel = boot({ khelpers: 1 })
      assert.throws(() => kernel.run('true', [], options as RunOptions), { code })
      assert.equal(kernel.stats().descriptors.available, kernel.stats().descriptors.capacity)
    })
  }

  test('above the hard limit of a service that may not raise it', async () => {
    await using kernel = boot({ khelpers: 1 })
    const source = `import { boot } from ${JSON.stringify(new URL('../../../src/index.js', import.meta.url).href)}
      process.getuid = () => 1
      try { boot().run('true', [], { rlimits: { nofile: 1e6 } }) } catch ({ code, message }) { console.log(code, message) }
      process.exit()`
    const { stdout } = await kernel.run(process.execPath, ['--input-type=module', '-e', source], {
      rlimits: { nofile: [1_000, 1_000] },
    })
    assert.match(stdout, /^ERR_OUT_OF_RANGE .*hard limit, 1000/)
  })
})
