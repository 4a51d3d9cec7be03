/**
 * As whom helpers run: seen by helpers that look at themselves.
 */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { boot, type Kernel, Keyring, type RunOptions } from '../../../src/index.js'
import { eventually } from '../../helpers/resources.js'

const ROOT = process.getuid?.() === 0
const needsRoot = !ROOT && 'needs root'
const NOBODY = 65_534
/** A user that is not the service's, and its group. */
const OTHER = { uid: NOBODY, gid: NOBODY }
const folder = mkdtempSync(join(tmpdir(), 'khelper-credentials-'))
chmodSync(folder, 0o755)
after(() => rmSync(folder, { recursive: true, force: true }))

type TextOptions = RunOptions & { readonly encoding?: BufferEncoding }

/** What a helper's /proc/self/status says, by its names. */
async function status(kernel: Kernel, options: TextOptions = {}): Promise<Record<string, string>> {
  const { stdout } = await kernel.run('cat', ['/proc/self/status'], options)
  return Object.fromEntries(
    stdout
      .split('\n')
      .filter(line => line.includes(':'))
      .map(line => [
        line.slice(0, line.indexOf(':')),
        line
          .slice(line.indexOf(':') + 1)
          .trim()
          .replaceAll('\t', ' '),
      ]),
  )
}

const shell = async (kernel: Kernel, script: string, options: TextOptions): Promise<string> =>
  (await kernel.run('sh', ['-c', script], options)).stdout.trim()

describe('credentials', { skip: needsRoot }, () => {
  test('another user: all ids, no groups, no capabilities; the next helper is the service’s again', async () => {
    await using kernel = boot({ khelpers: 1 })
    const before = await status(kernel)
    const other = await status(kernel, OTHER)
    const ids = Array.from({ length: 4 }, () => NOBODY).join(' ')
    assert.deepEqual([other['Uid'], other['Gid'], other['Groups']], [ids, ids, ''])
    for (const set of ['CapPrm', 'CapEff', 'CapAmb']) assert.match(other[set] ?? '', /^0+$/, set)
    const again = await status(kernel)
    for (const name of ['Uid', 'Gid', 'Groups', 'CapPrm', 'CapEff', 'CapInh', 'CapBnd', 'NoNewPrivs']) {
      assert.equal(again[name], before[name], name)
    }
  })

  test('by name, with groups', async () => {
    await using kernel = boot({ khelpers: 1 })
    const groups = await shell(kernel, 'id -un; id -G', { uid: 'nobody', gid: 1, groups: [4, 'daemon', 100] })
    assert.equal(groups, 'nobody\n1 4 100')
  })

  test('a file that only the service may read cannot be read, its files are opened as the helper', async () => {
    await using kernel = boot({ khelpers: 1 })
    const secret = join(folder, 'secret')
    writeFileSync(secret, 'secret', { mode: 0o600 })
    const { exitCode } = await kernel.run('cat', [secret], { ...OTHER, reject: false })
    assert.equal(exitCode, 1)
    const own = mkdtempSync(join(folder, 'own-'))
    chownSync(own, NOBODY, NOBODY)
    const log = join(own, 'log')
    await kernel.run('echo', ['written'], { ...OTHER, umask: 0o027, stdout: { file: log } })
    assert.equal(readFileSync(log, 'utf8'), 'written\n')
    const { uid, gid, mode } = statSync(log)
    assert.deepEqual([uid, gid, mode & 0o777], [NOBODY, NOBODY, 0o640])
    const refused = { ...OTHER, stdout: { file: join(folder, 'log') } }
    await assert.rejects(kernel.run('echo', [], refused), { code: 'EACCES', syscall: 'open' })
    assert.throws(() => statSync(join(folder, 'log')), { code: 'ENOENT' })
  })

  test('the bounding set and the inheritable set only ever lose capabilities, for every helper', async () => {
    await using kernel = boot({ khelpers: 2 })
    kernel.usermodehelperBset = 0b101n
    kernel.usermodehelperInheritable = 0n
    kernel.usermodehelperBset = 0b110n
    assert.equal(kernel.usermodehelperBset, 0b100n)
    for (let helper = 0; helper < 4; helper += 1) {
      const { CapBnd = '', CapEff = '' } = await status(kernel)
      assert.deepEqual([BigInt(`0x${CapBnd}`), BigInt(`0x${CapEff}`)], [0b100n, 0b100n])
    }
  })

  test('many at once, each as another user: none is taken for another', async () => {
    await using kernel = boot({ khelpers: 2 })
    const users = Array.from({ length: 60 }, (_, index) => (index % 3 === 0 ? undefined : 1_000 + index))
    const seen = await Promise.all(
      users.map(uid => shell(kernel, 'id -u', uid === undefined ? {} : { uid, gid: uid })),
    )
    assert.deepEqual(
      seen,
      users.map(uid => String(uid ?? 0)),
    )
  })

  test('the service itself stays what it is, and may be traced as before', async () => {
    await using kernel = boot({ khelpers: 1 })
    const before = [
      process.getuid?.(),
      process.getgid?.(),
      process.getgroups?.(),
      process.umask(),
      process.cwd(),
    ]
    await status(kernel, { ...OTHER, umask: 0, nice: 3 })
    const now = [
      process.getuid?.(),
      process.getgid?.(),
      process.getgroups?.(),
      process.umask(),
      process.cwd(),
    ]
    assert.deepEqual(now, before)
    assert.equal(statSync('/proc/self/fd').uid, process.getuid?.())
  })
})

test('umask, and the next helper has the service’s', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = join(folder, 'masked')
  await kernel.run('touch', [file], { umask: 0o077 })
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const own = process.umask().toString(8).padStart(4, '0')
  assert.equal(await shell(kernel, 'umask', {}), own)
})

test('after a umask, helpers still follow the service to another working directory', async () => {
  await using kernel = boot({ khelpers: 1 })
  await shell(kernel, 'umask', { umask: 0o027 })
  const before = process.cwd()
  process.chdir(folder)
  try {
    assert.equal(await shell(kernel, 'pwd', {}), folder)
  } finally {
    process.chdir(before)
  }
})

test('niceness and processors, and the next helper has the service’s', async () => {
  await using kernel = boot({ khelpers: 1 })
  const before = await status(kernel)
  const nice = Number(await shell(kernel, 'nice', {}))
  assert.equal(await shell(kernel, 'nice', { nice: nice + 3 }), String(nice + 3))
  const last = availableParallelism() - 1
  assert.equal((await status(kernel, { affinity: [last] }))['Cpus_allowed_list'], String(last))
  await eventually('the niceness of before', () => kernel.stats().khelpers === 1)
  assert.equal(await shell(kernel, 'nice', {}), String(nice))
  assert.equal((await status(kernel))['Cpus_allowed_list'], before['Cpus_allowed_list'])
})

test('no new privileges: for that helper alone', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.equal((await status(kernel, { noNewPrivs: true }))['NoNewPrivs'], '1')
  assert.equal((await status(kernel))['NoNewPrivs'], '0')
})

test('without the privilege: EPERM with what was refused, and nothing is started', {
  skip: needsRoot,
}, async () => {
  await using kernel = boot({ khelpers: 1 })
  // A service of root's that has no capabilities.
  kernel.usermodehelperBset = 0n
  const marker = join(folder, 'marker')
  const script = `
    import { boot } from ${JSON.stringify(new URL('../../../src/index.js', import.meta.url).href)}
    const kernel = boot()
    for (const options of [{ uid: ${NOBODY}, gid: ${NOBODY} }, { gid: 1 }, { groups: [1] }, { nice: -5 }]) {
      const { code, syscall } = await kernel.run('touch', [${JSON.stringify(marker)}], options).catch(error => error)
      console.log(code, syscall)
    }
    console.log((await kernel.run('id', ['-u'], { uid: 0, gid: 0 })).stdout.trim())
    kernel.usermodehelperBset = 0n
    console.log((await kernel.run('id', ['-u'])).stdout.trim())
    await kernel.shutdown()`
  const { stdout } = await kernel.run(process.execPath, ['--input-type=module', '-e', script])
  assert.equal(stdout, 'EPERM setgroups\nEPERM setgroups\nEPERM setgroups\nEPERM setpriority\n0\n0\n')
  assert.throws(() => statSync(marker), { code: 'ENOENT' })
})

for (const [situation, options, code] of [
  ['an unknown user', { uid: 'no-such-user' }, 'ERR_UNKNOWN_CREDENTIAL'],
  ['an unknown group', { gid: 'no-such-group' }, 'ERR_UNKNOWN_CREDENTIAL'],
  ['an unknown group among several', { groups: [1, 'no-such-group'] }, 'ERR_UNKNOWN_CREDENTIAL'],
  ['a negative uid', { uid: -1 }, 'ERR_OUT_OF_RANGE'],
  ['a uid that means no change to the system', { uid: 2 ** 32 - 1 }, 'ERR_OUT_OF_RANGE'],
  ['a fraction', { gid: 1.5 }, 'ERR_OUT_OF_RANGE'],
  ['groups that are no array', { groups: 4 as never }, 'ERR_INVALID_ARG_TYPE'],
  ['a umask with too many bits', { umask: 0o1000 }, 'ERR_OUT_OF_RANGE'],
  ['a niceness beyond the range', { nice: 20 }, 'ERR_OUT_OF_RANGE'],
  ['no processor', { affinity: [] }, 'ERR_INVALID_ARG_TYPE'],
  ['a flag that is none', { noNewPrivs: 1 as never }, 'ERR_INVALID_ARG_TYPE'],
] as const) {
  test(`${situation} is refused at once`, async () => {
    await using kernel = boot({ khelpers: 1 })
    assert.throws(() => kernel.run('true', [], options as RunOptions), { code })
    assert.equal(kernel.stats().descriptors.available, kernel.stats().descriptors.capacity)
  })
}

test('a processor that the machine has not: EINVAL', async () => {
  await using kernel = boot({ khelpers: 1 })
  await assert.rejects(kernel.run('true', [], { affinity: [1_023] }), {
    code: 'EINVAL',
    syscall: 'sched_setaffinity',
  })
})

test('with the launcher child_process they are refused', async () => {
  await using kernel = boot({ launcher: 'child_process' })
  assert.throws(() => kernel.run('true', [], { umask: 0 }), { code: 'ERR_KHELPER_UNSUPPORTED' })
})

test('an in-thread helper has no credentials of its own', async () => {
  await using kernel = boot({ khelpers: 1 })
  assert.throws(() => kernel.run('file:///x.mjs', [], { uid: 1 }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('orders that a socket does not hold: many groups, and large secrets', { skip: needsRoot }, async () => {
  await using kernel = boot({ khelpers: 1 })
  const groups = Array.from({ length: 3_000 }, (_, index) => index + 1)
  const keys = new Keyring({ large: Buffer.alloc(30_000, 'x'), larger: Buffer.alloc(200_000, 'y') })
  const script = 'id -G | wc -w; cd "$CREDENTIALS_DIRECTORY"; wc -c <large; wc -c <larger'
  assert.equal(await shell(kernel, script, { ...OTHER, groups, keys }), '3001\n30000\n200000')
})

test('the pid and the exec of a helper behind a step are told when they are asked for', async () => {
  await using kernel = boot({ khelpers: 1 })
  const helper = kernel.run('sleep', ['60'], { umask: 0o022, reject: false })
  assert.ok(helper.pid)
  assert.equal(readFileSync(`/proc/${helper.pid}/comm`, 'utf8'), 'sleep\n')
  helper.kill('SIGKILL')
  assert.equal((await helper).signalCode, 'SIGKILL')
  const refused = kernel.run('/no/such/program', [], { umask: 0o022, reject: false })
  assert.equal(refused.pid, undefined)
  assert.equal((await refused).retval, -2)
})

test('steps that fail at once, on several threads: each tells its own call why', async () => {
  await using kernel = boot({ khelpers: 4 })
  const codes = new Set<string>()
  const one = async (): Promise<void> => {
    for (let calls = 0; calls < 400; calls += 1) {
      const { code } = await kernel.run('/bin/true', [], { umask: 0, cwd: '/no/such' }).catch(error => error)
      codes.add(code)
    }
  }
  await Promise.all([one(), one(), one(), one()])
  assert.deepEqual([...codes], ['ENOENT'])
})
