import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Cgroups } from '../../../src/applications/cgroup/cgroups.js'
import { cgroups } from '../../../src/applications/cgroup/index.js'
import { ownName } from '../../../src/applications/cgroup/real/left-overs.js'
import { boot, type Kernel, Keyring } from '../../../src/index.js'
import { eventually, openFds } from '../../helpers/resources.js'
import { temporary, write } from '../../helpers/temporary.js'
import { machine } from './machine.js'

const roots = [...new Set([machine.roots.v2, ...Object.values(machine.roots.v1 ?? {})])].filter(
  root => root !== undefined,
)
const ofProcess = (pid: number) =>
  roots.flatMap(root =>
    readdirSync(root)
      .filter(name => name.includes(`-${pid}-`))
      .map(name => join(root, name)),
  )
const left = () => ofProcess(process.pid)
const skip = machine.noV2 && machine.noV1

/** A helper that takes memory until it is stopped. */
const GREEDY = 'const all = []; for (;;) all.push(Buffer.alloc(1_000_000, 1))'

const shIsBash = realpathSync('/bin/sh').endsWith('bash')
const withMemory = (kernel: Kernel) => cgroups(kernel).create('/x', { 'memory.max': '48M' })

describe('real groups', { skip }, () => {
  test('a helper is in its group from the start, and all folders go with the kernel', async () => {
    const kernel = boot({ khelpers: 1 })
    const groups = cgroups(kernel)
    const outer = groups.create('/memory.max')
    const inner = groups.create('/memory.max/cgroup.procs')
    assert.equal(inner.reason, undefined)
    const { stdout } = await inner.run('cat', ['/proc/self/cgroup'])
    assert.match(stdout, /memory\.max\.group\/cgroup\.procs\.group/)
    assert.doesNotMatch((await outer.run('cat', ['/proc/self/cgroup'])).stdout, /cgroup\.procs\.group/)
    assert.notDeepEqual(left(), [])
    groups.remove('/memory.max/cgroup.procs')
    groups.create('/memory.max/cgroup.procs')
    await kernel.shutdown()
    assert.deepEqual(left(), [])
  })

  test('arguments, environment, input, folder and name come through the shell as they are', async () => {
    await using kernel = boot({ khelpers: 2 })
    const group = cgroups(kernel).create('/x')
    const text = fc.string({ unit: 'grapheme' })
    const name = fc.constantFrom(
      'A',
      'PWD',
      'SHLVL',
      'OLDPWD',
      'n',
      'm',
      'IFS_',
      'khelper',
      'a.b',
      'a b',
      '1',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(text), fc.dictionary(name, text), fc.string(), async (args, env, input) => {
        const script =
          'process.stdin.pipe(process.stdout); process.stderr.write(JSON.stringify([process.argv.slice(1), process.env]))'
        const run = (from: { run: Kernel['run'] }) =>
          from.run(process.execPath, ['-e', script, '--', ...args], { env, input, cwd: tmpdir() })
        const [ours, its] = await Promise.all([run(group as never), run(kernel)])
        const [ourArgs, ourEnv] = JSON.parse(ours.stderr)
        const [itsArgs, itsEnv] = JSON.parse(its.stderr)
        // bash has these two of its own.
        const bash = shIsBash || Object.keys(env).some(key => !/^\w+$/.test(key) || /^\d/.test(key))
        for (const own of bash ? ['_', 'SHLVL'] : []) for (const seen of [ourEnv, itsEnv]) delete seen[own]
        assert.deepEqual([ourArgs, ourEnv, ours.stdout], [itsArgs, itsEnv, its.stdout])
      }),
      { numRuns: 30 },
    )
    const { stdout, pid } = await group.run('sh', ['-c', 'echo $0 $$; pwd'], { cwd: '/' })
    assert.equal(stdout, `sh ${pid}\n/\n`)
  })

  test('exit codes are the program’s own, those of shells too', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    for (const code of [0, 1, 125, 126, 127, 137]) {
      const { exitCode, retval } = await group.run('sh', ['-c', `exit ${code}`], { reject: false })
      assert.deepEqual([exitCode, retval], [code, code << 8])
    }
    await assert.rejects(group.run('sh', ['-c', 'kill $$']), {
      code: 'ERR_HELPER_SIGNAL',
      message: 'Killed by SIGTERM: sh',
      argv: ['sh', '-c', 'kill $$'],
    })
  })

  test('errors keep to themselves what kernel.run’s do', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    const secret = 'hunter2-correct-horse'
    const redact = [secret]
    const keys = new Keyring({ secret })
    for (const options of [{ redact }, { keys }]) {
      const exited = await group.run('sh', ['-c', 'exit 1', secret], options).catch(error => error)
      assert.deepEqual(exited.argv, ['sh', '-c', 'exit 1', '[redacted]'])
      const absent = await group.run(`/no/such/${secret}`, [], options).catch(error => error)
      assert.equal(absent.path, '/no/such/[redacted]')
      for (const error of [exited, absent]) {
        assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes(secret))
      }
    }
  })

  for (const [situation, file, code] of [
    ['that is not there', '/no/such/program', 'ENOENT'],
    ['that is not in PATH', 'no-such-program', 'ENOENT'],
    ['that is not executable', write('plain', 'text'), 'EACCES'],
    ['that is a folder', tmpdir(), 'EACCES'],
    ['below a file', '/etc/passwd/x', 'ENOTDIR'],
    ['without #!', write('odd', 'exit 0\n', 0o755), 'ENOEXEC'],
    ['whose interpreter is not there', write('orphan', '#!/no/such/interpreter\n', 0o755), 'ENOENT'],
  ] as const) {
    test(`a program ${situation}: ${code}, as kernel.run says it`, async () => {
      await using kernel = boot({ khelpers: 1 })
      const group = cgroups(kernel).create('/x')
      const its = await kernel.run(file).catch(error => error)
      const helper = group.run(file, [], { stdin: 'pipe' })
      helper.stdin?.on('error', () => {}).end('input')
      const ours = await helper.catch(error => error)
      assert.equal(its.code, code)
      for (const key of [
        'code',
        'message',
        'errno',
        'syscall',
        'path',
        'argv',
        'retval',
        'exitCode',
        'pid',
        'stderr',
      ]) {
        assert.deepEqual(ours[key], its[key], key)
      }
      const { retval } = await group.run(file, [], { reject: false })
      assert.equal(retval, its.retval)
      assert.equal(group.counts.failed, 2)
      const folders = readdirSync(tmpdir()).filter(name => name.startsWith(`khelper-cgroup-${process.pid}-`))
      assert.deepEqual(
        folders.flatMap(name => readdirSync(join(tmpdir(), name))),
        [],
      )
    })
  }

  test('another user, whose helper could not enter the group itself', {
    skip: process.geteuid?.() !== 0 && 'needs root',
  }, async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    const script = 'id -u; id -g; id -G; grep CapEff /proc/self/status; cat /proc/self/cgroup'
    const { stdout } = await group.run('sh', ['-c', script], { uid: 65_534, gid: 65_533, groups: [7] })
    const [uid, gid, all, capabilities] = stdout.split('\n')
    assert.deepEqual([uid, gid, all], ['65534', '65533', '65533 7'])
    assert.match(capabilities ?? '', /\t0+$/)
    assert.match(stdout, /x\.group/)
    assert.equal((await group.run('id', ['-G'], { uid: 65_534, gid: 65_534 })).stdout, '65534\n')
    assert.throws(() => group.run('true', [], { uid: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  })

  test('rlimits, umask and niceness beside it', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    const options = { rlimits: { nofile: 64 }, umask: 0o77, nice: 5 }
    const { stdout } = await group.run('sh', ['-c', 'ulimit -n; umask; nice; cat /proc/self/cgroup'], options)
    assert.match(stdout, /^64\n0077\n5\n/)
    assert.match(stdout, /x\.group/)
  })

  test('with a name of its own, and secrets for another user', {
    skip: process.geteuid?.() !== 0 && 'needs root',
  }, async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    const script = 'echo $0; cat "$CREDENTIALS_DIRECTORY/token"; cat /proc/self/cgroup'
    const options = { argv0: 'named', uid: 65_534, gid: 65_534, keys: new Keyring({ token: 'secret\n' }) }
    const { stdout } = await group.run('sh', ['-c', script], options)
    assert.match(stdout, /^named\nsecret\n/)
    assert.match(stdout, /x\.group/)
  })

  test('a group that something has removed from the system: ENOENT, and nothing is started', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    // Not a group of the system's any more, all at once: only an empty one can be removed, from below.
    const folders = (parent: string): string[] =>
      readdirSync(parent, { withFileTypes: true })
        .filter(entry => entry.isDirectory())
        .flatMap(({ name }) => [...folders(join(parent, name)), join(parent, name)])
    const its = left()
      .flatMap(folders)
      .filter(path => path.includes('x.group'))
    for (const path of its) rmdirSync(path)
    const error = await group.run('true').catch(error => error)
    for (const path of its.reverse()) mkdirSync(path)
    assert.deepEqual([error.code, error.syscall, error.pid], ['ENOENT', 'write', undefined])
    assert.match(error.message, /true could not enter the group \/x/)
  })

  test('with the launcher child_process argv0 cannot be given', async () => {
    await using kernel = boot({ launcher: 'child_process' })
    const group = cgroups(kernel).create('/x')
    assert.match((await group.run('cat', ['/proc/self/cgroup'])).stdout, /x\.group/)
    assert.throws(() => group.run('true', [], { argv0: 'other' }), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.deepEqual(group.counts, { running: 0, subtree: 0, started: 1, failed: 0 })
  })

  test('an aborted helper, one whose time is over, and one that writes too much', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x')
    await assert.rejects(group.run('sleep', ['60'], { timeout: 1 }), {
      code: 'ETIMEDOUT',
      message: 'Timed out after 1 ms: sleep',
    })
    await assert.rejects(group.run('sleep', ['60'], { signal: AbortSignal.timeout(1) }), {
      name: 'AbortError',
    })
    await assert.rejects(group.run('yes', [], { maxOutput: 10 }), {
      code: 'ERR_HELPER_MAX_OUTPUT',
      message: 'Killed for writing more than 10 bytes: yes; raise maxOutput or stream the output',
    })
  })

  test('what a dead service has left is removed at the first use, but not what still runs in it', async () => {
    const entry = new URL('../../../src/kernel/kernel.js', import.meta.url).href
    const room = new URL('../../../src/applications/cgroup/index.js', import.meta.url).href
    const file = temporary('service.mjs')
    write(
      'service.mjs',
      `import { boot } from '${entry}'; import { cgroups } from '${room}'
       const groups = cgroups(boot())
       groups.create('/empty'); groups.create('/empty/in')
       const group = groups.create('/used')
       const helper = group.run('sleep', ['1000'])
       console.log(helper.pid)`,
    )
    const service = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(service.stdout, 'data')
    const sleeper = Number(String(line))
    const pid = service.pid ?? 0
    await eventually('the helper is in its group', () =>
      readFileSync(`/proc/${sleeper}/cgroup`, 'utf8').includes('used.group'),
    )
    service.kill('SIGKILL')
    await once(service, 'exit')
    const folders = ofProcess(pid)
    assert.notDeepEqual(folders, [])
    const use = async () => {
      await using kernel = boot({ khelpers: 1 })
      cgroups(kernel).create('/x')
    }
    await use()
    assert.ok(folders.some(folder => existsSync(join(folder, 'used.group'))))
    assert.ok(!folders.some(folder => existsSync(join(folder, 'empty.group'))))
    process.kill(sleeper, 'SIGKILL')
    await eventually('the helper has ended', () => !existsSync(`/proc/${sleeper}`))
    await use()
    assert.deepEqual(ofProcess(pid), [])
  })

  test('a process that ends without a shutdown leaves nothing', () => {
    const entry = new URL('../../../src/kernel/kernel.js', import.meta.url).href
    const room = new URL('../../../src/applications/cgroup/index.js', import.meta.url).href
    const code = `import { boot } from '${entry}'; import { cgroups } from '${room}'
      const groups = cgroups(boot()); groups.create('/a'); groups.create('/a/b')
      console.log(groups.get('/a').real); process.exit()`
    const { stdout, pid, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
    })
    assert.match(stdout, /^v[12]\n$/, stderr)
    assert.deepEqual(ofProcess(pid), [])
  })

  test('many helpers at once leave no descriptor and no file', async () => {
    await using kernel = boot({ khelpers: 2 })
    const group = cgroups(kernel).create('/x')
    const many = () => Promise.all(Array.from({ length: 100 }, () => group.run('true')))
    await many()
    await kernel.ready
    const before = openFds()
    await many()
    await eventually('no descriptor is left', () => openFds() <= before)
    assert.deepEqual(group.counts, { running: 0, subtree: 0, started: 200, failed: 0 })
  })
})

describe('limits', { skip: machine.noLimits }, () => {
  test('a helper over the memory limit: rejected with what killed it', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = withMemory(kernel)
    await assert.rejects(group.run(process.execPath, ['-e', GREEDY]), {
      name: 'HelperError',
      code: 'ERR_HELPER_OUT_OF_MEMORY',
      outOfMemory: true,
      signalCode: 'SIGKILL',
      message: `killed: over the memory limit of group /x (memory.max 48 MiB): ${process.execPath}`,
    })
    const { outOfMemory } = await group.run(process.execPath, ['-e', GREEDY], { reject: false })
    assert.equal(outOfMemory, true)
    await group.run('true')
  })

  test('a child of the helper over the limit: the helper’s own failure, and what is behind it', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = withMemory(kernel)
    const script = `"$0" -e '${GREEDY}'; exit 3`
    await assert.rejects(group.run('sh', ['-c', script.replace('$0', process.execPath)]), {
      code: 'ERR_HELPER_EXIT',
      exitCode: 3,
      outOfMemory: true,
      message: /^Exited with 3: sh \(.*over the memory limit of group \/x/,
    })
  })

  test('a helper that is killed or fails otherwise is not out of memory', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = withMemory(kernel)
    await assert.rejects(group.run('sh', ['-c', 'kill -KILL $$']), {
      code: 'ERR_HELPER_SIGNAL',
      outOfMemory: false,
    })
    await assert.rejects(group.run('false'), { code: 'ERR_HELPER_EXIT', outOfMemory: false })
  })

  for (const [situation, begin] of [
    ['before it', 'other first'],
    ['after it', 'other last'],
  ] as const) {
    test(`a helper that is killed while another, started ${situation}, was over the limit: it says that it may have been the other`, async () => {
      await using kernel = boot({ khelpers: 2 })
      const group = withMemory(kernel)
      const script = 'read -r line; kill -KILL $$'
      const greedy = () =>
        group.run('sh', ['-c', `read -r line; exec "$0" -e '${GREEDY}'`, process.execPath], { stdin: 'pipe' })
      const killed = () => group.run('sh', ['-c', script], { stdin: 'pipe' })
      const [first, last] = begin === 'other first' ? [greedy(), killed()] : [killed(), greedy()]
      const [other, helper] = begin === 'other first' ? [first, last] : [last, first]
      const endings: { code?: string; message?: string }[] = []
      for (const one of [other, helper]) {
        one.stdin?.end('go\n')
        endings.push(await one.catch(error => error))
      }
      const message =
        'killed: it, or another helper beside it, was over the memory limit of group /x (memory.max 48 MiB); a group for each tells which: sh'
      for (const ending of endings) {
        assert.deepEqual([ending.code, ending.message], ['ERR_HELPER_OUT_OF_MEMORY', message])
      }
      // Alone again.
      await assert.rejects(group.run(process.execPath, ['-e', GREEDY]), {
        message: `killed: over the memory limit of group /x (memory.max 48 MiB): ${process.execPath}`,
      })
    })
  }

  test('the limit of a group above holds, and is the one that is named', async () => {
    await using kernel = boot({ khelpers: 1 })
    const groups = cgroups(kernel)
    groups.create('/outer', { 'memory.max': '48M' })
    const plain = groups.create('/outer/plain')
    const wide = groups.create('/outer/wide', { 'memory.max': '4G' })
    for (const group of [plain, wide]) {
      await assert.rejects(group.run(process.execPath, ['-e', GREEDY]), {
        code: 'ERR_HELPER_OUT_OF_MEMORY',
        message: /limit of group \/outer \(memory\.max 48 MiB\)/,
      })
    }
  })

  test('pids.max: a helper that forks without end is held, and the group can be killed', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x', { 'pids.max': 5 })
    const script = 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'
    const helper = group.run('bash', ['-c', script], { stderr: 'pipe', reject: false })
    let said = ''
    helper.stderr?.setEncoding('utf8').on('data', text => {
      said += text
    })
    await eventually('a fork has failed', () => /fork/.test(said))
    await group.kill()
    assert.equal((await helper).signalCode, 'SIGKILL')
  })

  test('helpers in a group beside limited groups in it, which cgroup v2 allows in no group itself', async () => {
    await using kernel = boot({ khelpers: 2 })
    const groups = cgroups(kernel)
    const outer = groups.create('/outer')
    const before = outer.run('cat', [], { stdin: 'pipe' })
    const inner = groups.create('/outer/inner', { 'pids.max': 5, 'memory.max': '64M' })
    await Promise.all([outer.run('true'), inner.run('true')])
    before.stdin?.end()
    await before
    groups.remove('/outer/inner')
    await outer.run('true')
    groups.remove('/outer')
  })

  test('cpu.max: a helper that computes gets no more of a processor', async () => {
    await using kernel = boot({ khelpers: 1 })
    const group = cgroups(kernel).create('/x', { 'cpu.max': '10000 100000' })
    assert.deepEqual(group.limits.cpu, { quota: 10_000, period: 100_000 })
    const helper = group.run('sh', ['-c', 'while :; do :; done'], { reject: false })
    const throttled = () =>
      left().some(folder => {
        const file = join(folder, 'x.group', 'cpu.stat')
        return existsSync(file) && /^nr_throttled [1-9]/m.test(readFileSync(file, 'utf8'))
      })
    await eventually('the helper was held up', throttled)
    await group.kill()
    await helper
  })

  test('an in-thread helper in a limited group: EOPNOTSUPP; in one without limits it runs', async () => {
    await using kernel = boot({ khelpers: 1 })
    const groups = cgroups(kernel)
    const url = new URL(`file://${write('in-thread.mjs', 'export default () => 0')}`)
    groups.create('/limited', { 'pids.max': 5 })
    const below = groups.create('/limited/below')
    assert.throws(() => below.run(url), { code: 'EOPNOTSUPP' })
    await groups.create('/free').run(url)
  })
})

test('no cgroupfs, or one that cannot be written to: groups without limits, and why', async () => {
  await using kernel = boot({ khelpers: 1 })
  const nothing = new Cgroups(kernel, {})
  const group = nothing.create('/x')
  assert.deepEqual([group.real, group.reason], [undefined, 'no cgroupfs is mounted'])
  assert.equal((await group.run('echo', ['x'])).stdout, 'x\n')
  assert.throws(() => nothing.create('/y', { 'pids.max': 5 }), {
    code: 'EOPNOTSUPP',
    message: /controller pids/,
  })
  const readOnly = new Cgroups(kernel, { v2: '/proc/self' })
  assert.match(readOnly.create('/x').reason ?? '', /cannot be written to/)
  assert.equal(nothing.get('/y'), undefined)
})

test('cgroup v2: what is written to where, with a plain folder in the place of cgroupfs', async () => {
  await using kernel = boot({ khelpers: 1 })
  const root = temporary('plain-v2')
  mkdirSync(root)
  write('plain-v2/cgroup.controllers', 'cpu memory pids\n')
  const groups = new Cgroups(kernel, { v2: root })
  groups.create('/outer')
  const group = groups.create('/outer/inner', { 'memory.max': '32M', 'pids.max': 7, 'cpu.max': 1.5 })
  assert.equal(group.real, 'v2')
  const own = readdirSync(root).find(name => name.startsWith('khelper-')) ?? ''
  const text = (...path: string[]) => readFileSync(join(root, own, ...path), 'utf8')
  const inner = ['outer.group', 'inner.group'] as const
  assert.equal(text(...inner, 'memory.max'), String(32 * 2 ** 20))
  assert.equal(text(...inner, 'pids.max'), '7')
  assert.equal(text(...inner, 'cpu.max'), '150000 100000')
  // In cgroupfs each is added to those that are there.
  for (const above of [['..'], [], ['outer.group']])
    assert.equal(text(...above, 'cgroup.subtree_control'), '+cpu')
  assert.ok(existsSync(join(root, own, ...inner, 'helpers')))
  assert.ok(!existsSync(join(root, own, ...inner, 'cgroup.subtree_control')))
})

test('names of own folders differ, and tell of this process', () => {
  assert.notEqual(ownName(), ownName())
  assert.match(ownName(), new RegExp(`^khelper-\\d+-${process.pid}-\\d+-0-\\d+$`))
})
