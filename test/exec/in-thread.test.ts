import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { boot, type HelperError, UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../src/index.js'
import { errno } from '../../src/libc/index.js'
import { eventually, openFds, threads } from '../helpers/resources.js'
import { inThreadHelper, temporary } from '../helpers/temporary.js'

const EXIT = 256
const SIGABRT = 6

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  describe(`in-thread helpers, launcher ${launcher}`, () => {
    const kernel = boot({ khelpers: 2, launcher, resourceLimits: { maxOldGenerationSizeMb: 64 } })
    after(() => kernel.shutdown())
    const call = (source: string, argv = ['helper'], envp: string[] = []) =>
      kernel.callUsermodehelper(inThreadHelper(source), argv, envp, UMH_WAIT_PROC)
    const endless = inThreadHelper('export default () => { for (;;); }')

    test('what main returns is the exit status; nothing is 0', async () => {
      assert.equal(await call('export default () => 3'), 3 * EXIT)
      assert.equal(await call('export default () => {}'), 0)
      assert.equal(await call('export default async () => 255'), 255 * EXIT)
    })

    test('main has argv and envp', async () => {
      const source = `export default (argv, envp) => argv.join() === 'a,ä,' && envp.join() === 'K=v,W=ö' ? 0 : 1`
      assert.equal(await call(source, ['a', 'ä', ''], ['K=v', 'W=ö']), 0)
    })

    test('a value that is no exit status: 256, and why on standard error', async () => {
      for (const value of ['256', '-1', '1.5', '"0"', 'null']) {
        const { retval, stderr } = await kernel.run(inThreadHelper(`export default () => ${value}`), [], {
          reject: false,
        })
        assert.equal(retval, EXIT)
        assert.match(stderr, /exit status from 0 to 255/)
      }
    })

    test('an exception, thrown or rejected: 256, and it is the standard error', async () => {
      for (const source of ['() => { throw new Error("boom") }', 'async () => { throw new Error("boom") }']) {
        await assert.rejects(kernel.run(inThreadHelper(`export default ${source}`)), (error: HelperError) => {
          assert.deepEqual([error.code, error.retval], ['ERR_HELPER_EXIT', EXIT])
          assert.match(String(error.stderr), /Error: boom/)
          return true
        })
      }
    })

    test('process.exit(n) ends the thread and the call with n; another takes its place', async () => {
      assert.equal(await call('export default () => process.exit(9)'), 9 * EXIT)
      assert.equal(await call('export default async () => { await null; process.exit(4) }'), 4 * EXIT)
      assert.equal(await call('export default () => 0'), 0)
      await eventually('two khelpers are there', () => kernel.stats().khelpers === 2)
    })

    test('an endless loop is killed by timeout and by abort; calls beside it are not touched', async () => {
      const others = Array.from({ length: 20 }, () => kernel.run('true'))
      const timed = await kernel.run(endless, [], { timeout: 50, reject: false })
      assert.deepEqual([timed.signalCode, timed.timedOut], ['SIGTERM', true])
      const controller = new AbortController()
      const aborted = kernel.run(endless, [], {
        signal: controller.signal,
        killSignal: 'SIGKILL',
        reject: false,
      })
      setTimeout(() => controller.abort(), 50)
      assert.deepEqual([(await aborted).signalCode, (await aborted).aborted], ['SIGKILL', true])
      await Promise.all(others)
    })

    test('out of memory: SIGABRT, and the kernel goes on', async () => {
      const source = 'export default () => { const all = []; for (;;) all.push(new Array(1e5).fill(0)) }'
      assert.equal(await call(source), SIGABRT)
      assert.equal(await call('export default () => 0'), 0)
    })

    test('context.signal is aborted first, and the helper has the grace period', async () => {
      const source = `export default (argv, envp, { signal }) =>
        new Promise(resolve => signal.addEventListener('abort', () => resolve(33)))`
      const { exitCode, timedOut } = await kernel.run(inThreadHelper(source), [], {
        timeout: 1_000,
        reject: false,
      })
      assert.deepEqual([exitCode, timedOut], [33, true])
    })

    test('a grace period that is longer than a launch may take is had in full', async () => {
      const source = `export default (argv, envp, { signal }) =>
        new Promise(resolve => signal.addEventListener('abort', () => setTimeout(() => resolve(7), 2500)))`
      const options = { timeout: 200, forceKillAfter: 60_000, reject: false } as const
      const { exitCode, timedOut } = await kernel.run(new URL(inThreadHelper(source)), [], options)
      assert.deepEqual([exitCode, timedOut], [7, true])
    })

    test('a helper that asks for context.signal and loops all the same is killed after the grace period', async () => {
      const source = 'export default (argv, envp, { signal }) => { signal.aborted; for (;;); }'
      const result = await kernel.run(inThreadHelper(source), [], {
        timeout: 1_000,
        forceKillAfter: 50,
        reject: false,
      })
      assert.equal(result.signalCode, 'SIGKILL')
    })

    test('a helper that was always short and now blocks holds up nobody else', async () => {
      const source = `import { existsSync } from 'node:fs'
        export default ([, wait]) => { while (wait && !existsSync(wait)); }`
      const helper = inThreadHelper(source)
      for (let round = 0; round < 400; round += 1) {
        await kernel.callUsermodehelper(helper, ['helper'], [], UMH_WAIT_PROC)
      }
      const file = temporary('short-no-more')
      const blocked = kernel.callUsermodehelper(helper, ['helper', file], [], UMH_WAIT_PROC)
      const others = Array.from({ length: 10 }, () =>
        kernel.callUsermodehelper(helper, ['helper'], [], UMH_WAIT_PROC),
      )
      assert.ok((await Promise.all(others)).every(retval => retval === 0))
      writeFileSync(file, '')
      assert.equal(await blocked, 0)
    })

    test('a module that is missing: -ENOENT; that does not parse, or has no main: -ENOEXEC', async () => {
      const missing = await kernel.callUsermodehelper('file:///no/such/helper.mjs', ['x'], [], UMH_WAIT_PROC)
      assert.equal(missing, -errno('ENOENT'))
      assert.equal(await call('export default ('), -errno('ENOEXEC'))
      assert.equal(await call('export const main = () => 0'), -errno('ENOEXEC'))
      await assert.rejects(kernel.run(inThreadHelper('export default (')), {
        code: 'ENOEXEC',
        syscall: 'import',
      })
    })

    test('timers that a helper leaves behind still run', async () => {
      const flag = new Int32Array(new SharedArrayBuffer(4))
      const channel = new BroadcastChannel(`left-${launcher}`)
      channel.onmessage = () => Atomics.store(flag, 0, 1)
      const source = `export default () => {
        setTimeout(() => { const c = new BroadcastChannel('left-${launcher}'); c.postMessage(1); c.close() }, 50)
      }`
      assert.equal(await call(source), 0)
      await eventually('the timer has run', () => flag[0] === 1)
      channel.close()
    })

    test('an exception after main has returned costs its thread and nothing else', async () => {
      assert.equal(
        await call('export default () => { setTimeout(() => { throw new Error("late") }, 10) }'),
        0,
      )
      const calls = Array.from({ length: 50 }, () => call('export default () => 1'))
      assert.deepEqual(new Set(await Promise.all(calls)), new Set([EXIT]))
    })

    test('an exception that another helper has left does not end its thread while a module is read', async () => {
      const out = temporary(`put-off-${launcher}`)
      const bomb = inThreadHelper(
        `export default () => { globalThis.explode = () => setTimeout(() => { throw new Error('left') }) }`,
      )
      // Until the timer has thrown, and a little more.
      const slow = inThreadHelper(
        `import { writeFileSync } from 'node:fs'
         globalThis.explode?.()
         for (let turn = 0; turn < 20; turn += 1) await new Promise(resolve => setTimeout(resolve, 1))
         writeFileSync('${out}', 'read')
         export default () => 3`,
      )
      await using own = boot({ khelpers: 1, launcher })
      assert.equal((await own.run(bomb)).exitCode, 0)
      const { exitCode } = await own.run(slow, [], { reject: false })
      assert.equal(exitCode, 1)
      assert.equal(readFileSync(out, 'utf8'), 'read')
      assert.equal((await own.run(bomb)).exitCode, 0)
    })

    test('WAIT_EXEC returns when main has begun; NO_WAIT at once', async () => {
      const source = 'export default () => new Promise(resolve => setTimeout(resolve, 100, 5))'
      assert.equal(await kernel.callUsermodehelper(inThreadHelper(source), ['x'], [], UMH_WAIT_EXEC), 0)
      assert.equal(await kernel.callUsermodehelper(inThreadHelper(source), ['x'], [], UMH_NO_WAIT), 0)
    })

    test('every khelper is held by a helper: a program still starts', async () => {
      const held = [1, 2, 3, 4].map(() => kernel.run(endless, [], { reject: false, killSignal: 'SIGKILL' }))
      assert.equal((await kernel.run('echo', ['through'])).stdout, 'through\n')
      for (const helper of held) helper.kill()
      for (const result of await Promise.all(held)) assert.equal(result.signalCode, 'SIGKILL')
    })

    test('a blocked caller too is told of a helper that exits or runs out of memory', () => {
      const sync = (source: string) =>
        kernel.callUsermodehelperSync(inThreadHelper(source), ['x'], [], UMH_WAIT_PROC)
      assert.equal(sync('export default () => process.exit(2)'), 2 * EXIT)
      if (launcher === 'child_process') return
      assert.equal(
        sync('export default () => { const all = []; for (;;) all.push(new Array(1e5).fill(0)) }'),
        SIGABRT,
      )
    })

    test('what makes no sense in a thread is refused', () => {
      assert.throws(() => kernel.run(endless, [], { stdin: 'pipe' }), { code: 'ERR_INVALID_ARG_VALUE' })
      assert.throws(() => kernel.run(endless, [], { input: 'x' }), { code: 'ERR_INVALID_ARG_VALUE' })
    })
  })
}

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  test(`launcher ${launcher}: process.exit ends the thread also where a listener of exit throws, or never returns`, async () => {
    const before = { threads: threads(), fds: openFds() }
    await using own = boot({ khelpers: 1, launcher })
    const throws = 'process.on("exit", () => { throw new Error("in the listener") });'
    for (const [main, wait = UMH_WAIT_PROC] of [
      [`() => { ${throws} process.exit(7) }`],
      [`async () => { await null; ${throws} process.exit(7) }`],
      [`() => { ${throws} try { process.exit(7) } catch {} return 3 }`],
      [
        `() => { ${throws} try { process.exit(7) } catch {} return new Promise(() => setInterval(() => {}, 9)) }`,
      ],
      ['() => { process.on("exit", () => { for (;;); }); process.exit(7) }'],
      [`() => { ${throws} try { process.exit(7) } catch {} }`, UMH_NO_WAIT],
    ] as const) {
      const helper = inThreadHelper(`export default ${main}`)
      const { retval, stderr } = await own.run(helper, [], { wait, reject: false })
      assert.deepEqual([retval, stderr], [wait === UMH_NO_WAIT ? 0 : 7 * EXIT, ''], main)
      assert.equal(await own.callUsermodehelper(helper, ['x'], [], UMH_WAIT_PROC), 7 * EXIT, main)
      assert.equal((await own.run('echo', ['on'])).stdout, 'on\n')
    }
    const module = inThreadHelper(`${throws} process.exit(7)`)
    assert.equal(await own.callUsermodehelper(module, ['x'], [], UMH_WAIT_PROC), 7 * EXIT)
    await own.shutdown()
    await eventually('every thread has gone', () => threads() <= before.threads)
    await eventually('every descriptor is closed', () => openFds() <= before.fds)
  })
}

test('threads that were added leave, and with shutdown all do', async () => {
  const before = threads()
  const kernel = boot({ khelpers: 1 })
  const endless = inThreadHelper('export default () => { for (;;); }')
  const held = [1, 2].map(() => kernel.run(endless, [], { reject: false }))
  await kernel.run('true')
  for (const helper of held) helper.kill('SIGKILL')
  await Promise.all(held)
  await kernel.shutdown()
  await eventually('no thread is left', () => threads() <= before)
})

test('a helper that uses koffi has all of it, whatever its khelper has let go of', async () => {
  await using kernel = boot({ khelpers: 1 })
  await kernel.run('/bin/true')
  const helper = inThreadHelper(
    `import koffi from '${import.meta.resolve('koffi')}'
     const getpid = koffi.load(null).func('getpid', koffi.types.int, [])
     export default ([, pid]) => getpid() === Number(pid) ? 0 : 1`,
  )
  assert.equal((await kernel.run(helper, [String(process.pid)])).retval, 0)
  await kernel.run('/bin/true')
})
