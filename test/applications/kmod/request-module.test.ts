import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { constants } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Kmod, kmod } from '../../../src/applications/kmod/index.js'
import { DEPENDENCY_TIMEOUT } from '../../../src/applications/kmod/loader.js'
import { depmod } from '../../../src/applications/kmod/modprobe/depmod.js'
import {
  ALL_BUSY_TIMEOUT,
  DUPLICATES_KEPT,
  MAX_CONCURRENT,
} from '../../../src/applications/kmod/request-module.js'
import { systemCalls } from '../../../src/applications/system-calls/index.js'
import { DEFAULT_LIMITS } from '../../../src/applications/system-calls/server.js'
import { textsearch } from '../../../src/applications/textsearch/index.js'
import { boot } from '../../../src/index.js'
import { errno } from '../../../src/libc/index.js'
import { moduleFolder } from '../../helpers/modules.js'
import { eventually } from '../../helpers/resources.js'
import { inThreadHelper, temporary, untilThere, write } from '../../helpers/temporary.js'

const kernel = boot({ khelpers: 2 })
after(() => kernel.shutdown())
const modules = new Kmod(kernel, { allBusy: 50, duplicatesKept: 50 })
const setModprobe = (path: string, of = kernel) => of.proc.write('/proc/sys/kernel/modprobe', path)

/** A modprobe of the test's own, that is a program. */
const program = (name: string, script: string) => write(name, `#!/bin/sh\n${script}\n`, 0o755)

test('the default helper loads a module that is found by its name or an alias, with what it needs', async () => {
  const own = boot({ khelpers: 2 })
  const loaded = kmod(own)
  const folder = moduleFolder({
    'xfs.js': `export const license = 'GPL', alias = ['fs-xfs', 'fs-old*'], depends = 'libcrc'
      export const init = () => 0; export const exit = () => {}`,
    'lib/libcrc.js': `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`,
  })
  depmod(folder)
  own.proc.write('/proc/sys/khelper/module_directory', folder)
  await loaded.requestModule('fs-oldest')
  assert.deepEqual(
    loaded.lsmod().map(({ name, holders }) => [name, holders]),
    [
      ['libcrc', ['xfs']],
      ['xfs', []],
    ],
  )
  await loaded.requestModule('xfs')
  await assert.rejects(loaded.requestModule('ext4'), { code: 'ENOENT', retval: 256 })
  assert.equal(systemCalls(own).granted, 0, 'an authority ends with its helper')
  await own.shutdown()
})

test('argv is the path, -q, -- and the name; the environment HOME, TERM and PATH, in this order, and then the authority', async () => {
  const seen = temporary('modprobe.seen')
  const path = inThreadHelper(
    `import { writeFileSync } from 'node:fs'
     export default (argv, envp) => writeFileSync(${JSON.stringify(seen)}, JSON.stringify({ argv, envp }))`,
  )
  setModprobe(path)
  await modules.requestModule('-dangerous')
  const { argv, envp } = JSON.parse(readFileSync(seen, 'utf8')) as Record<'argv' | 'envp', string[]>
  assert.deepEqual(argv, [path, '-q', '--', '-dangerous'])
  assert.deepEqual(envp.slice(0, 3), ['HOME=/', 'TERM=linux', 'PATH=/sbin:/usr/sbin:/bin:/usr/bin'])
  assert.match(envp[3] ?? '', /^KHELPER_SOCKET=\//)
  assert.match(envp[4] ?? '', /^KHELPER_AUTHORITY=/)
  assert.equal(envp.length, 5)
})

test('modprobe exits with 1: 256 for who waits, 0 for who does not', async () => {
  setModprobe('/bin/false')
  assert.equal(await modules.requestRetval(true, 'none'), 256)
  assert.equal(await modules.requestRetval(false, 'none'), 0)
  await assert.rejects(modules.requestModule('none'), { code: 'ENOENT', retval: 256, path: '/bin/false' })
})

test('the path of modprobe is empty, or names nothing: -ENOENT', async () => {
  setModprobe('')
  assert.equal(await modules.requestRetval(true, 'any'), -errno('ENOENT'))
  setModprobe('/no/such/modprobe')
  assert.equal(await modules.requestRetval(true, 'any'), -errno('ENOENT'))
  assert.equal(await modules.requestRetval(false, 'any'), -errno('ENOENT'))
  await assert.rejects(modules.requestModule('any'), { code: 'ENOENT' })
})

test('a name of 56 bytes: -ENAMETOOLONG, and nothing runs; helpers disabled: -EBUSY', async () => {
  setModprobe('/bin/true')
  assert.equal(await modules.requestRetval(true, 'x'.repeat(55)), 0)
  assert.equal(await modules.requestRetval(true, 'x'.repeat(56)), -errno('ENAMETOOLONG'))
  await kernel.usermodehelperDisable()
  assert.equal(await modules.requestRetval(true, 'any'), -errno('EBUSY'))
  await kernel.usermodehelperEnable()
  await assert.rejects(modules.requestModule(1 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('the wait for modprobe is broken off: -ERESTARTSYS, its slot is free again, and modprobe goes on', async () => {
  const ended = temporary('went-on')
  setModprobe(program('slow-modprobe', `${untilThere(`${ended}.go`)}; : > ${ended}`))
  const controller = new AbortController()
  const requests = Array.from({ length: 50 }, () =>
    modules.requestRetval(true, 'slow', { signal: controller.signal }),
  )
  await eventually('all are running', () => kernel.stats().processes >= 50)
  assert.equal(
    await modules.requestRetval(true, 'one-more'),
    -errno('ETIME'),
    'the 51st waits for its turn, and not for ever',
  )
  controller.abort()
  for (const retval of await Promise.all(requests)) assert.equal(retval, -errno('ERESTARTSYS'))
  setModprobe('/bin/true')
  assert.equal(await modules.requestRetval(true, 'next'), 0)
  write('went-on.go', '')
  await eventually('modprobe has gone on', () => existsSync(ended) && kernel.stats().processes === 0)
})

test('tryThenRequestModule gives the second look, and none is asked for where the first finds something', async () => {
  setModprobe('/bin/true')
  let looks = 0
  const found = await modules.tryThenRequestModule(() => (looks++ === 0 ? undefined : 'there'), 'late')
  assert.equal(found, 'there')
  assert.equal(looks, 2)
  setModprobe('/no/such')
  assert.equal(await modules.tryThenRequestModule(() => 'at once', 'any'), 'at once')
  assert.equal(
    await modules.tryThenRequestModule(() => null, 'any'),
    null,
    'what became of the request is not looked at',
  )
})

test('duplicates: one modprobe for all who wait at once, and what came of it stands for a while', async () => {
  const own = boot({ khelpers: 2 })
  const suppressing = new Kmod(own, { duplicatesKept: 50 })
  own.proc.write('/proc/sys/khelper/module_autoload_dups', '1')
  const log = temporary('dups')
  setModprobe(program('dup-modprobe', `echo x >> ${log}; exit 1`), own)
  const runs = () => readFileSync(log, 'utf8').length / 2
  const results = await Promise.all(Array.from({ length: 10 }, () => suppressing.requestRetval(true, 'same')))
  assert.deepEqual(new Set(results), new Set([256]))
  assert.equal(runs(), 1)
  assert.equal(await suppressing.requestRetval(false, 'same'), 0, 'who does not wait has 0 at once')
  assert.equal(runs(), 1)
  const broken = suppressing.requestRetval(true, 'same', { signal: AbortSignal.abort() })
  assert.equal(await broken, -errno('ERESTARTSYS'))
  assert.equal(await suppressing.requestRetval(false, 'first-nowait'), 0)
  assert.equal(await suppressing.requestRetval(true, 'first-nowait'), 256)
  await eventually('its two helpers', () => runs() === 3)
  await new Promise<void>(resolve => {
    const look = async () => {
      await suppressing.requestRetval(true, 'same')
      if (runs() === 3) setTimeout(look, 5)
      else resolve()
    }
    void look()
  })
  assert.equal(runs(), 4, 'when its time is over, modprobe is run again')
  await own.shutdown()
})

test('a program as modprobe loads the module itself, with the authority that it is given', async () => {
  const folder = moduleFolder({
    'mine.js': `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`,
  })
  const client = new URL('../../../src/applications/system-calls/client.js', import.meta.url).href
  const helper = write(
    'node-modprobe.mjs',
    `#!${process.execPath}
    import { SystemCallClient } from '${client}'
    const client = await SystemCallClient.connect({ socket: process.env.KHELPER_SOCKET, authority: process.env.KHELPER_AUTHORITY })
    await client.call('init_module', ${JSON.stringify(join(folder, 'mine.js'))})
    const refused = await client.call('delete_module', 'mine').catch(error => error.code)
    client.close()
    process.exit(refused === 'EPERM' ? 0 : 3)`,
    0o755,
  )
  const own = boot({ khelpers: 1 })
  setModprobe(helper, own)
  await kmod(own).requestModule('mine')
  assert.ok(kmod(own).findModule('mine'))
  await own.shutdown()
})

test('an in-thread helper as modprobe that throws: 256', async () => {
  setModprobe(inThreadHelper(`export default () => { throw new Error('no') }`))
  assert.equal(await modules.requestRetval(true, 'any'), 256)
})

describe('who does not wait', () => {
  const files = {
    'late.js': `export const license = 'GPL'; export const init = () => 0; export const exit = () => {}`,
  }

  test('the default helper, new on its thread or not, loads the module and its authority ends with it', async () => {
    await using own = boot({ khelpers: 1 })
    const loaded = kmod(own)
    const folder = moduleFolder(files)
    depmod(folder)
    own.proc.write('/proc/sys/khelper/module_directory', folder)
    for (let time = 0; time < 2; time += 1) {
      await loaded.requestModuleNowait('late')
      await eventually('it is live', () => loaded.findModule('late')?.state === 'live')
      await eventually('its authority has ended', () => systemCalls(own).granted === 0)
      await loaded.rmmod('late')
    }
  })

  test('a program as modprobe has its authority for as long as it runs, and is not counted as a caller', async () => {
    await using own = boot({ khelpers: 1 })
    const folder = moduleFolder(files)
    const go = temporary('late-go')
    const command = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url))
    const load = `"${process.execPath}" "${command}" insmod "${join(folder, 'late.js')}"`
    setModprobe(program('late-modprobe', `${untilThere(go)}; exec ${load}`), own)
    await kmod(own).requestModuleNowait('late')
    assert.equal(own.stats().running, 0)
    assert.equal(systemCalls(own).granted, 1)
    write('late-go', '')
    await eventually('it is live', () => kmod(own).findModule('late')?.state === 'live')
    await eventually('its authority has ended', () => systemCalls(own).granted === 0)
  })

  test('a wait that is broken off before the helper has started: -ERESTARTSYS', async () => {
    // Its one descriptor is taken.
    await using own = boot({ khelpers: 1, descriptors: 1 })
    setModprobe('/bin/true', own)
    const held = new AbortController()
    const taken = own.run('sleep', ['60'], { signal: held.signal, reject: false })
    const controller = new AbortController()
    const request = kmod(own).requestRetval(false, 'any', { signal: controller.signal })
    controller.abort()
    assert.equal(await request, -errno('ERESTARTSYS'))
    held.abort()
    await taken
  })
})

test('no more than 16 helpers hold a thread at once; programs are not held up by them', async () => {
  await using own = boot({ khelpers: 1 })
  const held = new Kmod(own, { allBusy: 50 })
  const release = temporary('release-modprobes')
  setModprobe(
    inThreadHelper(
      `import { existsSync } from 'node:fs'
       export default async () => {
         while (!existsSync(${JSON.stringify(release)})) await new Promise(resolve => setTimeout(resolve, 5))
       }`,
    ),
    own,
  )
  const requests = Array.from({ length: 40 }, (_, index) => held.requestRetval(index % 2 === 0, `m${index}`))
  const early = await Promise.race([
    Promise.all(requests.filter((_, index) => index >= 16)),
    Promise.all(requests.slice(0, 16)),
  ])
  assert.deepEqual(new Set(early), new Set([-errno('ETIME')]))
  assert.equal((await own.run('/bin/true')).exitCode, 0)
  setModprobe('/bin/true', own)
  assert.equal(await held.requestRetval(true, 'program'), 0)
  write('release-modprobes', '')
  assert.deepEqual(new Set(await Promise.all(requests.slice(0, 16))), new Set([0]))
})

test('the numbers are those of Linux', () => {
  assert.equal(MAX_CONCURRENT, 50, 'MAX_KMOD_CONCURRENT')
  assert.equal(ALL_BUSY_TIMEOUT, 5_000, 'MAX_KMOD_ALL_BUSY_TIMEOUT')
  assert.equal(DUPLICATES_KEPT, 60_000, 'an answer is kept for duplicates')
  assert.equal(DEPENDENCY_TIMEOUT, 30_000, 'for a module that is used and still comes')
})

test('50 requests are under way at once; the next waits for 5 s, then -ETIME', async () => {
  await using own = boot({ khelpers: 1 })
  const modules = new Kmod(own)
  const started = write('modprobes', '')
  setModprobe(program('modprobe-sleeps', `echo $$ >> ${started}; exec sleep 20`), own)
  const requests = Array.from({ length: 50 }, (_, index) => modules.requestRetval(true, `m${index}`))
  const pids = () => readFileSync(started, 'utf8').split('\n').slice(0, -1).map(Number)
  await eventually('all 50 run', () => pids().length === 50)
  const before = performance.now()
  assert.equal(await modules.requestRetval(true, 'one-more'), -errno('ETIME'))
  const waited = performance.now() - before
  assert.ok(waited > 4_900 && waited < 15_000, `it has waited ${waited} ms`)
  for (const pid of pids()) process.kill(pid)
  assert.deepEqual(new Set(await Promise.all(requests)), new Set([constants.signals.SIGTERM]))
  assert.equal(pids().length, 50)
})

test('the socket for operators cannot be opened: helpers have one of their own', async () => {
  const taken = write('not-a-socket', '')
  await using own = boot({ socket: taken, khelpers: 1 })
  await assert.rejects(own.ready, { code: 'EADDRINUSE' })
  textsearch(own)
  assert.equal(await kmod(own).requestRetval(true, 'ts_kmp'), 0)
  assert.deepEqual(
    kmod(own)
      .lsmod()
      .map(({ name }) => name),
    ['ts_kmp'],
  )
})

test('there is no place for a socket: the error of what was met, duplicates or not, and the service goes on', async () => {
  await using own = boot({ khelpers: 1 })
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = '/no/such/folder'
  try {
    for (const duplicates of ['0', '1']) {
      own.proc.write('/proc/sys/khelper/module_autoload_dups', duplicates)
      await assert.rejects(kmod(own).requestModule('any'), { code: 'ENOENT' })
      assert.equal(await kmod(own).requestRetval(true, 'any'), -errno('ENOENT'))
    }
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
})

test('why the default helper has failed is in the error; what is wrong with its configuration is told once', async () => {
  await using own = boot({ khelpers: 1 })
  const loaded = kmod(own)
  const folder = moduleFolder({
    'thrower.js': `export const license = 'GPL'
      export const init = () => { throw new Error('no route to the host') }; export const exit = () => {}`,
  })
  depmod(folder)
  const config = write('broken.conf', 'optoins thrower a=1\n')
  own.proc.write('/proc/sys/khelper/module_directory', folder)
  own.proc.write('/proc/sys/khelper/modprobe_config', `/no/such/folder:${config}`)
  const warnings: string[] = []
  const listen = ({ message }: Error) => warnings.push(message)
  process.on('warning', listen)
  for (let time = 0; time < 2; time += 1) {
    await assert.rejects(loaded.requestModule('thrower'), (error: Error) => {
      assert.match(error.message, /^ENOENT: .*wait status 256\): EFAULT: .*no route to the host/)
      assert.match((error.cause as Error).message, /no route to the host/)
      return true
    })
  }
  await assert.rejects(loaded.requestModule('nowhere'), { message: /module nowhere not found in / })
  await assert.rejects(loaded.requestModule(''), {
    retval: 256,
    message: /^ENOENT: .*wait status 256\): ENOENT: no module has an empty name$/,
  })
  process.off('warning', listen)
  assert.equal(warnings.length, 2, warnings.join('\n'))
  assert.match(warnings[0] ?? '', /^modprobe: \/no\/such\/folder: cannot be read \(ENOENT\)/)
  assert.match(warnings[1] ?? '', /broken\.conf:1: unknown directive 'optoins'/)
})

test('the default helper cannot reach the service: that is the cause', async () => {
  await using own = boot({ khelpers: 1 })
  const { envp } = await systemCalls(own).grant([])
  const socket = envp[0]?.slice('KHELPER_SOCKET='.length) ?? ''
  const crowd = Array.from({ length: DEFAULT_LIMITS.connections }, () => connect(socket))
  await Promise.all(crowd.map(each => once(each, 'connect')))
  await assert.rejects(kmod(own).requestModule('ts_kmp'), (error: NodeJS.ErrnoException) => {
    assert.equal(error.code, 'ENOENT')
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'EAGAIN')
    assert.match(error.message, /wait status \d+\): EAGAIN: the service could not be reached/)
    return true
  })
  for (const each of crowd) each.destroy()
})

test('install commands have the helper’s environment and authority, and nothing of the service', async () => {
  await using own = boot({ khelpers: 1 })
  const folder = moduleFolder({
    'ok.js': `export const license = 'GPL', params = { level: 'int' }
      export const init = () => 0; export const exit = () => {}`,
  })
  depmod(folder)
  const seen = temporary('install.environment')
  const command = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url))
  const again = `"${process.execPath}" "${command}" modprobe --ignore-install ok $CMDLINE_OPTS`
  const config = write('install.conf', `install ok env > ${seen} && ${again}\noptions ok level=3\n`)
  own.proc.write('/proc/sys/khelper/module_directory', folder)
  own.proc.write('/proc/sys/khelper/modprobe_config', config)
  process.env['OF_THE_SERVICE'] = 'secret'
  await kmod(own).requestModule('ok')
  delete process.env['OF_THE_SERVICE']
  assert.equal(own.proc.read('/sys/module/ok/parameters/level'), '3\n')
  const names = readFileSync(seen, 'utf8')
    .split('\n')
    .map(line => line.replace(/=.*/, ''))
    .filter(name => name !== '' && !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name))
  assert.deepEqual(names.sort(), [
    'HOME',
    'KHELPER_AUTHORITY',
    'KHELPER_MODPROBE_COMMANDS',
    'KHELPER_SOCKET',
    'MODPROBE_MODULE',
    'PATH',
    'TERM',
  ])
})

test('install commands run in the root folder, as those of a modprobe that Linux starts', async t => {
  await using own = boot({ khelpers: 1 })
  const folder = moduleFolder({ 'one.js': `export const license = 'GPL'` })
  depmod(folder)
  const before = process.cwd()
  process.chdir(folder)
  t.after(() => process.chdir(before))
  const seen = write('install.folder', '')
  own.proc.write('/proc/sys/khelper/module_directory', folder)
  own.proc.write('/proc/sys/khelper/modprobe_config', write('folder.conf', `install one pwd > ${seen}\n`))
  await kmod(own).requestModule('one')
  assert.equal(readFileSync(seen, 'utf8'), '/\n')
})

test('install commands that run modprobe for each other come to an end', async () => {
  await using own = boot({ khelpers: 1 })
  const folder = moduleFolder({
    'one.js': `export const license = 'GPL'`,
    'two.js': `export const license = 'GPL'`,
  })
  depmod(folder)
  const seen = write('install.rounds', '')
  const command = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url))
  // No more than six rounds, should they not end by themselves.
  const install = (name: string, other: string) =>
    `install ${name} echo $MODPROBE_MODULE >> ${seen}; [ $(wc -l < ${seen}) -lt 6 ] && "${process.execPath}" "${command}" modprobe ${other}\n`
  own.proc.write('/proc/sys/khelper/module_directory', folder)
  own.proc.write(
    '/proc/sys/khelper/modprobe_config',
    write('circle.conf', install('one', 'two') + install('two', 'one')),
  )
  await assert.rejects(kmod(own).requestModule('one'), {
    code: 'ENOENT',
    message: /the install command for module one has failed \(1\)/,
  })
  assert.equal(readFileSync(seen, 'utf8'), 'one\ntwo\n')
})
