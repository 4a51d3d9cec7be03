/**
 * kobject_uevent, as in Linux 6.17, lib/kobject_uevent.c.
 */
import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import {
  addUeventVar,
  Kobject,
  Kset,
  type KsetOptions,
  type ReceivedUevent,
  type Uevent,
  type UeventListener,
  uevents,
} from '../../../src/applications/uevent/index.js'
import { boot } from '../../../src/index.js'
import { eventually } from '../../helpers/resources.js'
import { inThreadHelper, temporary, write } from '../../helpers/temporary.js'

const kernel = boot({ khelpers: 2 })
after(() => kernel.shutdown())
const events = uevents(kernel)

const objectIn = (options: KsetOptions = {}, name = 'tenants') =>
  new Kobject('acme', { kset: new Kset(name, options) })

/** What a listener has got so far. */
async function drain(listener: UeventListener): Promise<ReceivedUevent[]> {
  const marker = objectIn({}, 'marker')
  events.kobjectUevent(marker, 'change')
  const got: ReceivedUevent[] = []
  for await (const event of listener) {
    if (event.subsystem === 'marker') break
    got.push(event)
  }
  return got
}

describe('what is sent', () => {
  test('a value that is no text is refused by the name of its variable', () => {
    for (const value of [Symbol('s'), {}, null, () => {}]) {
      assert.throws(() => events.kobjectUeventEnv(objectIn(), 'change', { VALUE: value as never }), {
        code: 'ERR_INVALID_ARG_TYPE',
        message: /"env\.VALUE"/,
      })
    }
  })

  test('ACTION, DEVPATH, SUBSYSTEM, the caller’s, the kset’s, SEQNUM, in this order', async () => {
    const listener = events.events()
    const object = objectIn({ uevent: (_, env) => addUeventVar(env, 'KSET=1') })
    events.kobjectUeventEnv(object, 'change', { CALLER: 1, LEFT_OUT: undefined })
    const [event] = await drain(listener)
    assert.ok(event)
    assert.deepEqual(Object.entries(event.env), [
      ['ACTION', 'change'],
      ['DEVPATH', '/tenants/acme'],
      ['SUBSYSTEM', 'tenants'],
      ['CALLER', '1'],
      ['KSET', '1'],
      ['SEQNUM', String(event.seqnum)],
    ])
    assert.deepEqual(
      [event.action, event.devpath, event.subsystem, event.lost],
      ['change', '/tenants/acme', 'tenants', 0],
    )
  })

  test('the kset of the nearest object above counts, the object’s own first', async () => {
    const listener = events.events()
    const parent = objectIn({}, 'outer')
    events.kobjectUevent(new Kobject('a', { parent }), 'add')
    events.kobjectUevent(new Kobject('b', { parent, kset: new Kset('inner') }), 'add')
    assert.deepEqual(
      (await drain(listener)).map(({ subsystem, devpath }) => [subsystem, devpath]),
      [
        ['outer', '/outer/acme/a'],
        ['inner', '/outer/acme/b'],
      ],
    )
  })

  test('no kset in ancestry gives EINVAL', () => {
    const object = new Kobject('a', { parent: new Kobject('b') })
    assert.throws(() => events.kobjectUevent(object, 'add'), { code: 'EINVAL', retval: -22 })
  })

  test('a kset that is in no kset gives EINVAL for itself', () => {
    assert.throws(() => events.kobjectUevent(new Kset('alone'), 'add'), { code: 'EINVAL' })
  })

  test('suppressed, filtered out, without a subsystem: not sent, no error, no SEQNUM used', async () => {
    const listener = events.events()
    const { seqnum } = events
    const suppressed = objectIn()
    suppressed.ueventSuppress = true
    events.kobjectUevent(suppressed, 'add')
    events.kobjectUevent(objectIn({ filter: () => false }), 'add')
    events.kobjectUevent(objectIn({ name: () => null }), 'add')
    assert.equal(events.seqnum, seqnum)
    assert.deepEqual(await drain(listener), [])
  })

  test('no kset comes before suppressed; suppressed before the filter; the filter before the name', () => {
    const calls: string[] = []
    const kset = {
      filter: () => calls.push('filter') > 0,
      name: () => {
        calls.push('name')
        return 'x'
      },
      uevent: () => {
        calls.push('uevent')
      },
    }
    const orphan = new Kobject('orphan')
    orphan.ueventSuppress = true
    assert.throws(() => events.kobjectUevent(orphan, 'add'), { code: 'EINVAL' })
    const object = objectIn(kset)
    object.ueventSuppress = true
    events.kobjectUevent(object, 'add')
    assert.deepEqual(calls, [])
    object.ueventSuppress = false
    events.kobjectUevent(object, 'add')
    assert.deepEqual(calls, ['filter', 'name', 'uevent'])
  })

  test('an object without a name gives ENOENT, after filter and name were asked', () => {
    const asked: Kobject[] = []
    const kset = new Kset('k', { filter: kobj => asked.push(kobj) > 0 })
    assert.throws(() => events.kobjectUevent(new Kobject(null, { kset }), 'add'), { code: 'ENOENT' })
    assert.equal(asked.length, 1)
  })

  test('the name that a kset gives is the subsystem', async () => {
    const listener = events.events()
    events.kobjectUevent(objectIn({ name: kobj => `of-${kobj.name}` }), 'add')
    assert.equal((await drain(listener))[0]?.subsystem, 'of-acme')
  })

  test('a kset whose uevent gives another number than 0 ends the event with it', async () => {
    const listener = events.events()
    const { seqnum } = events
    const given = (retval: number) => () => events.kobjectUevent(objectIn({ uevent: () => retval }), 'add')
    assert.throws(given(-19), { code: 'ENODEV', retval: -19 })
    assert.throws(given(7), { retval: 7 })
    assert.throws(given(1.5), { code: 'ERR_INVALID_ARG_TYPE' })
    const error = new Error('of its own')
    const throwing = objectIn({
      uevent: () => {
        throw error
      },
    })
    assert.throws(() => events.kobjectUevent(throwing, 'add'), error)
    assert.equal(events.seqnum, seqnum)
    assert.deepEqual(await drain(listener), [])
  })

  test('65th variable gives ENOMEM, the event is not sent', async () => {
    const listener = events.events()
    const variables = (count: number) => Array.from({ length: count }, (_, index) => `K${index}=1`)
    // Three before the caller's, and SEQNUM after them.
    events.kobjectUeventEnv(objectIn(), 'add', variables(60))
    const refused = () => events.kobjectUeventEnv(objectIn(), 'add', variables(61))
    assert.throws(refused, { code: 'ENOMEM', retval: -12 })
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', variables(62)), { code: 'ENOMEM' })
    assert.equal((await drain(listener)).length, 1)
  })

  test('more than 2048 bytes give ENOMEM, the event is not sent', async () => {
    const listener = events.events()
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', [`K=${'x'.repeat(2048)}`]), {
      code: 'ENOMEM',
    })
    assert.deepEqual(await drain(listener), [])
  })

  test('unbind has no MODALIAS, bind has', async () => {
    const listener = events.events()
    for (const action of ['bind', 'unbind'] as const) {
      events.kobjectUeventEnv(objectIn(), action, ['MODALIAS=tenant:a', 'MODALIAS2=b'])
    }
    const [bind, unbind] = await drain(listener)
    assert.equal(bind?.env['MODALIAS'], 'tenant:a')
    assert.equal(unbind?.env['MODALIAS'], undefined)
    assert.equal(unbind?.env['MODALIAS2'], 'b')
  })

  test('SEQNUM counts the events of a kernel, and /sys/kernel/uevent_seqnum shows it', async () => {
    const listener = events.events()
    const before = events.seqnum
    events.kobjectUevent(objectIn(), 'online')
    events.kobjectUevent(objectIn(), 'offline')
    assert.equal(kernel.proc.read('/sys/kernel/uevent_seqnum'), `${before + 2}\n`)
    assert.throws(() => kernel.proc.write('/sys/kernel/uevent_seqnum', '0'), { code: 'EACCES' })
    assert.deepEqual(
      (await drain(listener)).map(({ seqnum }) => seqnum - before),
      [1, 2],
    )
  })

  test('what cannot be sent is refused at once', () => {
    const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
    assert.throws(() => events.kobjectUevent({} as never, 'add'), wrong)
    assert.throws(() => events.kobjectUevent(objectIn(), 'added' as never), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', 'K=v' as never), wrong)
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', [1] as never), wrong)
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', ['K']), { code: 'ERR_INVALID_ARG_VALUE' })
  })
})

describe('the automatic remove', () => {
  test('del after add sends remove; a second del does not', async () => {
    const listener = events.events()
    const object = objectIn()
    events.kobjectUevent(object, 'add')
    object.del()
    object.del()
    assert.deepEqual(
      (await drain(listener)).map(({ action, devpath }) => [action, devpath]),
      [
        ['add', '/tenants/acme'],
        ['remove', '/tenants/acme'],
      ],
    )
  })

  test('no add was sent, or remove was: del sends nothing', async () => {
    const listener = events.events()
    objectIn().del()
    const removed = objectIn()
    events.kobjectUevent(removed, 'add')
    events.kobjectUevent(removed, 'remove')
    removed.del()
    const filtered = objectIn({ filter: () => false })
    events.kobjectUevent(filtered, 'add')
    filtered.del()
    assert.deepEqual(
      (await drain(listener)).map(({ action }) => action),
      ['add', 'remove'],
    )
  })

  test('a remove event that fails still marks remove as sent: no second automatic remove', async () => {
    const listener = events.events()
    let fails = false
    const object = objectIn({ uevent: () => (fails ? -5 : 0) })
    events.kobjectUevent(object, 'add')
    fails = true
    assert.throws(() => events.kobjectUevent(object, 'remove'), { code: 'EIO' })
    fails = false
    object.del()
    assert.deepEqual(
      (await drain(listener)).map(({ action }) => action),
      ['add'],
    )
  })

  test('an automatic remove that fails keeps the object from nothing', () => {
    let fails = false
    const object = objectIn({ uevent: () => (fails ? -5 : 0) })
    events.kobjectUevent(object, 'add')
    fails = true
    object.del()
    assert.equal(object.parent, null)
  })
})

describe('the helper that kernel.hotplug names', () => {
  const hotplug = (path: string) => kernel.proc.write('/proc/sys/kernel/hotplug', path)
  after(() => hotplug(''))

  test('is called with the subsystem, all variables, HOME and PATH, and nothing else', async () => {
    const out = temporary('hotplug.out')
    hotplug(
      write(
        'hotplug.sh',
        `#!/bin/sh\n{ echo "$#:$0:$1"; /usr/bin/env; } > ${out}.new; mv ${out}.new ${out}\n`,
        0o755,
      ),
    )
    const listener = events.events()
    events.kobjectUeventEnv(objectIn(), 'add', ['DISK=full'])
    await eventually('the helper has told', () => readable(out))
    const [first, ...env] = readFileSync(out, 'utf8').trim().split('\n')
    assert.match(first ?? '', /^1:.*hotplug\.sh:tenants$/)
    const own = env.filter(line => !/^(PWD|OLDPWD|_|SHLVL)=/.test(line)).sort()
    assert.deepEqual(
      own,
      [
        'ACTION=add',
        'DEVPATH=/tenants/acme',
        'SUBSYSTEM=tenants',
        'DISK=full',
        `SEQNUM=${events.seqnum}`,
        'HOME=/',
        'PATH=/sbin:/bin:/usr/sbin:/usr/bin',
      ].sort(),
    )
    const [event] = await drain(listener)
    assert.ok(event !== undefined && !('HOME' in event.env) && !('PATH' in event.env))
  })

  test('an in-thread helper will do', async () => {
    const out = temporary('hotplug-in-thread.out')
    hotplug(
      inThreadHelper(
        `import { writeFileSync } from 'node:fs'
         export default (argv, envp) => writeFileSync('${out}', argv[1] + envp.includes('ACTION=move'))`,
      ),
    )
    events.kobjectUevent(objectIn(), 'move')
    await eventually(
      'the helper has told',
      () => readable(out) && readFileSync(out, 'utf8') === 'tenantstrue',
    )
  })

  test('helper missing on disk: no error', async () => {
    hotplug('/no/such/helper')
    const listener = events.events()
    events.kobjectUevent(objectIn(), 'add')
    hotplug('')
    assert.equal((await drain(listener)).length, 1)
  })

  test('helpers disabled: EBUSY, although the listeners were told', async () => {
    hotplug('/bin/true')
    const listener = events.events()
    await kernel.usermodehelperDisable()
    try {
      assert.throws(() => events.kobjectUevent(objectIn(), 'add'), { code: 'EBUSY', retval: -16 })
    } finally {
      await kernel.usermodehelperEnable()
      hotplug('')
    }
    assert.equal((await drain(listener)).length, 1)
    await eventually('every descriptor is free again', () => {
      const { capacity, available } = kernel.stats().descriptors
      return available === capacity
    })
  })

  test('no room for HOME and PATH, or for the subsystem as an argument: ENOMEM, the listeners were told', async () => {
    hotplug('/bin/true')
    const listener = events.events()
    const many = Array.from({ length: 59 }, (_, index) => `K${index}=`)
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', many), { code: 'ENOMEM' })
    // HOME=/ and PATH=… take 47 bytes, and leave none for "tenants".
    const before = 'ACTION=add DEVPATH=/tenants/acme SUBSYSTEM=tenants SEQNUM= K= '.length
    const digits = String(events.seqnum + 1).length
    const fill = `K=${'x'.repeat(2048 - before - digits - 'HOME=/ PATH=/sbin:/bin:/usr/sbin:/usr/bin '.length)}`
    assert.throws(() => events.kobjectUeventEnv(objectIn(), 'add', [fill]), {
      code: 'ENOMEM',
      message: /argument/,
    })
    hotplug('')
    assert.equal((await drain(listener)).length, 2)
  })

  test('no descriptor free: ENOMEM, the listeners were told', async () => {
    const small = boot({ khelpers: 1, descriptors: 1 })
    try {
      small.proc.write('/proc/sys/kernel/hotplug', '/bin/true')
      const info = small.callUsermodehelperSetup('/bin/true', ['true'], [], 'GFP_ATOMIC')
      assert.ok(info)
      const listener = uevents(small).events()
      assert.throws(() => uevents(small).kobjectUevent(objectIn(), 'add'), { code: 'ENOMEM' })
      assert.equal((await listener.next()).value?.action, 'add')
      small.callUsermodehelperFreeinfo(info)
    } finally {
      await small.shutdown()
    }
  })

  test('nothing is waited for: an event of which the helper never ends is over at once', async () => {
    const path = temporary('fifo')
    await kernel.run('mkfifo', [path])
    hotplug(write('endless.sh', `#!/bin/sh\nread line < ${path}\n`, 0o755))
    events.kobjectUevent(objectIn(), 'add')
    hotplug('')
    // The helper waits for this line only now.
    await kernel.run('sh', ['-c', `echo go > ${path}`])
    await eventually('every process is reaped', () => kernel.stats().processes === 0)
  })
})

describe('listeners', () => {
  test('each gets every event from when it began to listen, in order', async () => {
    const early = events.events()
    events.kobjectUevent(objectIn(), 'add')
    const late = events.events()
    events.kobjectUevent(objectIn(), 'change')
    // Both are told of the marker of each drain.
    assert.deepEqual(
      (await drain(early)).map(({ action }) => action),
      ['add', 'change'],
    )
    assert.deepEqual(
      (await drain(late)).map(({ action }) => action),
      ['change'],
    )
  })

  test('one that reads before there is anything gets it when it comes', async () => {
    const listener = events.events()
    const reads = [listener.next(), listener.next()]
    events.kobjectUevent(objectIn(), 'add')
    events.kobjectUevent(objectIn(), 'remove')
    assert.deepEqual(
      (await Promise.all(reads)).map(({ value }) => value?.action),
      ['add', 'remove'],
    )
    await listener.return()
  })

  test('of one subsystem only', async () => {
    const listener = events.events({ subsystem: 'disks' })
    events.kobjectUevent(objectIn(), 'add')
    events.kobjectUevent(objectIn({}, 'disks'), 'add')
    assert.equal((await listener.next()).value?.subsystem, 'disks')
    await listener.return()
  })

  test('a slow one loses the oldest, and its next event says how many', async () => {
    const listener = events.events({ buffer: 3 })
    for (let count = 0; count < 10; count += 1)
      events.kobjectUeventEnv(objectIn(), 'change', { COUNT: count })
    const got = await Promise.all([listener.next(), listener.next(), listener.next()])
    assert.deepEqual(
      got.map(({ value }) => [value?.env['COUNT'], value?.lost]),
      [
        ['7', 7],
        ['8', 0],
        ['9', 0],
      ],
    )
    await listener.return()
  })

  test("overrun: 'throw' rejects one read with ENOBUFS and the number, and goes on", async () => {
    const listener = events.events({ buffer: 1, overrun: 'throw' })
    events.kobjectUevent(objectIn(), 'add')
    events.kobjectUevent(objectIn(), 'change')
    events.kobjectUevent(objectIn(), 'remove')
    await assert.rejects(listener.next(), { code: 'ENOBUFS', lost: 2 })
    assert.equal((await listener.next()).value?.action, 'remove')
    await listener.return()
  })

  test('one that does not read costs others nothing', async () => {
    const slow = events.events({ buffer: 1 })
    const listener = events.events()
    for (let count = 0; count < 100; count += 1) events.kobjectUevent(objectIn(), 'change')
    assert.equal((await drain(listener)).length, 100)
    await slow.return()
  })

  test('an abort ends it with an AbortError, one that waits and one that does not', async () => {
    const controller = new AbortController()
    const waiting = events.events({ signal: controller.signal })
    const read = waiting.next()
    const idle = events.events({ signal: controller.signal })
    events.events({ signal: AbortSignal.abort() })
    controller.abort(new Error('enough'))
    await assert.rejects(read, { name: 'AbortError' })
    await assert.rejects(idle.next(), { name: 'AbortError' })
    assert.deepEqual(await idle.next(), { done: true, value: undefined })
    await assert.rejects(events.events({ signal: controller.signal }).next(), { name: 'AbortError' })
  })

  test('leaving the loop ends the listening', async () => {
    const listener = events.events()
    events.kobjectUevent(objectIn(), 'add')
    for await (const _ of listener) break
    events.kobjectUevent(objectIn(), 'add')
    assert.deepEqual(await listener.next(), { done: true, value: undefined })
  })

  test('they end with the kernel, after what is there has been read', async () => {
    const other = boot({ khelpers: 1 })
    const listener = uevents(other).events()
    const waiting = uevents(other).events({ subsystem: 'none' }).next()
    uevents(other).kobjectUevent(objectIn(), 'add')
    await other.shutdown()
    assert.equal((await listener.next()).value?.action, 'add')
    assert.equal((await listener.next()).done, true)
    assert.equal((await waiting).done, true)
  })

  test('after a shutdown nobody listens, and nothing is sent', async () => {
    const other = boot({ khelpers: 1 })
    const its = uevents(other)
    await other.shutdown()
    assert.throws(() => its.events(), { code: 'ERR_KHELPER_SHUT_DOWN' })
    assert.throws(() => its.kobjectUevent(objectIn(), 'add'), { code: 'ERR_KHELPER_SHUT_DOWN' })
    assert.equal(its.seqnum, 0)
    const late = boot({ khelpers: 1 })
    await late.shutdown()
    assert.throws(() => uevents(late).events(), { code: 'ERR_KHELPER_SHUT_DOWN' })
  })

  test('wrong options are refused', () => {
    const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
    assert.throws(() => events.events(null as never), wrong)
    assert.throws(() => events.events({ signal: {} as never }), wrong)
    assert.throws(() => events.events({ subsystem: 1 as never }), wrong)
    assert.throws(() => events.events({ buffer: '1' as never }), wrong)
    assert.throws(() => events.events({ buffer: 0 }), { code: 'ERR_OUT_OF_RANGE' })
    assert.throws(() => events.events({ overrun: 'x' as never }), { code: 'ERR_INVALID_ARG_VALUE' })
  })

  test('one kernel has one state', () => {
    assert.equal(uevents(kernel), events)
  })
})

test("the channel 'khelper:uevent' publishes every event", () => {
  const got: Uevent[] = []
  const listen = (message: unknown) => got.push(message as Uevent)
  channel('khelper:uevent').subscribe(listen)
  events.kobjectUevent(objectIn(), 'add')
  channel('khelper:uevent').unsubscribe(listen)
  events.kobjectUevent(objectIn(), 'remove')
  assert.equal(got.length, 1)
  const [event] = got
  assert.deepEqual(Object.keys(event ?? {}), ['action', 'devpath', 'subsystem', 'seqnum', 'env'])
  assert.equal(event?.env['SEQNUM'], String(event?.seqnum))
})

function readable(path: string): boolean {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}
