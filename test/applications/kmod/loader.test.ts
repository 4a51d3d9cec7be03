import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Kmod } from '../../../src/applications/kmod/index.js'
import { boot } from '../../../src/index.js'
import { moduleFolder, shared } from '../../helpers/modules.js'
import { eventually } from '../../helpers/resources.js'

const kernel = boot({ khelpers: 1 })
after(() => kernel.shutdown())
const modules = new Kmod(kernel, { dependency: 50, exit: 50 })

const load = (source: string, params = '', name = 'sample.js') =>
  modules.insmod(join(moduleFolder({ [name]: source }), name), params)
const warnings: string[] = []
process.on('warning', warning => warnings.push(warning.message))

const PLAIN = `export const license = 'GPL'
export function init() { return 0 }
export function exit() {}`

test('a module is loaded, listed, and unloaded, and its init and exit run once each', async () => {
  const seen = shared('plain', { init: 0, exit: 0, name: '' })
  const info = await load(
    `export const license = 'GPL'
     export function init({ module }) { plain.init += 1; plain.name = module.name; return 0 }
     export function exit() { plain.exit += 1 }`,
    '',
    'my-module.mjs',
  )
  assert.equal(info.name, 'my_module')
  assert.equal(info.state, 'live')
  assert.match(kernel.proc.read('/proc/modules'), /^my_module \d+ 0 - Live 0x0000000000000000\n$/)
  assert.equal(kernel.proc.read('/sys/module/my_module/initstate'), 'live\n')
  await modules.rmmod('my-module')
  assert.deepEqual(seen, { init: 1, exit: 1, name: 'my_module' })
  assert.equal(kernel.proc.read('/proc/modules'), '')
  assert.throws(() => kernel.proc.read('/sys/module/my_module/initstate'), { code: 'ENOENT' })
})

test('init gives -ENODEV: the load fails with it, nothing is listed, and the name can be used again', async () => {
  const failing = `export const license = 'GPL'; export const init = () => -19; export const exit = () => {}`
  await assert.rejects(load(failing), { code: 'ENODEV', retval: -19 })
  assert.deepEqual(modules.lsmod(), [])
  await load(PLAIN)
  await modules.rmmod('sample')
})

test('init gives a positive number: a warning, and the module is loaded', async () => {
  await load(`export const license = 'GPL'; export const init = async () => 3; export const exit = () => {}`)
  await eventually('the warning', () => warnings.some(text => text.includes('its init gave 3')))
  await modules.rmmod('sample')
})

test('init throws: the load fails with the code of what was thrown, or EFAULT', async () => {
  await assert.rejects(
    load(`export function init() { throw Object.assign(new Error('no'), { code: 'EACCES', errno: -13 }) }`),
    { code: 'EACCES' },
  )
  await assert.rejects(load(`export async function init() { throw new Error('no') }`), {
    code: 'EFAULT',
    message: /sample: its init has thrown: no/,
  })
  await assert.rejects(load(`export function init() { return 'yes' }`), { code: 'EINVAL' })
})

test('what is no module: ENOEXEC, and why', async () => {
  await assert.rejects(load('export const nothing = 1'), {
    code: 'ENOEXEC',
    message: /neither init nor license/,
  })
  await assert.rejects(load('export const init = 1'), { code: 'ENOEXEC', message: /init must be a function/ })
  await assert.rejects(load(`export const license = 'GPL', depends = [1]`), { code: 'ENOEXEC' })
  await assert.rejects(load('this is no JavaScript'), { code: 'ENOEXEC' })
  await assert.rejects(load(`import 'no-such-package'; export const license = 'GPL'`), { code: 'ENOENT' })
  await assert.rejects(load(PLAIN, '', 'sample.txt'), { code: 'ENOEXEC' })
  await assert.rejects(load(`export const license = 'GPL', params = { a: 'integer' }`), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  assert.deepEqual(modules.lsmod(), [])
})

test('a file that is not there, a folder, a name that is too long', async () => {
  const folder = moduleFolder({ 'a.js': PLAIN, 'folder.js/b.js': PLAIN })
  await assert.rejects(modules.insmod(join(folder, 'none.js')), {
    code: 'ENOENT',
    path: join(folder, 'none.js'),
  })
  await assert.rejects(modules.insmod(join(folder, 'folder.js')), { code: 'EINVAL' })
  await assert.rejects(modules.insmod(join(folder, 'a.js/b.js')), { code: 'ENOTDIR' })
  const longest = `${'n'.repeat(55)}.js`
  const longer = `${'n'.repeat(56)}.js`
  const names = moduleFolder({ [longest]: PLAIN, [longer]: PLAIN })
  await modules.insmod(join(names, longest))
  await modules.rmmod('n'.repeat(55))
  await assert.rejects(modules.insmod(join(names, longer)), { code: 'ENAMETOOLONG' })
  await assert.rejects(modules.insmod(7 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('a second load of a LIVE module: EEXIST, and its code does not run again', async () => {
  const seen = shared('twice', { runs: 0 })
  const file = join(moduleFolder({ 'twice.js': `twice.runs += 1\n${PLAIN}` }), 'twice.js')
  await modules.insmod(file)
  await assert.rejects(modules.insmod(file), { code: 'EEXIST' })
  assert.equal(seen.runs, 1)
  await modules.rmmod('twice')
  await modules.insmod(file)
  assert.equal(seen.runs, 2, 'a load after an unload is an instance of its own')
  await modules.rmmod('twice')
})

test('two loads at once: one does it, the other waits, then EEXIST; or EBUSY if the first came to nothing', async () => {
  const gate = shared('gate', { open: (_: number) => {}, count: 0 })
  const source = `export const license = 'GPL'
    export const init = () => new Promise(resolve => { gate.count += 1; gate.open = resolve })
    export function exit() {}`
  const file = join(moduleFolder({ 'slow.js': source }), 'slow.js')
  for (const [result, code] of [
    [0, 'EEXIST'],
    [-12, 'EBUSY'],
  ] as const) {
    const first = modules.insmod(file)
    await eventually('init has begun', () => modules.findModule('slow')?.state === 'coming')
    assert.match(kernel.proc.read('/proc/modules'), /^slow \d+ 1 - Loading \S+ \(\+\)\n$/)
    const waits = new AbortController()
    const second = modules.insmod(file, '', { signal: waits.signal })
    await eventually('the second waits', () => getEventListeners(waits.signal, 'abort').length > 0)
    const third = modules.insmod(file, '', { signal: AbortSignal.abort() })
    await assert.rejects(third, { code: 'EINTR' })
    await assert.rejects(modules.rmmod('slow'), { code: 'EBUSY' })
    gate.open(result)
    if (result === 0) await first
    else await assert.rejects(first, { code: 'ENOMEM' })
    await assert.rejects(second, { code })
    if (result === 0) await modules.rmmod('slow')
  }
  assert.equal(gate.count, 2)
})

test('an unload while it is used: EAGAIN (EWOULDBLOCK), its state unchanged and exit not called', async () => {
  const seen = shared('used', { exits: 0 })
  await load(
    `export const license = 'GPL'; export const init = () => 0; export const exit = () => { used.exits += 1 }`,
  )
  const module = modules.findModule('sample')
  assert.ok(module)
  assert.ok(module.tryGet())
  await assert.rejects(modules.rmmod('sample'), { code: 'EAGAIN' })
  assert.equal(module.state, 'live')
  assert.equal(module.references, 1)
  assert.equal(seen.exits, 0)
  module.put()
  await modules.rmmod('sample')
  assert.equal(module.tryGet(), false)
  assert.equal(seen.exits, 1)
})

test('init without exit: [permanent], and an unload is EBUSY unless it is forced', async () => {
  await load(`export const license = 'GPL'; export const init = () => 0`)
  assert.match(kernel.proc.read('/proc/modules'), / 0 \[permanent\], Live /)
  await assert.rejects(modules.rmmod('sample'), { code: 'EBUSY' })
  await modules.rmmod('sample', { force: true })
})

test('an unload of what is not there, or has no name: ENOENT', async () => {
  for (const name of ['none', '', 'n'.repeat(56)])
    await assert.rejects(modules.rmmod(name), { code: 'ENOENT' })
  await assert.rejects(modules.rmmod(undefined as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('exit throws: it is told, and the module has gone', async () => {
  await load(
    `export const license = 'GPL'; export const init = () => 0; export const exit = () => { throw new Error('stay') }`,
  )
  await modules.rmmod('sample')
  await eventually('the warning', () => warnings.some(text => text.includes('its exit has thrown: stay')))
  assert.deepEqual(modules.lsmod(), [])
})

test('exit does not come back: EBUSY, the module is going, and gone when it has', async () => {
  const leave = shared('leave', { now: () => {} })
  await load(`export const license = 'GPL'; export const init = () => 0
    export const exit = () => new Promise(resolve => { leave.now = resolve })`)
  await assert.rejects(modules.rmmod('sample'), { code: 'EBUSY' })
  assert.match(kernel.proc.read('/proc/modules'), /^sample \d+ -1 - Unloading \S+ \(-\)\n$/)
  await assert.rejects(modules.rmmod('sample'), { code: 'EBUSY' })
  await assert.rejects(load(PLAIN), { code: 'EBUSY' })
  leave.now()
  await eventually('it has gone', () => modules.lsmod().length === 0)
})

test('what a module depends on must be loaded, is held, and lends its symbols', async () => {
  const result = shared('result', { sum: 0, missing: '' })
  const folder = moduleFolder({
    'adder.js': `${PLAIN}\nexport const symbols = { add: (a, b) => a + b }`,
    'user.js': `export const license = 'GPL', depends = 'adder'
      export function init({ symbols }) {
        result.sum = symbols.add(2, 3)
        try { symbols.subtract } catch (error) { result.missing = error.code }
        return 0
      }
      export function exit() {}`,
    'thief.js': `export const license = 'GPL'
      export function init({ symbols }) { symbols.add(1, 1) }
      export function exit() {}`,
  })
  const at = (name: string) => join(folder, name)
  await assert.rejects(modules.insmod(at('user.js')), { code: 'ENOENT', message: /depends on adder/ })
  await modules.insmod(at('adder.js'))
  await assert.rejects(modules.insmod(at('thief.js')), {
    code: 'ENOENT',
    message: /add 'adder' to its depends/,
  })
  await modules.insmod(at('user.js'))
  assert.deepEqual(result, { sum: 5, missing: 'ENOENT' })
  assert.match(kernel.proc.read('/proc/modules'), /^adder \d+ 1 user, Live/m)
  await assert.rejects(modules.rmmod('adder'), { code: 'EAGAIN', message: /in use by: user/ })
  await modules.rmmod('user')
  await modules.rmmod('adder')
})

test('a symbol that another exports already: ENOEXEC', async () => {
  const folder = moduleFolder({
    'one.js': `${PLAIN}\nexport const symbols = { same: 1 }`,
    'two.js': `${PLAIN}\nexport const symbols = { same: 2 }`,
  })
  await modules.insmod(join(folder, 'one.js'))
  await assert.rejects(modules.insmod(join(folder, 'two.js')), {
    code: 'ENOEXEC',
    message: /one exports already/,
  })
  await modules.rmmod('one')
  await modules.insmod(join(folder, 'two.js'))
  await modules.rmmod('two')
})

test('symbols of the service can be used by all modules', async () => {
  const calls: string[] = []
  modules.exportSymbols({ service_log: (text: string) => calls.push(text) })
  assert.throws(() => modules.exportSymbols({ service_log: 1, other: 2 }), { code: 'EEXIST' })
  await load(`export const license = 'GPL'
    export const init = ({ symbols }) => { symbols.service_log('hello') }
    export const exit = () => {}`)
  assert.deepEqual(calls, ['hello'])
  await modules.rmmod('sample')
})

test('what it depends on is still coming: it waits, and fails with EBUSY when the time is over', async () => {
  const gate = shared('dependency', { open: (_: number) => {} })
  const folder = moduleFolder({
    'coming.js': `export const license = 'GPL'
      export const init = () => new Promise(resolve => { dependency.open = resolve })
      export function exit() {}`,
    'needs.js': `${PLAIN}\nexport const depends = ['coming']`,
  })
  const coming = modules.insmod(join(folder, 'coming.js'))
  await eventually('init has begun', () => modules.findModule('coming')?.state === 'coming')
  await assert.rejects(modules.insmod(join(folder, 'needs.js')), { code: 'EBUSY' })
  const patientKernel = boot({ khelpers: 1 })
  const patient = new Kmod(patientKernel)
  const other = patient.insmod(join(folder, 'coming.js'))
  await eventually('init has begun', () => patient.findModule('coming')?.state === 'coming')
  const needs = patient.insmod(join(folder, 'needs.js'))
  const openOther = gate.open
  openOther(0)
  await Promise.all([other, needs])
  await patientKernel.shutdown()
  // The first one's gate was replaced by the second's: it stays as it is until the kernel ends.
  void coming.catch(() => {})
})

test('parameters: unknown is a warning, a bad value EINVAL, my-param is my_param, what may be written is written', async () => {
  const source = `export const license = 'GPL'
    export const params = { my_param: { type: 'int', default: 5, perm: 0o644 }, secret: { type: 'charp', perm: 0 }, fixed: 'bool' }
    export const init = ({ params }) => { params_seen.value = params.my_param; params_seen.live = params }
    export const exit = () => {}`
  const seen = shared('params_seen', { value: 0, live: {} as Record<string, unknown> })
  await load(source, 'my-param=1 nonsense=2')
  assert.equal(seen.value, 1)
  await eventually('the warning', () => warnings.some(text => text.includes("unknown parameter 'nonsense'")))
  const folder = '/sys/module/sample/parameters'
  assert.deepEqual(kernel.proc.list(folder), ['fixed', 'my_param'])
  kernel.proc.write(`${folder}/my_param`, '7\n')
  assert.equal(seen.live['my_param'], 7)
  assert.throws(() => kernel.proc.write(`${folder}/my_param`, 'x'), { code: 'EINVAL' })
  assert.throws(() => kernel.proc.write(`${folder}/fixed`, 'y'), { code: 'EACCES' })
  await modules.rmmod('sample')
  await assert.rejects(load(source, 'my_param=many'), { code: 'EINVAL', message: /parameter 'my_param'/ })
  await modules.insmod(join(moduleFolder({ 'sample.js': source }), 'sample.js'), { my_param: 9 })
  assert.equal(seen.value, 9)
  await modules.rmmod('sample')
})

test('parameters in an object are set as they are, whatever is in them', async () => {
  const source = `export const license = 'GPL'
    export const params = { whom: 'charp', level: { type: 'int', default: 1 } }
    export const init = ({ params }) => { params_whole.values = { ...params } }
    export const exit = () => {}`
  const seen = shared('params_whole', { values: {} })
  const path = join(moduleFolder({ 'sample.js': source }), 'sample.js')
  for (const whom of ['a"b', 'x y" level=7 "', 'say "hi" now', ' ', '', '--', 'line\nfeed']) {
    await modules.insmod(path, { whom, level: 2 })
    assert.deepEqual(seen.values, { whom, level: 2 })
    await modules.rmmod('sample')
  }
})

test('a license that is none or not free taints: (P)', async () => {
  await load(`export const init = () => 0; export const exit = () => {}`)
  assert.match(kernel.proc.read('/proc/modules'), /^sample .* Live \S+ \(P\)$/m)
  assert.equal(kernel.proc.read('/sys/module/sample/taint'), 'P\n')
  await modules.rmmod('sample')
})

test('a put too many is told and changes nothing', async () => {
  await load(PLAIN)
  const module = modules.findModule('sample')
  module?.put()
  await eventually('the warning', () =>
    warnings.some(text => text.includes('more references are given back')),
  )
  assert.equal(module?.references, 0)
  await modules.rmmod('sample')
})

test('modules_disabled goes one way, and then nothing is loaded or unloaded: EPERM', async () => {
  const own = boot({ khelpers: 1 })
  const disabled = new Kmod(own)
  const path = '/proc/sys/kernel/modules_disabled'
  assert.equal(own.proc.read(path), '0\n')
  assert.throws(() => own.proc.write(path, '0'), { code: 'EINVAL' })
  own.proc.write(path, '1')
  assert.throws(() => own.proc.write(path, '0'), { code: 'EINVAL' })
  await assert.rejects(disabled.insmod(join(moduleFolder({ 'a.js': PLAIN }), 'a.js')), { code: 'EPERM' })
  await assert.rejects(disabled.rmmod('a'), { code: 'EPERM' })
  await own.shutdown()
})

test('a file whose name cannot be a module’s: EINVAL, and nothing is listed', async () => {
  for (const name of ['.js', 'a b.js', 'a.b.js', 'a\nfake 1 0 - Live 0x0.js', 'ä.js', ',.js']) {
    await assert.rejects(load(PLAIN, '', name), { code: 'EINVAL' }, JSON.stringify(name))
  }
  assert.equal(kernel.proc.read('/proc/modules').includes('fake'), false)
})

test('a file that does not come to its end: EBUSY when the time is over, and its name is free again', async () => {
  await using own = boot({ khelpers: 1 })
  const impatient = new Kmod(own, { form: 1_000 })
  const folder = moduleFolder({
    'a.js': `await new Promise(() => {}); ${PLAIN}`,
    'other/a.js': PLAIN,
  })
  await assert.rejects(impatient.insmod(join(folder, 'a.js')), { code: 'EBUSY', message: /awaits/ })
  await impatient.insmod(join(folder, 'other/a.js'))
})

test('one that is still coming can be given up by force: its insmod is EINTR, and its name is free again', async () => {
  await using own = boot({ khelpers: 1 })
  const patient = new Kmod(own)
  const stages = shared('stages', { begun: 0 })
  const never = 'new Promise(() => { stages.begun += 1 })'
  const folder = moduleFolder({
    'unformed/a.js': `await ${never}; ${PLAIN}`,
    'coming/a.js': `export const license = 'GPL', symbols = { a: 1 }
      export const init = () => ${never}; export const exit = () => {}`,
    'plain/a.js': `${PLAIN}; export const symbols = { a: 1 }`,
  })
  for (const [index, stage] of ['unformed', 'coming'].entries()) {
    const loading = assert.rejects(patient.insmod(join(folder, stage, 'a.js')), { code: 'EINTR' })
    await eventually(stage, () => stages.begun === index + 1)
    await assert.rejects(patient.rmmod('a'), { code: stage === 'coming' ? 'EBUSY' : 'ENOENT' })
    await patient.rmmod('a', { force: true })
    await loading
    assert.equal(patient.findModule('a'), undefined)
  }
  await patient.insmod(join(folder, 'plain/a.js'))
})

test('what is thrown may be anything, and the error says what can be said', async () => {
  const thrower = (thrown: string) =>
    load(
      `export const license = 'GPL'; export const init = () => { throw ${thrown} }; export const exit = () => {}`,
    )
  await assert.rejects(thrower(`{ toString() { throw 1 }, get code() { throw 2 } }`), { code: 'EFAULT' })
  await assert.rejects(thrower('undefined'), { code: 'EFAULT', message: /undefined$/ })
  await assert.rejects(thrower('Object.create(null)'), { code: 'EFAULT' })
  await assert.rejects(
    load(`export const license = 'GPL', symbols = { get a() { throw new Error('no') } }`),
    {
      code: 'ENOEXEC',
      message: /its exports cannot be read: no/,
    },
  )
})

test('a syntax error is told with its file and line', async () => {
  await assert.rejects(load(`export const license = 'GPL'\nexport const ,`), {
    code: 'ENOEXEC',
    message: /sample\.js:2: /,
  })
})

test('at a shutdown all that do not come back from exit have one time together', {
  timeout: 60_000,
}, async () => {
  const own = boot({ khelpers: 1 })
  const loaded = new Kmod(own, { exit: 2_000 })
  const source = `export const license = 'GPL'; export const init = () => 0
    export const exit = () => { exits.begun += 1; return new Promise(() => {}) }`
  const exits = shared('exits', { begun: 0 })
  const names = Array.from({ length: 60 }, (_, index) => `m${index}`)
  const folder = moduleFolder(Object.fromEntries(names.map(name => [`${name}.js`, source])))
  for (const name of names) await loaded.insmod(join(folder, `${name}.js`))
  await own.shutdown()
  assert.equal(exits.begun, 60)
})

test('a shutdown unloads what is loaded, users first', async () => {
  const own = boot({ khelpers: 1 })
  const loaded = new Kmod(own)
  const order = shared('order', [] as string[])
  const source = (name: string, more: string) => `export const license = 'GPL'; ${more}
    export const init = () => 0; export const exit = () => { order.push('${name}') }`
  const folder = moduleFolder({
    'base.js': source('base', ''),
    'top.js': source('top', `export const depends = 'base'`),
  })
  await loaded.insmod(join(folder, 'base.js'))
  await loaded.insmod(join(folder, 'top.js'))
  await own.shutdown()
  assert.deepEqual(order, ['top', 'base'])
})

test('a shutdown gives up what is on its way in, with whoever waits for it, and nothing is loaded after it', async () => {
  const own = boot({ khelpers: 1 })
  const loaded = new Kmod(own)
  const stuck = shared('stuck', { begun: 0, exits: 0 })
  const never = 'new Promise(() => { stuck.begun += 1 })'
  const rest = 'export const exit = () => { stuck.exits += 1 }'
  const folder = moduleFolder({
    'unformed.js': `await ${never}; ${PLAIN}`,
    'coming.js': `export const license = 'GPL', init = () => ${never}; ${rest}`,
    'again/coming.js': PLAIN,
    'needs.js': `${PLAIN}; export const depends = 'coming'; stuck.begun += 1`,
    'live.js': `export const license = 'GPL', init = () => 0; ${rest}`,
  })
  const { signal } = new AbortController()
  const load = (name: string) => loaded.insmod(join(folder, `${name}.js`), '', { signal })
  const isShut = { code: 'ERR_KHELPER_SHUT_DOWN' }
  await load('live')
  const refused = (name: string) => assert.rejects(load(name), isShut, name)
  const loads = [refused('unformed'), refused('coming')]
  await eventually('both have begun', () => stuck.begun === 2)
  loads.push(refused('needs'))
  await eventually('the third waits for the second', () => stuck.begun === 3)
  loads.push(refused('again/coming'))
  await eventually('the fourth waits for the name', () => getEventListeners(signal, 'abort').length === 1)
  const down = own.shutdown()
  loads.push(refused('again/coming'))
  await down
  await Promise.all(loads)
  assert.deepEqual(loaded.lsmod(), [])
  assert.equal(stuck.exits, 1, 'of what was live')
  await refused('again/coming')
  assert.deepEqual(getEventListeners(signal, 'abort'), [])
})

test('a shutdown that begins while init comes to its end unloads the module, or gives it up', async () => {
  const outcomes = new Set<string>()
  // From within init, and so many microtasks behind its end.
  for (let ticks = -1; ticks < 12; ticks += 1) {
    const own = boot({ khelpers: 1 })
    const ending = shared('ending', {
      exits: 0,
      shutDown: () => void own.shutdown(),
      async later() {
        for (let tick = 0; tick < ticks; tick += 1) await null
        void own.shutdown()
      },
    })
    const init = ticks < 0 ? '{ ending.shutDown(); return new Promise(() => {}) }' : '{ ending.later() }'
    const loaded = new Kmod(own)
    const folder = moduleFolder({
      'a.js': `export const license = 'GPL', init = () => ${init}, exit = () => { ending.exits += 1 }`,
    })
    const [load] = await Promise.allSettled([loaded.insmod(join(folder, 'a.js'))])
    await own.shutdown()
    assert.deepEqual(loaded.lsmod(), [])
    outcomes.add(`${load?.status} ${ending.exits}`)
  }
  assert.deepEqual([...outcomes].sort(), ['fulfilled 1', 'rejected 0'])
})
