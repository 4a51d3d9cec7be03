/**
 * fork_usermode_driver, as Linux had it until 6.16 (kernel/usermode_driver.c).
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { after, describe, test } from 'node:test'
import { UmdInfo, usermodeDrivers } from '../../../src/applications/usermode-driver/index.js'
import { boot } from '../../../src/index.js'
import { alive, eventually, openFds } from '../../helpers/resources.js'
import { write } from '../../helpers/temporary.js'

const KERNEL = new URL('../../../src/kernel/kernel.js', import.meta.url).href
const DRIVER = new URL('../../../src/applications/usermode-driver/index.js', import.meta.url).href
/** Answers each line; tells first what it is and where its program is. */
const ECHO = Buffer.from(`#!/bin/sh
echo "$#:$0:$(pwd)"
/usr/bin/env | /bin/grep -vE '^(PWD|OLDPWD|_|SHLVL)='
echo end
while read -r line; do echo "got $line"; done
`)

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  describe(`usermode drivers, launcher ${launcher}`, () => {
    const kernel = boot({ khelpers: 2, launcher })
    after(() => kernel.shutdown())
    const drivers = usermodeDrivers(kernel)
    const fork = async (bytes: Uint8Array = ECHO) => {
      const info = new UmdInfo('echo-driver')
      drivers.umdLoadBlob(info, bytes)
      await drivers.forkUsermodeDriver(info)
      assert.ok(info.pipeToUmh && info.pipeFromUmh && info.tgid !== undefined)
      const lines = createInterface({ input: info.pipeFromUmh })[Symbol.asyncIterator]()
      const line = async () => (await lines.next()).value as string | undefined
      return { info, to: info.pipeToUmh, line, tgid: info.tgid }
    }

    test('talks over its pipes; its name alone, no environment, its folder; ends when its input does', async () => {
      const { info, to, line, tgid } = await fork()
      const [count, name, folder] = ((await line()) ?? '').split(':')
      assert.equal(count, '0')
      // A script is named by its interpreter's argument.
      assert.match(name ?? '', /echo-driver$/)
      assert.equal(statSync(folder ?? '').mode & 0o777, 0o700)
      assert.equal(statSync(`${folder}/echo-driver`).mode & 0o777, 0o700)
      assert.equal(await line(), 'end')
      to.write('one\n')
      assert.equal(await line(), 'got one')
      to.end('two\n')
      assert.equal(await line(), 'got two')
      assert.equal(await line(), undefined)
      await eventually('it has ended', () => !alive(tgid))
      await eventually('and is not there to be signalled', () => !drivers.kill(info, 0))
      drivers.umdCleanup(info)
      assert.deepEqual([info.pipeToUmh, info.pipeFromUmh, info.tgid], [undefined, undefined, undefined])
      drivers.umdUnloadBlob(info)
      assert.ok(!existsSync(folder ?? ''))
    })

    test('exec failure: both pipe ends closed, tgid cleared, the error of the exec; it can be tried again', async () => {
      const info = new UmdInfo('broken')
      drivers.umdLoadBlob(info, Buffer.from('#!/no/such/interpreter\n'))
      const forking = drivers.forkUsermodeDriver(info)
      const { pipeToUmh, pipeFromUmh } = info
      assert.ok(pipeToUmh && pipeFromUmh)
      await assert.rejects(forking, { name: 'SystemError', code: 'ENOENT', retval: -2 })
      assert.deepEqual([info.pipeToUmh, info.pipeFromUmh, info.tgid], [undefined, undefined, undefined])
      assert.ok(pipeToUmh.destroyed && pipeFromUmh.destroyed)
      await assert.rejects(drivers.forkUsermodeDriver(info), { code: 'ENOENT' })
      drivers.umdUnloadBlob(info)
    })

    test('helpers are disabled: EBUSY of the exec, and everything is taken back', async () => {
      const info = new UmdInfo('echo-driver')
      drivers.umdLoadBlob(info, ECHO)
      await kernel.usermodehelperDisable()
      await assert.rejects(drivers.forkUsermodeDriver(info), { code: 'EBUSY', syscall: 'execve' })
      await kernel.usermodehelperEnable()
      assert.equal(info.pipeToUmh, undefined)
      drivers.umdUnloadBlob(info)
    })

    test('a second start: EBUSY, while it starts and while it runs; after the clean-up it starts again', async () => {
      const info = new UmdInfo('echo-driver')
      drivers.umdLoadBlob(info, ECHO)
      const forking = drivers.forkUsermodeDriver(info)
      await assert.rejects(drivers.forkUsermodeDriver(info), {
        code: 'EBUSY',
        syscall: 'fork_usermode_driver',
      })
      await forking
      const first = info.tgid ?? 0
      await assert.rejects(drivers.forkUsermodeDriver(info), { code: 'EBUSY' })
      drivers.umdCleanup(info)
      await eventually('the first has been killed', () => !alive(first))
      await drivers.forkUsermodeDriver(info)
      assert.notEqual(info.tgid, first)
      drivers.umdCleanup(info)
      drivers.umdUnloadBlob(info)
    })

    test('cleaned up while it starts: ECANCELED, and nothing runs on', async () => {
      const info = new UmdInfo('echo-driver')
      drivers.umdLoadBlob(info, ECHO)
      const forking = drivers.forkUsermodeDriver(info)
      drivers.umdCleanup(info)
      await assert.rejects(forking, { code: 'ECANCELED' })
      assert.equal(info.tgid, undefined)
      await eventually('every process is reaped', () => kernel.stats().processes === 0)
      drivers.umdUnloadBlob(info)
    })

    test('kill: with the signal, and everything in its group', async () => {
      const { info, line, tgid } = await fork(Buffer.from('#!/bin/sh\n/bin/sleep 60 &\necho $!\nwait\n'))
      const child = Number(await line())
      assert.ok(alive(child))
      assert.equal(drivers.kill(info, 'SIGKILL'), true)
      await eventually('both have ended', () => !alive(tgid) && !alive(child))
      drivers.umdCleanup(info)
      assert.equal(drivers.kill(info), false)
      drivers.umdUnloadBlob(info)
    })

    test('a driver that has gone: what is written to it throws nothing', async () => {
      const { info, to, tgid } = await fork(Buffer.from('#!/bin/sh\nexit 0\n'))
      await eventually('it has ended', () => !alive(tgid))
      to.write('x'.repeat(200_000))
      // It may have been closed before, if the end was heard of already.
      await eventually('the stream has closed', () => to.destroyed)
      drivers.umdCleanup(info)
      drivers.umdUnloadBlob(info)
    })

    test('unloaded while it runs: it goes on', async () => {
      const { info, to, line } = await fork()
      while ((await line()) !== 'end');
      drivers.umdUnloadBlob(info)
      to.write('still\n')
      assert.equal(await line(), 'got still')
      drivers.umdCleanup(info)
      await assert.rejects(drivers.forkUsermodeDriver(info), { code: 'EINVAL' })
    })

    test('nothing is left open', async () => {
      const round = async () => {
        const { info } = await fork()
        drivers.umdCleanup(info)
        drivers.umdUnloadBlob(info)
      }
      await round()
      await eventually('every process is reaped', () => kernel.stats().processes === 0)
      const before = openFds()
      for (let count = 0; count < 10; count += 1) await round()
      await eventually('every descriptor is closed', () => openFds() <= before)
    })
  })
}

test('loaded twice: EBUSY; unloaded twice: EINVAL; started without a program: EINVAL', async () => {
  const kernel = boot({ khelpers: 1 })
  const drivers = usermodeDrivers(kernel)
  const info = new UmdInfo('d')
  assert.throws(() => drivers.umdUnloadBlob(info), { code: 'EINVAL', syscall: 'umd_unload_blob' })
  await assert.rejects(drivers.forkUsermodeDriver(info), { code: 'EINVAL' })
  drivers.umdLoadBlob(info, ECHO)
  assert.throws(() => drivers.umdLoadBlob(info, ECHO), { code: 'EBUSY', syscall: 'umd_load_blob' })
  drivers.umdUnloadBlob(info)
  assert.throws(() => drivers.umdUnloadBlob(info), { code: 'EINVAL' })
  drivers.umdCleanup(info)
  assert.equal(usermodeDrivers(kernel), drivers)
  await kernel.shutdown()
})

test('what cannot be is refused', async () => {
  const kernel = boot({ khelpers: 1 })
  const drivers = usermodeDrivers(kernel)
  const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
  assert.throws(() => new UmdInfo(1 as never), wrong)
  for (const name of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)]) {
    assert.throws(() => new UmdInfo(name), { code: 'ERR_INVALID_ARG_VALUE' })
  }
  assert.throws(() => drivers.umdLoadBlob({} as never, ECHO), wrong)
  assert.throws(() => drivers.umdLoadBlob(new UmdInfo('d'), 'text' as never), wrong)
  await assert.rejects(drivers.forkUsermodeDriver({} as never), wrong)
  assert.throws(() => drivers.kill({} as never), wrong)
  await kernel.shutdown()
})

test('with the kernel every driver ends and every program goes', async () => {
  const kernel = boot({ khelpers: 1 })
  const info = new UmdInfo('d')
  usermodeDrivers(kernel).umdLoadBlob(info, Buffer.from('#!/bin/sh\npwd\nexec /bin/sleep 60\n'))
  await usermodeDrivers(kernel).forkUsermodeDriver(info)
  const { tgid = 0, pipeFromUmh } = info
  assert.ok(pipeFromUmh)
  const folder = String((await once(pipeFromUmh, 'data'))[0]).trim()
  assert.ok(readdirSync(folder).includes('d'))
  await kernel.shutdown()
  await eventually('it has ended', () => !alive(tgid))
  assert.ok(!existsSync(folder))
  assert.equal(info.tgid, undefined)
})

/** A service with a driver that tells its folder, and how the service goes on and ends. */
const service = (name: string, ends: string): string =>
  write(
    name,
    `import { boot } from '${KERNEL}'
     import { UmdInfo, usermodeDrivers } from '${DRIVER}'
     import { once } from 'node:events'
     const kernel = boot({ khelpers: 1 })
     const info = new UmdInfo('d')
     ${ends}`,
  )

test('with the process every driver ends and every program goes', async () => {
  const file = service(
    'drives.mjs',
    `usermodeDrivers(kernel).umdLoadBlob(info, Buffer.from('#!/bin/sh\\npwd\\nexec /bin/sleep 60\\n'))
     await usermodeDrivers(kernel).forkUsermodeDriver(info)
     console.log(info.tgid + ' ' + (await once(info.pipeFromUmh, 'data'))[0])
     process.exit(3)`,
  )
  const { status, stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 })
  const [tgid, folder = ''] = stdout.trim().split(' ')
  assert.equal(status, 3)
  await eventually('it has ended', () => !alive(Number(tgid)))
  assert.ok(folder.startsWith('/') && !existsSync(folder), folder)
})

test('what a driver has put into its folder, links above all, is not removed with its program', async () => {
  const kernel = boot({ khelpers: 1 })
  const outside = write('outside', 'stays')
  const info = new UmdInfo('d')
  usermodeDrivers(kernel).umdLoadBlob(
    info,
    Buffer.from(`#!/bin/sh\n/bin/ln -s ${dirname(outside)} link\n/bin/mkdir deep\n: > deep/d\npwd\n`),
  )
  await usermodeDrivers(kernel).forkUsermodeDriver(info)
  assert.ok(info.pipeFromUmh)
  const folder = String((await once(info.pipeFromUmh, 'data'))[0]).trim()
  await kernel.shutdown()
  assert.deepEqual(readdirSync(folder).sort(), ['deep', 'link'])
  assert.ok(existsSync(outside))
  rmSync(folder, { recursive: true })
})

test('after a shutdown no program is put anywhere', async () => {
  const kernel = boot({ khelpers: 1 })
  const drivers = usermodeDrivers(kernel)
  await kernel.shutdown()
  assert.throws(() => drivers.umdLoadBlob(new UmdInfo('d'), ECHO), { code: 'ERR_KHELPER_SHUT_DOWN' })
})

test('the program of a service that was killed goes with the next service’s drivers', async () => {
  const file = service(
    'killed.mjs',
    `usermodeDrivers(kernel).umdLoadBlob(info, Buffer.from('#!/bin/sh\\npwd\\nread -r line\\n'))
     await usermodeDrivers(kernel).forkUsermodeDriver(info)
     process.stdout.write(String((await once(info.pipeFromUmh, 'data'))[0]), () => process.kill(process.pid, 'SIGKILL'))`,
  )
  const { signal, stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 })
  const folder = stdout.trim()
  assert.equal(signal, 'SIGKILL')
  assert.ok(existsSync(folder), folder)
  const kernel = boot({ khelpers: 1 })
  usermodeDrivers(kernel)
  assert.equal(existsSync(folder), false)
  await kernel.shutdown()
})
