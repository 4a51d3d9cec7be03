import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { khelper } from '../../helpers/command.js'
import { moduleFolder } from '../../helpers/modules.js'
import { eventually } from '../../helpers/resources.js'
import { type Service, startService } from '../../helpers/service.js'
import { temporary, write } from '../../helpers/temporary.js'

const module = (name: string, more = '') => `export const license = 'GPL'; ${more}
  export const init = ({ params }) => { console.log('+${name}', ...Object.values(params)) }
  export const exit = () => console.log('-${name}')`

let service: Service
const folder = moduleFolder({
  'hello.js': module(
    'hello',
    `export const description = 'says hello', alias = 'char-hello-*',
       params = { whom: { type: 'charp', default: 'world', description: 'who is there' }, loud: 'bool' }`,
  ),
  'top.js': module('top', `export const depends = 'hello'`),
  'fails.js': `export const license = 'GPL'; export const init = () => -19`,
})
before(async () => {
  service = await startService()
  assert.equal(khelper(['depmod', folder]).status, 0)
  assert.equal(onService('sysctl', `khelper.module_directory=${folder}`).status, 0)
})
after(() => service.stop())

const onService = (command: string, ...args: string[]) =>
  khelper([command, '--socket', service.socket, ...args])
const ok = (command: string, ...args: string[]): string => {
  const { status, stdout, stderr } = onService(command, ...args)
  assert.equal(status, 0, stderr)
  return stdout
}
const fails = (command: string, ...args: string[]): string => {
  const { status, stderr } = onService(command, ...args)
  assert.equal(status, 1)
  assert.match(stderr, /^khelper: [^\n]+\n$/, 'one line, and no stack')
  return stderr
}

test('insmod, lsmod and rmmod work on a running service', async () => {
  ok('insmod', join(folder, 'hello.js'), 'whom=you and me', 'loud')
  await eventually('its init has run there', () => service.output().includes('+hello you and me true'))
  assert.match(ok('lsmod'), /^Module +Size {2}Used by\nhello +\d+ {2}0\n$/)
  assert.match(fails('insmod', join(folder, 'hello.js')), /EEXIST: module hello is loaded already/)
  ok('rmmod', 'hello')
  await eventually('its exit has run there', () => service.output().includes('-hello'))
  assert.match(fails('rmmod', 'hello'), /ENOENT: module hello is not loaded/)
  assert.match(fails('insmod', join(folder, 'fails.js')), /ENODEV/)
  assert.match(fails('insmod', join(folder, 'none.js')), /ENOENT: no such module file/)
})

test('modprobe loads by name and alias with what is needed, and unloads it', () => {
  assert.match(ok('modprobe', '-v', 'top'), /^insmod \S+hello\.js\ninsmod \S+top\.js\n$/)
  assert.match(fails('rmmod', 'hello'), /EAGAIN: module hello is in use by: top/)
  assert.match(ok('lsmod'), /^hello +\d+ {2}1 top$/m)
  ok('modprobe', 'top')
  assert.match(fails('modprobe', '--first-time', 'top'), /EEXIST/)
  ok('modprobe', '-r', 'top')
  assert.equal(ok('lsmod'), 'Module                  Size  Used by\n')
  ok('modprobe', 'char-hello-7', 'whom=alias')
  ok('modprobe', '-r', 'hello')
  assert.match(fails('modprobe', 'nothing'), /ENOENT: module nothing not found in /)
  const quiet = onService('modprobe', '-q', 'nothing')
  assert.deepEqual([quiet.status, quiet.stderr], [1, ''])
  assert.match(ok('modprobe', '-D', 'top'), /hello\.js\ninsmod .*top\.js\n$/)
  ok('modprobe', '-a', 'hello', 'top')
  ok('modprobe', '-r', 'top', 'hello')
})

test('a file in modprobe.d that does not parse: file, line, what is wrong; and the rest of it holds', async () => {
  const config = write('broken.conf', 'optoins hello whom=nobody\noptions hello whom=config\n')
  const { status, stderr } = onService('modprobe', '-C', config, 'hello')
  assert.equal(status, 0)
  assert.match(stderr, /^khelper: \S+broken\.conf:1: unknown directive 'optoins'/)
  await eventually('the options have come in', () => service.output().includes('+hello config'))
  ok('modprobe', '-r', 'hello')
  assert.match(fails('modprobe', '-C', temporary('none.conf'), 'hello'), /none\.conf/)
})

test('modinfo shows what a module says of itself, without a service', () => {
  const { stdout } = khelper(['modinfo', join(folder, 'hello.js')])
  assert.match(stdout, /^filename: +\/.*hello\.js\nname: +hello\nlicense: +GPL\ndescription: +says hello\n/)
  assert.match(stdout, /^parm: +whom:who is there \(charp\)\nparm: +loud:\(bool\)$/m)
  assert.equal(khelper(['modinfo', '-F', 'alias', join(folder, 'hello.js')]).stdout, 'char-hello-*\n')
  const { status, stderr } = khelper(['modinfo', '/no/such.js'])
  assert.equal(status, 1)
  assert.match(stderr, /^khelper: ENOENT: no such module file: \/no\/such\.js\n$/)
})

test('depmod tells what it meets, and fails where there is no folder', () => {
  const bad = moduleFolder({ 'a.js': `export const license = 'GPL', depends = 'gone'` })
  const { status, stderr } = khelper(['depmod', bad])
  assert.equal(status, 0)
  assert.match(stderr, /depends on gone/)
  assert.equal(khelper(['depmod', '/no/such']).status, 1)
})

test('sysctl shows and sets values, and says what cannot be', () => {
  assert.equal(ok('sysctl', 'kernel.core_pattern'), 'kernel.core_pattern = core\n')
  assert.equal(ok('sysctl', '-n', 'kernel/core_pattern'), 'core\n')
  assert.equal(ok('sysctl', '-w', 'kernel.core_pattern=|/bin/cat %p'), 'kernel.core_pattern = |/bin/cat %p\n')
  assert.match(ok('sysctl', '-a'), /^kernel\.usermodehelper\.bset = \d+\t\d+$/m)
  assert.match(fails('sysctl', 'kernel.none'), /ENOENT/)
  assert.match(fails('sysctl', 'kernel.core_pipe_limit=-1'), /EINVAL: .*must be from 0 to/)
})

test('no service: what to do is said', () => {
  const { status, stderr } = khelper(['lsmod', '--socket', temporary('nobody.sock')])
  assert.equal(status, 1)
  assert.match(
    stderr,
    /^khelper: ENOENT: no service answers at .*nobody\.sock; it is opened by boot\(\{ socket \}\)\n$/,
  )
  assert.match(khelper(['lsmod']).stderr, /--socket PATH/)
})

test('the article’s module is loaded by insmod alone, into a kernel of the command’s own', {
  skip: existsSync('/usr/bin/logger') ? false : 'there is no /usr/bin/logger here',
}, () => {
  const example = fileURLToPath(new URL('../../../../examples/umh_test.js', import.meta.url))
  const { status, stderr, stdout } = khelper(['insmod', example])
  assert.deepEqual([status, stdout, stderr], [0, '', ''])
  assert.match(khelper(['insmod', join(folder, 'fails.js')]).stderr, /^khelper: ENODEV: .*its init gave -19/)
  assert.equal(khelper(['insmod', join(folder, 'hello.js')]).stdout, '+hello world false\n-hello\n')
})

test('insmod alone says in one line why a module is not loaded', () => {
  const files = moduleFolder({
    'declares.js': `export const license = 'GPL', params = { a: 'constructor' }; export const init = () => 0`,
    'getter.js': `export const license = 'GPL', symbols = { get a() { throw new Error('no') } }`,
    'hangs.js': `export const license = 'GPL'; export const init = () => new Promise(() => {})`,
    'syntax.js': `export const license = 'GPL'\nexport const ,`,
  })
  for (const [name, what] of [
    ['declares.js', /EINVAL: .*params\.a/],
    ['getter.js', /ENOEXEC: .*no$/m],
    ['hangs.js', /has not come back/],
    ['syntax.js', /syntax\.js:2: /],
  ] as const) {
    const { status, stderr } = khelper(['insmod', join(files, name)])
    assert.equal(status, 1, name)
    assert.match(stderr, /^khelper: [^\n]+\n$/, 'one line, and no stack')
    assert.match(stderr, what)
  }
  const { status, stderr } = khelper(['insmod', join(folder, 'hello.js'), 'whom=a"b', 'loud'])
  assert.equal(status, 1)
  assert.match(stderr, /^khelper: EINVAL: the parameter whom cannot have a double quote/)
})

test('insmod alone loads a text search algorithm', () => {
  const algorithm = fileURLToPath(new URL('../../../src/modules/ts_kmp.js', import.meta.url))
  assert.deepEqual(khelper(['insmod', algorithm]).stderr, '')
})
