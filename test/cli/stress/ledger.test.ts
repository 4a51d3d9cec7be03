import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { after, test } from 'node:test'
import { Ledger } from '../../../src/cli/stress/ledger.js'
import { held, leaked, newFds, resources, settled } from '../../../src/cli/stress/resources.js'
import { type Sample, trends } from '../../../src/cli/stress/soak.js'
import { Weather } from '../../../src/cli/stress/weather.js'
import { boot, GFP_ATOMIC } from '../../../src/index.js'

const whats = ({ problems }: Ledger) => problems.map(({ what }) => what)

test('a call that ends once, with what it may, and is cleaned up after once, leaves nothing', () => {
  const ledger = new Ledger()
  const entry = ledger.begin('umh', 1, 1)
  assert.equal(ledger.open, 1)
  entry.ended('exit 0', ['exit 0'])
  assert.equal(ledger.open, 1)
  entry.cleaned()
  assert.equal(ledger.open, 0)
  ledger.close()
  assert.deepEqual([ledger.problemCount, ledger.calls, ledger.results], [0, 1, { umh: { 'exit 0': 1 } }])
})

test('a call that ends twice is told, with its step', () => {
  const ledger = new Ledger()
  const entry = ledger.begin('umh', 7)
  entry.ended('exit 0')
  entry.ended('SIGTERM')
  assert.deepEqual(ledger.problems, [{ kind: 'umh', step: 7, what: 'ended 2 times, now with SIGTERM' }])
})

test('a call that never ends is overdue, and wrong in the end', () => {
  const ledger = new Ledger()
  const entry = ledger.begin('umh', 3)
  assert.deepEqual(ledger.overdue(30_000), [])
  assert.deepEqual(ledger.overdue(30_000, entry.began + 30_001), [entry])
  ledger.close()
  assert.deepEqual(whats(ledger), ['it has not ended'])
})

test('a cleanup that runs twice, or never, is told', () => {
  const ledger = new Ledger()
  const twice = ledger.begin('twice', 1, 1)
  twice.cleaned()
  twice.cleaned()
  twice.ended('exit 0')
  ledger.begin('never', 2, 1).ended('exit 0')
  ledger.close()
  assert.deepEqual(whats(ledger), [
    'its cleanup ran 2 times',
    'it has ended, but its cleanup ran 0 times instead of 1',
  ])
})

test('a result that the call may not have is told, with those that it may', () => {
  const ledger = new Ledger()
  ledger.begin('umh', 1).ended('-EBUSY', ['exit 0'])
  assert.deepEqual(whats(ledger), ['ended with -EBUSY, where it may end with exit 0'])
})

test('more problems than anybody reads are counted and not kept', () => {
  const ledger = new Ledger()
  for (let step = 0; step < 1_000; step += 1) ledger.wrong('umh', step, 'wrong')
  assert.deepEqual([ledger.problems.length, ledger.problemCount], [100, 1_000])
})

test('a fault counts for every call that it met: those that began while it was there, and before', () => {
  const weather = new Weather()
  const before = weather.now
  const end = weather.begin('fds')
  const during = weather.now
  assert.ok(weather.isActive('fds') && weather.since(before, 'fds') && weather.since(during, 'fds'))
  end()
  assert.ok(weather.since(before, 'fds') && weather.since(during, 'fds') && !weather.isActive('fds'))
  assert.equal(weather.since(weather.now, 'fds'), false)
})

test('an fd that is left open is a leak, with what it is; one of Node’s own is told apart', async () => {
  const before = resources()
  const fd = openSync('/dev/null', 'r')
  assert.match(leaked(before, resources()).join(), /^1 file descriptors: \d+ \/dev\/null$/)
  closeSync(fd)
  assert.deepEqual(await settled(() => leaked(before, resources()), 5_000), [])
  const after = { ...before, fds: [...before.fds, '99 anon_inode:[eventpoll]'] }
  assert.deepEqual(leaked(before, after), [])
  assert.deepEqual(newFds(before, after).nodes, ['99 anon_inode:[eventpoll]'])
})

test('a thread and a child that are left are leaks', () => {
  const before = resources()
  const after = { ...before, threads: before.threads + 2, children: ['7 sh, a zombie'] }
  assert.deepEqual(leaked(before, after), ['2 threads', '1 children: 7 sh, a zombie'])
})

test('a descriptor of the kernel that nobody gives back is a leak', async () => {
  const kernel = boot({ khelpers: 1 })
  after(() => kernel.shutdown())
  assert.deepEqual(held(kernel.stats()), [])
  const info = kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
  assert.ok(info)
  assert.deepEqual(held(kernel.stats()), ['1 descriptors of the kernel'])
  assert.deepEqual(await settled(() => held(kernel.stats()), 50), ['1 descriptors of the kernel'])
  kernel.callUsermodehelperFreeinfo(info)
  assert.deepEqual(held(kernel.stats()), [])
  const wrong = { queued: 1, inFlight: 2, running: 3, processes: 4 }
  assert.equal(held({ ...kernel.stats(), ...wrong }).length, 4)
})

test('a soak is flat if its last quarter is what the first was behind the warm-up', () => {
  const sample = (rssMegabytes: number): Sample => ({
    seconds: 0,
    rssMegabytes,
    heapMegabytes: 10,
    externalMegabytes: 1,
    fds: 30,
    threads: 10,
    callsPerSecond: 100,
    inThreadP50: 1,
    inThreadP99: 2,
    programP50: 3,
    programP99: 4,
  })
  const flat = (megabytes: readonly number[]) =>
    trends(megabytes.map(sample)).find(({ figure }) => figure === 'rssMegabytes')
  const level = Array.from({ length: 100 }, (_, index) => (index < 9 ? 50 : 200 + (index % 3)))
  assert.deepEqual(flat(level), { figure: 'rssMegabytes', first: 201, last: 201, flat: true })
  const rising = Array.from({ length: 100 }, (_, index) => 200 + index)
  assert.equal(flat(rising)?.flat, false)
})
