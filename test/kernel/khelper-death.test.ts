/**
 * A khelper thread that dies at any point: what it held ends, another takes its place, nothing hangs.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { boot, type KhelperDeath } from '../../src/index.js'
import { UMH_WAIT_PROC } from '../../src/kernel/constants.js'
import { Khelper, type KhelperIndex, Memory } from '../../src/kernel/memory.js'
import { errno } from '../../src/libc/index.js'
import { leaveFree } from '../helpers/free-memory.js'
import { eventually, mappings, openFds, threads, zombies } from '../helpers/resources.js'
import { endlessHelper, inThreadHelper, write } from '../helpers/temporary.js'

const ENDINGS = 200
const MANY_KHELPERS = 40
const FREE_BYTES = 256 * 2 ** 20

test('khelpers that die again and again under load: every call ends, with its result or an error', async () => {
  const before = { fds: openFds(), threads: threads() }
  const kernel = boot({ khelpers: 2 })
  await kernel.ready
  // The thread ends between two steps of whatever it is doing: an exception in a timer of its own.
  const bomb = inThreadHelper('export default () => { setTimeout(() => { throw new Error("dies") }, 1) }')
  const retvals = new Map<number, number>()
  let left = 1500
  await Promise.all(
    Array.from({ length: 16 }, async (_, lane) => {
      while (left > 0) {
        left -= 1
        const die = lane === 0 && left % 3 === 0
        const retval = die
          ? await kernel.callUsermodehelper(bomb, ['x'], [], UMH_WAIT_PROC)
          : (await kernel.run('/bin/echo', ['x'], { reject: false })).retval
        retvals.set(retval, (retvals.get(retval) ?? 0) + 1)
      }
    }),
  )
  for (const retval of retvals.keys()) assert.ok([0, 256, -errno('EOWNERDEAD')].includes(retval), `${retval}`)
  assert.ok((retvals.get(0) ?? 0) > 1000)
  const { capacity, available } = kernel.stats().descriptors
  assert.equal(available, capacity)
  await eventually('two khelpers are there', () => kernel.stats().khelpers >= 2)
  await eventually('every process has been reaped', () => kernel.stats().processes === 0)
  assert.equal(zombies(), 0)
  await kernel.shutdown()
  await eventually('every descriptor is closed', () => openFds() <= before.fds)
  await eventually('every thread has gone', () => threads() <= before.threads)
})

test('a khelper that is ended from outside while it launches programs', async () => {
  const kernel = boot({ khelpers: 2 })
  await kernel.ready
  const memory = Memory.attach(kernel.handle.memory)
  const killer = inThreadHelper('export default () => { for (;;); }')
  const ends: (number | string | null)[] = []
  const lane = async (count: number, call: (number: number) => Promise<number | string | null>) => {
    for (let number = 0; number < count; number += 1) ends.push(await call(number))
  }
  const programs = () => lane(75, async () => (await kernel.run('/bin/true', [], { reject: false })).retval)
  // In-thread helpers that are killed at once, between the programs.
  const killed = () =>
    lane(15, async delay => {
      const options = { timeout: delay % 5, forceKillAfter: false, reject: false } as const
      return (await kernel.run(killer, [], options)).signalCode
    })
  await Promise.all([...Array.from({ length: 8 }, programs), killed(), killed()])
  assert.equal(ends.filter(end => end === 0).length, 600)
  assert.equal(ends.filter(end => end === 'SIGTERM').length, 30)
  for (let khelper = 0; khelper < 2; khelper += 1) {
    assert.equal(Atomics.load(memory.words, memory.khelper(khelper as KhelperIndex) + Khelper.CURRENT), 0)
  }
  await kernel.shutdown()
})

test('onKhelperDeath tells of every death, and of nothing else', async () => {
  const kernel = boot({ khelpers: 1, resourceLimits: { maxOldGenerationSizeMb: 16 } })
  await kernel.ready
  const deaths: KhelperDeath[] = []
  const mourning = kernel.onKhelperDeath(death => deaths.push(death))
  const next = async (count: number) => {
    await eventually(`death ${count}`, () => deaths.length === count)
    return deaths.at(-1)
  }
  await kernel.run('true')
  const returns = inThreadHelper('export default () => { throw new Error("a status of 1") }')
  assert.equal(await kernel.callUsermodehelper(returns, ['x'], [], UMH_WAIT_PROC), 256)

  const throws = inThreadHelper(
    'export default () => new Promise(() => setTimeout(() => { throw new Error("dies") }))',
  )
  assert.equal(await kernel.callUsermodehelper(throws, ['x'], [], UMH_WAIT_PROC), 256)
  const thrown = await next(1)
  assert.deepEqual(
    [
      thrown?.reason,
      thrown?.error?.message,
      thrown?.exitCode,
      thrown?.signal,
      thrown?.helper,
      thrown?.khelper,
    ],
    ['error', 'dies', 1, undefined, throws, 0],
  )
  if (process.platform === 'linux') assert.ok((thrown?.threadId ?? 0) > 0)

  const late = inThreadHelper('export default () => { setTimeout(() => { throw new Error("late") }, 1) }')
  assert.equal(await kernel.callUsermodehelper(late, ['x'], [], UMH_WAIT_PROC), 0)
  const lateDeath = await next(2)
  assert.deepEqual([lateDeath?.reason, lateDeath?.error?.message, lateDeath?.helper], ['error', 'late', late])

  const exits = inThreadHelper('export default () => process.exit(3)')
  assert.equal(await kernel.callUsermodehelper(exits, ['x'], [], UMH_WAIT_PROC), 768)
  const exited = await next(3)
  assert.deepEqual([exited?.reason, exited?.exitCode, exited?.helper], ['exit', 3, exits])

  const endless = endlessHelper()
  const helper = kernel.run(endless.url, [], { reject: false })
  await eventually('it runs', endless.begun)
  helper.kill('SIGTERM')
  await helper
  const killed = await next(4)
  assert.deepEqual([killed?.reason, killed?.signal, killed?.helper], ['signal', 15, endless.url])

  const eats = inThreadHelper(
    'export default () => { const all = []; for (;;) all.push(new Array(1e4).fill({})) }',
  )
  await kernel.run(eats, [], { reject: false })
  const starved = await next(5)
  assert.deepEqual([starved?.reason, starved?.signal, starved?.helper], ['error', 6, eats])

  mourning()
  await kernel.callUsermodehelper(exits, ['x'], [], UMH_WAIT_PROC)
  await eventually('another thread is there', () => kernel.stats().khelpers === 1)
  assert.throws(() => kernel.onKhelperDeath(1 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await kernel.shutdown()
  assert.equal(deaths.length, 5)
})

test('a death that has ended a call is told before the kernel’s shutdown is over', async () => {
  const throws = inThreadHelper(
    'export default () => new Promise(() => setTimeout(() => { throw new Error("dies") }))',
  )
  for (let round = 0; round < 3; round += 1) {
    const kernel = boot({ khelpers: 1 })
    const deaths: KhelperDeath[] = []
    kernel.onKhelperDeath(death => deaths.push(death))
    // One that has ended already, and one that is in flight.
    const call = kernel.callUsermodehelper(throws, ['x'], [], UMH_WAIT_PROC)
    if (round > 0) await call
    await kernel.shutdown()
    assert.deepEqual(
      deaths.map(({ error }) => error?.message),
      ['dies'],
    )
  }
})

/** Node itself leaks a file that a thread was just opening when it was ended: only what a khelper holds is counted. */
const eventFds = (): number =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]'
    } catch {
      return false
    }
  }).length

test('khelpers that are ended from outside leave no descriptor, each time', async () => {
  const kernel = boot({ khelpers: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } })
  await kernel.ready
  await kernel.run('/bin/true')
  const before = eventFds()
  const endless = inThreadHelper('export default () => { for (;;); }')
  const hoarding = inThreadHelper(
    'export default () => { for (const all = []; ;) all.push(new Array(9999).fill(all)) }',
  )
  for (let round = 0; round < 5; round += 1) {
    assert.equal((await kernel.run(endless, [], { timeout: 1, reject: false })).signalCode, 'SIGTERM')
    assert.equal((await kernel.run(hoarding, [], { reject: false })).signalCode, 'SIGABRT')
  }
  await kernel.run('/bin/true')
  await eventually('as many descriptors as before', () => eventFds() <= before)
  await kernel.shutdown()
})

test('khelpers that are ended give back the memory that their FFI has mapped', async () => {
  const kernel = boot({ khelpers: 1 })
  const endless = inThreadHelper('export default () => { for (;;); }')
  const end = async (times: number): Promise<void> => {
    for (let round = 0; round < times; round += 1) {
      await kernel.run(endless, [], { timeout: 1, reject: false })
      await kernel.run('/bin/true')
    }
  }
  await end(10)
  const before = mappings()
  await end(30)
  const grown = mappings() - before
  assert.ok(grown < 30, `30 endings left ${grown} mappings`)
  await kernel.shutdown()
})

test('khelpers that have ended leave nothing allocated by the FFI', async () => {
  const exits = inThreadHelper('export default () => process.exit(3)')
  const service = write(
    'endings.mjs',
    `import koffi from '${import.meta.resolve('koffi')}'
     import { boot } from '${new URL('../../src/index.js', import.meta.url).href}'
     const fields = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split(' ')
     const struct = koffi.struct(Object.fromEntries(fields.map(name => [name, 'size_t'])))
     const mallinfo2 = koffi.load(null).func('mallinfo2', struct, [])
     const allocated = () => (gc(), gc(), Number(mallinfo2().uordblks))
     const kernel = boot({ khelpers: 1 })
     const end = async times => {
       for (let round = 0; round < times; round += 1) {
         await kernel.run('${exits}', [], { reject: false })
         // By the next one, which has then come up: one that is coming up has memory of its own.
         await kernel.run('/bin/true')
       }
     }
     await end(50)
     const before = allocated()
     await end(${ENDINGS})
     console.log(allocated() - before)
     await kernel.shutdown()`,
  )
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', service])
  // Externals that nobody frees are 6 KB or more for each.
  const each = Number(stdout) / ENDINGS / 1024
  assert.ok(each < 4, `${each} KiB for each khelper that has ended`)
})

test('memory that is free is given back to Linux when many khelpers have ended', async () => {
  const freeLast = leaveFree(FREE_BYTES)
  const before = process.memoryUsage.rss()
  const exits = inThreadHelper('export default () => process.exit(3)')
  await using kernel = boot({ khelpers: 1 })
  for (let ended = 0; ended < MANY_KHELPERS; ended += 1) await kernel.run(exits, [], { reject: false })
  await kernel.run('/bin/true')
  const given = before - process.memoryUsage.rss()
  assert.ok(given > FREE_BYTES / 2, `${given} bytes`)
  freeLast()
})
