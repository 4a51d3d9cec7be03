/**
 * Dumps, as in Linux 6.17, fs/coredump.c.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { type CoreDump, coredump } from '../../../src/applications/coredump/index.js'
import { boot, type Kernel } from '../../../src/index.js'
import { eventually, openFds } from '../../helpers/resources.js'
import { inThreadHelper, temporary, write } from '../../helpers/temporary.js'

const KERNEL = new URL('../../../src/kernel/kernel.js', import.meta.url).href
const COREDUMP = new URL('../../../src/applications/coredump/index.js', import.meta.url).href

const sysctl = (kernel: Kernel, name: string, value: string | number) =>
  kernel.proc.write(`/proc/sys/kernel/${name}`, String(value))

const codeOf = (dump: CoreDump | undefined) => (dump?.error as NodeJS.ErrnoException | undefined)?.code

let handlers = 0
/** A program that keeps what it reads, its arguments and its environment; `file` is there when all is. */
function handler(before = '', last = ''): { readonly program: string; readonly file: string } {
  handlers += 1
  const file = temporary(`handled-${handlers}`)
  const program = write(
    `handler-${handlers}.sh`,
    `#!/bin/sh\n${before}\nfor word; do echo "$word"; done > ${file}.argv
/usr/bin/env > ${file}.env\n/bin/cat > ${file}.new\n/bin/mv ${file}.new ${file}\n${last}\n`,
    0o755,
  )
  return { program, file }
}

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  describe(`dumpReport to a program, launcher ${launcher}`, () => {
    const kernel = boot({ khelpers: 2, launcher })
    after(() => kernel.shutdown())

    test('the report is its standard input, its arguments are expanded, its environment is empty', async () => {
      const { program, file } = handler()
      sysctl(kernel, 'core_pattern', `|${program} %e %p %s %E`)
      const big = { text: 'x'.repeat(300_000), environmentVariables: { SECRET: 'secret' } }
      const dump = await coredump(kernel).dumpReport({
        comm: 'my prog',
        signal: 'SIGSEGV',
        exe: '/a/b',
        report: big,
      })
      assert.deepEqual([dump.dumped, dump.error], [true, undefined])
      assert.deepEqual(dump.argv, [program, 'my prog', String(process.pid), '11', '!a!b'])
      await eventually('the handler has read all', () => existsSync(file))
      assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { text: big.text })
      assert.equal(readFileSync(`${file}.argv`, 'utf8'), `my prog\n${process.pid}\n11\n!a!b\n`)
      assert.match(readFileSync(`${file}.env`, 'utf8'), /^(?:(?:PWD|OLDPWD|_|SHLVL)=.*\n)*$/)
    })

    test('core_pipe_limit 1: waits until the handler has ended', async () => {
      const { program, file } = handler('', '/bin/sleep 0.2; : > $0.ended')
      sysctl(kernel, 'core_pattern', `|${program}`)
      sysctl(kernel, 'core_pipe_limit', 1)
      await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })
      assert.equal(readFileSync(file, 'utf8'), 'text')
      assert.ok(existsSync(`${program}.ended`))
      sysctl(kernel, 'core_pipe_limit', 0)
    })

    test('core_pipe_limit 0: does not wait for the handler', async () => {
      const go = temporary(`go-${launcher}`)
      const { program, file } = handler(`while ! [ -e ${go} ]; do /bin/sleep 0.01; done`)
      sysctl(kernel, 'core_pattern', `|${program}`)
      const dump = await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })
      assert.deepEqual([dump.dumped, existsSync(file)], [true, false])
      writeFileSync(go, '')
      await eventually('the handler has read all', () => existsSync(file))
    })

    test('more than core_pipe_limit at once are skipped; the counter comes back on every path', async () => {
      const go = temporary(`limit-${launcher}`)
      const { program } = handler(`while ! [ -e ${go} ]; do /bin/sleep 0.01; done`)
      sysctl(kernel, 'core_pattern', `|${program}`)
      sysctl(kernel, 'core_pipe_limit', 2)
      const dumps = [1, 2, 3].map(tid => coredump(kernel).dumpReport({ comm: 'x', tid, report: 'text' }))
      assert.equal(codeOf(await dumps[2]), 'EAGAIN')
      writeFileSync(go, '')
      assert.deepEqual(
        (await Promise.all(dumps)).map(({ dumped }) => dumped),
        [true, true, false],
      )
      sysctl(kernel, 'core_pattern', '|/no/such/handler')
      for (let tid = 0; tid < 5; tid += 1)
        await coredump(kernel).dumpReport({ comm: 'x', tid, report: 'text' })
      sysctl(kernel, 'core_pattern', `|${program}`)
      assert.ok((await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })).dumped)
      sysctl(kernel, 'core_pipe_limit', 0)
    })

    test('the same thing is dumped once at a time', async () => {
      const { program } = handler()
      sysctl(kernel, 'core_pattern', `|${program}`)
      const [first, second, other] = await Promise.all(
        [7, 7, 8].map(tid => coredump(kernel).dumpReport({ comm: 'x', tid, report: 'text' })),
      )
      assert.ok(first?.dumped && other?.dumped && !second?.dumped)
      assert.equal(codeOf(second), 'EBUSY')
      assert.ok((await coredump(kernel).dumpReport({ comm: 'x', tid: 7, report: 'text' })).dumped)
    })

    test('a program of the folder that the service is in is none: EINVAL, where it is set and where it is used', async t => {
      const folder = temporary('service-folder')
      mkdirSync(folder, { recursive: true })
      const before = process.cwd()
      process.chdir(folder)
      t.after(() => process.chdir(before))
      writeFileSync('handler', `#!/bin/sh\n: > ${folder}/was-run\n`, { mode: 0o755 })
      const path = '/proc/sys/kernel/core_pattern'
      for (const pattern of ['|handler', '|./handler', '|%q./handler', '|file:///x.mjs']) {
        await using own = boot({ khelpers: 1 })
        assert.throws(() => sysctl(own, 'core_pattern', pattern), { code: 'EINVAL', path })
        // As code of the service's own may have put it there.
        own.proc.define(path, { read: () => `${pattern}\n` })
        const dump = await coredump(own).dumpReport({ comm: 'x', report: 'text' })
        const sync = coredump(own).dumpReportSync({ comm: 'x', report: 'text' })
        for (const { dumped, error } of [dump, sync]) {
          assert.deepEqual(
            [pattern, dumped, (error as NodeJS.ErrnoException).code],
            [pattern, false, 'EINVAL'],
          )
        }
      }
      assert.equal(existsSync('was-run'), false)
    })

    test('handler missing, not executable, without a name: no dump, no exception', async () => {
      for (const [pattern, code] of [
        ['|/no/such/handler', 'ENOENT'],
        ['|/etc', 'EACCES'],
        ['| ', 'ENOENT'],
        ['|', 'EINVAL'],
        ['@/run/socket', 'EOPNOTSUPP'],
      ] as const) {
        sysctl(kernel, 'core_pattern', pattern)
        const dump = await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })
        assert.deepEqual([pattern, dump.dumped, codeOf(dump)], [pattern, false, code])
        const sync = coredump(kernel).dumpReportSync({ comm: 'x', report: 'text' })
        assert.deepEqual([pattern, sync.dumped, codeOf(sync)], [pattern, false, code])
      }
    })

    test('the blocking form: the handler has the whole report, whatever its size', async () => {
      const { program, file } = handler()
      sysctl(kernel, 'core_pattern', `|${program} %e`)
      const text = 'x'.repeat(300_000)
      assert.deepEqual(coredump(kernel).dumpReportSync({ comm: 'a b', report: text }).error, undefined)
      await eventually('the handler has read all', () => existsSync(file))
      assert.equal(readFileSync(file, 'utf8'), text)
      assert.equal(readFileSync(`${file}.argv`, 'utf8'), 'a b\n')
    })

    test('the blocking form with core_pipe_limit 1 waits until the handler has ended, or the time is over', async () => {
      const { program, file } = handler('/bin/sleep 0.1')
      sysctl(kernel, 'core_pattern', `|${program}`)
      sysctl(kernel, 'core_pipe_limit', 1)
      coredump(kernel).dumpReportSync({ comm: 'x', report: 'text' })
      assert.equal(readFileSync(file, 'utf8'), 'text')
      const go = temporary(`sync-${launcher}`)
      const slow = handler(`while ! [ -e ${go} ]; do /bin/sleep 0.01; done`)
      sysctl(kernel, 'core_pattern', `|${slow.program}`)
      coredump(kernel).dumpReportSync({ comm: 'x', report: 'text' }, 20)
      assert.ok(!existsSync(slow.file))
      writeFileSync(go, '')
      sysctl(kernel, 'core_pipe_limit', 0)
      await eventually('every process is reaped', () => kernel.stats().inFlight === 0)
    })
  })
}

describe('what the handler does', () => {
  const kernel = boot({ khelpers: 2 })
  after(() => kernel.shutdown())
  const dumps: CoreDump[] = []
  const listen = (dump: unknown) => dumps.push(dump as CoreDump)
  channel('khelper:coredump').subscribe(listen)
  after(() => channel('khelper:coredump').unsubscribe(listen))

  test('a handler that does not read to the end: failure, no exception', async () => {
    sysctl(kernel, 'core_pattern', `|${write('reads-nothing.sh', '#!/bin/sh\nexec 0<&-\n', 0o755)}`)
    const dump = await coredump(kernel).dumpReport({ comm: 'x', report: 'x'.repeat(5_000_000) })
    assert.deepEqual([dump.dumped, codeOf(dump)], [false, 'EPIPE'])
  })

  test('helpers are disabled: no dump, no exception', async () => {
    sysctl(kernel, 'core_pattern', `|${handler().program}`)
    await kernel.usermodehelperDisable()
    assert.equal(codeOf(await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })), 'EBUSY')
    assert.equal(codeOf(coredump(kernel).dumpReportSync({ comm: 'x', report: 'text' })), 'EBUSY')
    await kernel.usermodehelperEnable()
  })

  test('a handler that crashes makes no dump of its own', async () => {
    const { program } = handler('', 'kill -SEGV $$')
    sysctl(kernel, 'core_pattern', `|${program}`)
    sysctl(kernel, 'core_pipe_limit', 1)
    dumps.length = 0
    assert.ok((await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })).dumped)
    sysctl(kernel, 'core_pipe_limit', 0)
    assert.equal(dumps.length, 1)
  })

  test('nothing is left open', async () => {
    const { program } = handler()
    sysctl(kernel, 'core_pattern', `|${program}`)
    const dump = async (pattern: string) => {
      sysctl(kernel, 'core_pattern', pattern)
      await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })
      coredump(kernel).dumpReportSync({ comm: 'x', report: 'text' })
    }
    await dump(`|${program}`)
    await eventually('every process is reaped', () => kernel.stats().processes === 0)
    const before = openFds()
    for (let count = 0; count < 10; count += 1) {
      await dump(`|${program}`)
      await dump('|/no/such')
      await dump('/no/such/folder/core')
    }
    await eventually('every descriptor is closed', () => openFds() <= before)
  })
})

describe('dumpReport to a file', () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  const dumpTo = (pattern: string, report: string | object = 'text') => {
    sysctl(kernel, 'core_pattern', pattern)
    return coredump(kernel).dumpReport({ comm: 'x/y', report })
  }

  test('its owner alone may read it', async () => {
    const { path, dumped } = await dumpTo(temporary('core.%e.%p'))
    assert.ok(dumped)
    assert.equal(path, temporary(`core.x!y.${process.pid}`))
    assert.equal(readFileSync(path ?? '', 'utf8'), 'text')
    assert.equal(statSync(path ?? '').mode & 0o777, 0o600)
  })

  test('core_uses_pid', async () => {
    sysctl(kernel, 'core_uses_pid', 1)
    assert.equal((await dumpTo(temporary('uses'))).path, temporary(`uses.${process.pid}`))
    sysctl(kernel, 'core_uses_pid', 0)
  })

  test('what is there is replaced; a link is, too, and not what it points to', async () => {
    const target = write('precious', 'precious')
    symlinkSync(target, temporary('core-link'))
    assert.ok((await dumpTo(temporary('core-link'))).dumped)
    assert.equal(readFileSync(target, 'utf8'), 'precious')
    assert.equal(readFileSync(temporary('core-link'), 'utf8'), 'text')
    assert.ok((await dumpTo(temporary('core-link'), 'again')).dumped)
    assert.equal(readFileSync(temporary('core-link'), 'utf8'), 'again')
  })

  test('a folder, a folder that is not there, an empty name: no dump, no exception', async () => {
    mkdirSync(temporary('folder'))
    for (const [pattern, code] of [
      [temporary('folder'), 'EEXIST'],
      ['/no/such/folder/core', 'ENOENT'],
      ['', 'ENOENT'],
      ['%z', 'ENOENT'],
    ] as const) {
      const { dumped, error } = await dumpTo(pattern)
      assert.deepEqual([pattern, dumped, (error as NodeJS.ErrnoException).code], [pattern, false, code])
    }
  })

  test('Node’s diagnostic report by default, without any environment variable', async () => {
    process.env['KHELPER_TEST_SECRET'] = 'a-secret-of-the-environment'
    sysctl(kernel, 'core_pattern', temporary('core.report'))
    await coredump(kernel).dumpReport({ comm: 'x' })
    const text = readFileSync(temporary('core.report'), 'utf8')
    const report = JSON.parse(text)
    assert.equal(report.header.processId, process.pid)
    assert.ok(report.header.commandLine.length > 0)
    assert.ok(report.workers.length > 0)
    assert.doesNotMatch(text, /a-secret-of-the-environment|environmentVariables/)
  })

  test('a report that cannot be had: no dump, no exception', async () => {
    sysctl(kernel, 'core_pattern', temporary('core.none'))
    const error = new Error('of its own')
    const report = () => {
      throw error
    }
    assert.equal((await coredump(kernel).dumpReport({ comm: 'x', report })).error, error)
    assert.ok(!existsSync(temporary('core.none')))
  })

  test('what cannot be is refused', () => {
    const room = coredump(kernel)
    const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
    const range = { code: 'ERR_OUT_OF_RANGE' }
    for (const dump of [room.dumpReport.bind(room), room.dumpReportSync.bind(room)]) {
      assert.throws(() => dump(null as never), wrong)
      assert.throws(() => dump({} as never), wrong)
      assert.throws(() => dump({ comm: 'x', report: 1 as never }), wrong)
      assert.throws(() => dump({ comm: 'x', exe: 1 as never }), wrong)
      assert.throws(() => dump({ comm: 'x', pid: '1' as never }), wrong)
      assert.throws(() => dump({ comm: 'x', signal: {} as never }), wrong)
      assert.throws(() => dump({ comm: 'x', tid: -1 }), range)
      assert.throws(() => dump({ comm: 'x', pid: 0.5 }), range)
      assert.throws(() => dump({ comm: 'x', signal: 65 }), range)
      assert.throws(() => dump({ comm: 'x', signal: 'SIGNONE' as never }), { code: 'ERR_INVALID_ARG_VALUE' })
      assert.throws(() => dump({ comm: 'x\0' }), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    assert.throws(() => room.dumpReportSync({ comm: 'x' }, -1), range)
    assert.throws(() => room.onUncaughtException({ longest: '1' as never }), wrong)
    assert.throws(() => coredump(kernel, { longest: -1 }), range)
    assert.throws(() => coredump(kernel, null as never), wrong)
    assert.equal(coredump(kernel), room)
  })
})

describe('khelper threads that die', () => {
  const kernel = boot({ khelpers: 1, resourceLimits: { maxOldGenerationSizeMb: 16 } })
  after(() => kernel.shutdown())
  const dumps: CoreDump[] = []
  const listen = (dump: unknown) => dumps.push(dump as CoreDump)
  channel('khelper:coredump').subscribe(listen)
  after(() => channel('khelper:coredump').unsubscribe(listen))
  const dumpOf = async (helper: string) => {
    dumps.length = 0
    sysctl(kernel, 'core_pattern', temporary('core.thread'))
    coredump(kernel)
    const retval = await kernel.callUsermodehelper(helper, ['x'], [], 2)
    await eventually('it has been dumped', () => dumps.length === 1)
    return { dump: dumps[0], retval, text: readFileSync(temporary('core.thread'), 'utf8') }
  }

  test('an in-thread helper’s exception: its own stack, its name; its call still has its status', async () => {
    const helper = inThreadHelper(
      'export default () => new Promise(() => setTimeout(() => { throw new Error("of the helper") }))',
    )
    const { dump, retval, text } = await dumpOf(helper)
    assert.equal(retval, 256)
    assert.deepEqual(
      [dump?.dumped, dump?.comm, dump?.signal],
      [true, helper.slice(helper.lastIndexOf('/') + 1), 6],
    )
    assert.match(JSON.parse(text).javascriptStack.message, /of the helper/)
  })

  for (const [what, main] of [
    ['throws', '() => { throw new TypeError("of main") }'],
    ['rejects', 'async () => { throw new TypeError("of main") }'],
    ['throws what is no Error', '() => { throw "of main" }'],
    ['gives what is no exit status', '() => "of main"'],
  ] as const) {
    test(`an in-thread helper whose main ${what}: dumped, and its thread goes on`, async () => {
      await kernel.run('/bin/true')
      const helper = inThreadHelper(`export default ${main}`)
      const { dump, retval, text } = await dumpOf(helper)
      assert.equal(retval, 256)
      assert.deepEqual(
        [dump?.dumped, dump?.comm, dump?.signal],
        [true, helper.slice(helper.lastIndexOf('/') + 1), 6],
      )
      const { message, stack } = JSON.parse(text).javascriptStack
      assert.match(message, /of main/)
      if (what === 'throws') assert.match(stack[0], /helper-\d+\.mjs/)
    })
  }

  test('two that throw on one thread, the second while the first is being dumped: each has its dump', async () => {
    const other = boot({ khelpers: 1 })
    const go = temporary('two-go')
    sysctl(other, 'core_pattern', `|${handler(`while ! [ -e ${go} ]; do /bin/sleep 0.01; done`).program}`)
    sysctl(other, 'core_pipe_limit', 2)
    coredump(other)
    dumps.length = 0
    const throws = inThreadHelper('export default () => { throw new Error() }')
    for (let count = 0; count < 2; count += 1) await other.callUsermodehelper(throws, ['x'], [], 2)
    writeFileSync(go, '')
    await other.shutdown()
    assert.deepEqual(
      dumps.map(({ dumped }) => dumped),
      [true, true],
    )
  })

  for (const [what, helper] of [
    ['thread has died', 'export default () => new Promise(() => setTimeout(() => { throw new Error() }))'],
    ['main has thrown', 'export default () => { throw new Error() }'],
  ] as const) {
    test(`a helper whose ${what} right before the kernel’s shutdown has its dump`, async () => {
      for (let round = 0; round < 3; round += 1) {
        const other = boot({ khelpers: 1 })
        const { program, file } = handler()
        sysctl(other, 'core_pattern', `|${program}`)
        sysctl(other, 'core_pipe_limit', 1)
        coredump(other)
        await other.callUsermodehelper(inThreadHelper(helper), ['x'], [], 2)
        await other.shutdown()
        assert.ok(existsSync(file))
      }
    })
  }

  for (const limit of [0, 1]) {
    test(`core_pipe_limit ${limit}: a shutdown waits no longer than it may for a handler that reads nothing`, async () => {
      const before = openFds()
      const other = boot({ khelpers: 1 })
      const go = temporary(`reads-nothing-${limit}`)
      const wait = `: > ${go}.begun; while ! [ -e ${go} ]; do /bin/sleep 0.01; done`
      sysctl(other, 'core_pattern', `|${write(`reads-nothing-${limit}.sh`, `#!/bin/sh\n${wait}\n`, 0o755)}`)
      sysctl(other, 'core_pipe_limit', limit)
      const dump = coredump(other, { longest: 50 }).dumpReport({ comm: 'x', report: 'x'.repeat(2_000_000) })
      await eventually('it runs', () => existsSync(`${go}.begun`))
      await other.shutdown()
      assert.equal(codeOf(await dump), 'ETIMEDOUT')
      writeFileSync(go, '')
      await eventually('every descriptor is closed', () => openFds() <= before)
    })
  }

  test('one that takes all memory', async () => {
    const { dump, retval } = await dumpOf(
      inThreadHelper('export default () => { const all = []; for (;;) all.push(new Array(1e4).fill({})) }'),
    )
    assert.deepEqual([retval, dump?.dumped, dump?.signal], [6, true, 6])
  })

  test('the dump is made of each death, and waited for by the kernel’s shutdown', async () => {
    const other = boot({ khelpers: 1 })
    const { program, file } = handler('/bin/sleep 0.1')
    sysctl(other, 'core_pattern', `|${program}`)
    sysctl(other, 'core_pipe_limit', 1)
    const dump = coredump(other).dumpReport({ comm: 'x', report: 'text' })
    await other.shutdown()
    assert.equal(readFileSync(file, 'utf8'), 'text')
    assert.ok((await dump).dumped)
  })

  test('process.exit, and a signal that asks to end, are no crash', async () => {
    dumps.length = 0
    const exits = inThreadHelper('export default () => process.exit(3)')
    assert.equal(await kernel.callUsermodehelper(exits, ['x'], [], 2), 768)
    const started = temporary('endless')
    const endless = inThreadHelper(
      `import { writeFileSync } from 'node:fs'\nexport default () => { writeFileSync('${started}', ''); for (;;); }`,
    )
    const helper = kernel.run(endless, [], { reject: false })
    await eventually('it runs', () => existsSync(started))
    helper.kill('SIGKILL')
    await helper
    await dumpOf(inThreadHelper('export default () => { setTimeout(() => { throw new Error("last") }) }'))
    assert.equal(dumps.length, 1)
  })
})

/** An end that takes longer hangs: what it waits for has deadlines of its own. */
const HANGS_MS = 60_000

describe('the service’s own end', () => {
  const end = (name: string, source: string, command = [process.execPath]) => {
    const file = write(
      `${name}.mjs`,
      `import { boot } from '${KERNEL}'
       import { coredump } from '${COREDUMP}'
       const kernel = boot({ khelpers: 1 })
       const sysctl = (name, value) => kernel.proc.write('/proc/sys/kernel/' + name, value)
       ${source}`,
    )
    const [program = '', ...args] = command
    return spawnSync(program, [...args, file], { encoding: 'utf8', timeout: HANGS_MS })
  }

  for (const [what, throwing] of [
    ['exception', "setTimeout(() => { throw new Error('the last') })"],
    ['rejection', "Promise.reject(new Error('the last'))"],
    ['thing that is no Error', "setTimeout(() => { throw 'the last' })"],
  ] as const) {
    test(`an uncaught ${what}: the handler has the report, the process ends as it would have`, async () => {
      const { program, file } = handler()
      const { status, stderr } = end(
        `uncaught-${what.length}`,
        `sysctl('core_pattern', '|${program} %e %s')\ncoredump(kernel).onUncaughtException()\n${throwing}`,
      )
      assert.equal(status, 1)
      assert.match(stderr, /the last/)
      await eventually('the handler has read all', () => existsSync(file))
      assert.match(JSON.parse(readFileSync(file, 'utf8')).javascriptStack.message, /the last/)
      assert.match(readFileSync(`${file}.argv`, 'utf8'), /^uncaught-\d+\.mjs\n6\n$/)
    })
  }

  test('core_pipe_limit 1: the process is still there until the handler has ended', () => {
    const { program, file } = handler('', '/bin/ls -d /proc/$1 > $0.there')
    end(
      'waits',
      `sysctl('core_pattern', '|${program} %p')\nsysctl('core_pipe_limit', '1')
       coredump(kernel).onUncaughtException()\nthrow new Error('the last')`,
    )
    assert.ok(existsSync(file))
    assert.match(readFileSync(`${program}.there`, 'utf8'), /^\/proc\/\d+\n$/)
  })

  /** Says what became of the dump of the service, which then has to die whatever holds the program up. */
  const TOLD = `import { subscribe } from 'node:diagnostics_channel'
       import { writeSync } from 'node:fs'
       subscribe('khelper:coredump', ({ dumped, error }) => writeSync(1, dumped + ' ' + error?.code))`

  for (const limit of [0, 1]) {
    test(`every descriptor is taken, core_pipe_limit ${limit}: dies when the time is over`, () => {
      const { status, stdout, stderr } = end(
        `descriptors-${limit}`,
        `${TOLD}
         const small = boot({ khelpers: 1, descriptors: 1 })
         small.run('sleep', ['60']).catch(() => {})
         const set = (name, value) => small.proc.write('/proc/sys/kernel/' + name, value)
         set('core_pattern', '|/bin/true')\nset('core_pipe_limit', '${limit}')
         coredump(small).onUncaughtException({ longest: 50 })
         throw new Error('the last')`,
      )
      assert.deepEqual([status, stdout], [1, 'false ETIMEDOUT'])
      assert.match(stderr, /the last/)
    })
  }

  test('every khelper is held by an in-thread helper: the program has one of its own', () => {
    const { status, stdout, stderr } = end(
      'khelpers',
      `${TOLD}
       sysctl('core_pattern', '|/bin/true')
       coredump(kernel).onUncaughtException({ longest: 10_000 })
       const endless = '${inThreadHelper('export default () => new Promise(() => {})')}'
       for (let count = 0; count < 40; count += 1) kernel.run(endless).catch(() => {})
       // As many threads as may be added, each held but the last, which takes programs only; eight calls wait.
       const held = () => kernel.proc.read('/proc/khelper/helpers').split('\\n').length - 1
       while (held() < 32 || kernel.stats().khelpers < 33) await new Promise(resolve => setTimeout(resolve, 5))
       throw new Error('the last')`,
    )
    assert.deepEqual([status, stdout], [1, 'true undefined'])
    assert.match(stderr, /the last/)
  })

  test('a handler that does not end with core_pipe_limit 1: dies when the time is over', () => {
    const go = temporary('never-ends')
    const { program } = handler(`while ! [ -e ${go} ]; do /bin/sleep 0.01; done`)
    const { status, stdout } = end(
      'never-ends',
      `${TOLD}
       sysctl('core_pattern', '|${program}')\nsysctl('core_pipe_limit', '1')
       coredump(kernel).onUncaughtException({ longest: 500 })
       throw new Error('the last')`,
    )
    writeFileSync(go, '')
    assert.deepEqual([status, stdout], [1, 'false ETIMEDOUT'])
  })

  test('to a file; a folder that is not there changes nothing', () => {
    const core = temporary('core.uncaught')
    const to = (path: string) =>
      end(
        'to-file',
        `sysctl('core_pattern', '${path}')\ncoredump(kernel).onUncaughtException()\nthrow new Error('the last')`,
      )
    assert.equal(to(core).status, 1)
    assert.match(JSON.parse(readFileSync(core, 'utf8')).javascriptStack.message, /the last/)
    const { status, stderr } = to('/no/such/folder/core')
    assert.equal(status, 1)
    assert.match(stderr, /the last/)
  })

  test('handler missing, or "|" alone: no dump, the process still dies as it would have', () => {
    for (const pattern of ['|/no/such/handler', '|']) {
      const { status, stderr } = end(
        'missing',
        `sysctl('core_pattern', '${pattern}')\ncoredump(kernel).onUncaughtException()\nthrow new Error('the last')`,
      )
      assert.deepEqual([status, /the last/.test(stderr)], [1, true])
    }
  })

  test('an exception that the service handles is not its end', () => {
    const core = temporary('core.handled')
    for (const handles of [
      "process.on('uncaughtException', () => {})",
      'process.setUncaughtExceptionCaptureCallback(() => {})',
    ]) {
      const { status } = end(
        'handled',
        `sysctl('core_pattern', '${core}')\ncoredump(kernel).onUncaughtException()\n${handles}
         setTimeout(() => { throw new Error('handled') })`,
      )
      assert.deepEqual([status, existsSync(core)], [0, false])
    }
  })

  test('not asked for, or taken back: nothing is dumped', () => {
    const core = temporary('core.not')
    const { status } = end(
      'not',
      `sysctl('core_pattern', '${core}')\ncoredump(kernel).onUncaughtException()()\nthrow new Error('the last')`,
    )
    assert.deepEqual([status, existsSync(core)], [1, false])
  })

  const prlimit = spawnSync('prlimit', ['--version']).status === 0
  test('RLIMIT_CORE 1 is the mark of a handler: it pipes no dump', { skip: !prlimit }, () => {
    const { stdout } = end(
      'marked',
      `sysctl('core_pattern', '|/bin/cat')
       console.log((await coredump(kernel).dumpReport({ comm: 'x', report: 'text' })).error.code)`,
      ['prlimit', '--core=1', process.execPath],
    )
    assert.equal(stdout, 'EPERM\n')
  })

  test('a short write is a failure and is not tried again', { skip: !prlimit }, () => {
    const core = temporary('core.short')
    const { stdout } = end(
      'short',
      `sysctl('core_pattern', '${core}')
       console.log((await coredump(kernel).dumpReport({ comm: 'x', report: 'x'.repeat(1000) })).error.code)`,
      ['prlimit', '--fsize=100', process.execPath],
    )
    assert.deepEqual([stdout, statSync(core).size], ['EIO\n', 100])
  })

  test('a room that listens keeps no process alive', () => {
    assert.equal(end('idle', 'coredump(kernel).onUncaughtException()').status, 0)
  })
})
