import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  emptyConfig,
  type ModprobeConfig,
  parseConfig,
  readConfig,
} from '../../../src/applications/kmod/modprobe/config.js'
import { depmod } from '../../../src/applications/kmod/modprobe/depmod.js'
import { Modprobe, type ModprobeOptions } from '../../../src/applications/kmod/modprobe/modprobe.js'
import { readIndex } from '../../../src/applications/kmod/modprobe/module-index.js'
import { parseModuleSource } from '../../../src/applications/kmod/modprobe/module-source.js'
import { SystemError } from '../../../src/index.js'
import { moduleFolder } from '../../helpers/modules.js'
import { temporary } from '../../helpers/temporary.js'

const configOf = (text: string): ModprobeConfig => {
  const config = emptyConfig()
  parseConfig(text, 'test.conf', config)
  return config
}

const module = (more = '') => `export const license = 'GPL'; ${more}; export const init = () => 0`

/** A kernel's side that keeps a list. */
class Calls {
  readonly loaded: { name: string; references: number; holders: string[] }[] = []
  readonly log: string[] = []
  fails: (path: string) => ConstructorParameters<typeof SystemError>[0] | undefined = () => undefined

  async initModule(path: string, params: string): Promise<void> {
    const name = (/([^/]+)\.m?js$/.exec(path)?.[1] ?? '').replaceAll('-', '_')
    this.log.push(`+${name}${params && ` ${params}`}`)
    const code = this.fails(path) ?? (this.loaded.some(each => each.name === name) ? 'EEXIST' : undefined)
    if (code !== undefined) throw new SystemError(code, path)
    this.loaded.push({ name, references: 0, holders: [] })
  }

  async deleteModule(name: string): Promise<void> {
    this.log.push(`-${name}`)
    const at = this.loaded.findIndex(each => each.name === name)
    if ((this.loaded[at]?.references ?? 0) > 0) throw new SystemError('EAGAIN', name)
    this.loaded.splice(at, 1)
  }

  async modules() {
    return this.loaded
  }
}

function setUp(files: Readonly<Record<string, string>>, options: Partial<ModprobeOptions> = {}) {
  const folder = moduleFolder(files)
  depmod(folder)
  const calls = new Calls()
  const modprobe = new Modprobe(calls, { indexes: [readIndex(folder)], builtin: folder, ...options })
  return { calls, modprobe, folder }
}

describe('depmod', () => {
  test('writes what modules need, their aliases and soft dependencies, and reads them without running them', () => {
    const ran = temporary('ran')
    const folder = moduleFolder({
      'a.js': module(`export const depends = ['b', 'sub-c']`),
      'b.js': module(`export const depends = 'sub_c', alias = ['x-*', 'y']`),
      'lib/sub-c.mjs': module(`export const softdep = 'pre: b post: a'`),
      'not-one.js': 'export const nothing = 1',
      'node_modules/p/index.js': module(),
      'runs.js': `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(ran)}, ''); ${module()}`,
    })
    assert.deepEqual(depmod(folder), { modules: 4, warnings: [] })
    const read = (name: string) => readFileSync(join(folder, name), 'utf8')
    assert.equal(
      read('modules.dep'),
      'a.js: b.js lib/sub-c.mjs\nb.js: lib/sub-c.mjs\nlib/sub-c.mjs:\nruns.js:\n',
    )
    assert.match(read('modules.alias'), /^alias x_\* b\nalias y b\n$/m)
    assert.match(read('modules.softdep'), /^softdep sub_c pre: b post: a\n$/m)
    assert.equal(existsSync(ran), false)
    assert.deepEqual(readIndex(folder).modules.get('a')?.depends, ['sub_c', 'b'])
  })

  test('modules that need each other: ELOOP with the cycle, and nothing is written', () => {
    const folder = moduleFolder({
      'a.js': module(`export const depends = 'b'`),
      'b.js': module(`export const depends = 'c'`),
      'c.js': module(`export const depends = 'a'`),
    })
    assert.throws(() => depmod(folder), { code: 'ELOOP', message: /a -> b -> c -> a/ })
    assert.equal(existsSync(join(folder, 'modules.dep')), false)
    assert.throws(() => readIndex(folder), { code: 'ENOENT', message: /khelper depmod/ })
  })

  test('what it meets is told: what is not there, what is not written out, what is no JavaScript, two of a name', () => {
    const folder = moduleFolder({
      'a.js': module(`export const depends = 'gone'`),
      'b.js': `export const license = 'GPL'\nexport const alias = [1].map(String)`,
      'c.js': `export const license = 'GPL'\nexport const alias = [\n;`,
      'd/a.js': module(),
      'e.js': module(`export const alias = ['e-[0-9', 'e f', '']`),
    })
    const { warnings } = depmod(folder)
    assert.equal(warnings.length, 7, warnings.join('\n'))
    assert.match(warnings.join('\n'), /e\.js: not an alias: 'e-\[0-9'; an alias has /)
    assert.match(warnings.join('\n'), /a\.js depends on gone, which is not there/)
    assert.match(warnings.join('\n'), /b\.js:2: the export alias must be written out/)
    assert.match(warnings.join('\n'), /c\.js:3: /)
    assert.match(warnings.join('\n'), /d\/a\.js has the name of a\.js/)
  })

  test('a file that is made of itself, has no end, or is not what it should be, is told of, and the others are done', () => {
    const doublings = Array.from({ length: 40 }, (_, index) => `const d${index + 1} = [d${index}, d${index}]`)
    const folder = moduleFolder({
      'circle.js': module('\nconst a = b, b = a; export const alias = a'),
      'endless.js': module(`\nconst d0 = 'x'; ${doublings.join(';')}; export { d40 as alias }`),
      'deep.js': module(
        `${Array.from({ length: 50_000 }, (_, index) => `const n${index + 1} = [n${index}]`).join('\n')}
         const n0 = 'x'; export { n50000 as alias }`,
      ),
      'number.js': module('export const alias = 7'),
      'two words.js': module(),
      'good.js': module(`const name = ['g', 'h']; export const alias = name, depends = name`),
      'g.js': module(),
      'h.js': module(),
    })
    const { modules, warnings } = depmod(folder)
    assert.equal(modules, 3)
    assert.deepEqual(readIndex(folder).modules.get('good')?.depends, ['h', 'g'])
    const told = warnings.join('\n')
    assert.match(told, /circle\.js:2: the export alias must be written out/)
    assert.match(told, /endless\.js:2: the export alias has more than/)
    assert.match(told, /deep\.js:\d+: the export alias is nested too deeply/)
    assert.match(told, /number\.js: its export alias must be a string or an array of strings/)
    assert.match(told, /two words\.js" is left out/)
    assert.equal(warnings.length, 5, told)
  })

  test('what is read while depmod writes does not stand for what it has written', () => {
    const folder = moduleFolder({ 'z.js': module(`export const alias = 'zed'`), 'modules.dep': 'z.js:\n' })
    assert.deepEqual(readIndex(folder).aliases, [])
    writeFileSync(join(folder, 'modules.alias'), 'alias zed z\n')
    assert.deepEqual(readIndex(folder).aliases, [{ pattern: 'zed', module: 'z' }])
  })

  test('a folder that is not there: ENOENT', () => {
    assert.throws(() => depmod('/no/such'), { code: 'ENOENT', path: '/no/such' })
  })

  test('a hundred layers of modules that all need the two below are done at once', () => {
    const files: Record<string, string> = { 'm0_0.js': module(), 'm0_1.js': module() }
    for (let layer = 1; layer < 100; layer += 1) {
      for (const side of [0, 1]) {
        files[`m${layer}_${side}.js`] = module(
          `export const depends = ['m${layer - 1}_0', 'm${layer - 1}_1']`,
        )
      }
    }
    const folder = moduleFolder(files)
    depmod(folder)
    assert.equal(readIndex(folder).modules.get('m99_0')?.depends.length, 198)
  })
})

describe('what a module says of itself is read out of its source', () => {
  const values = (text: string) => parseModuleSource(text, 'm.js').values

  test('in every way in which it can be written out', () => {
    assert.deepEqual(
      values(`const list = ['a', \`b\`]; export { list as alias, license }; const license = 'MIT'`),
      {
        alias: ['a', 'b'],
        license: 'MIT',
      },
    )
    assert.deepEqual(values(`export const params = { a: 'int', 'b': { type: 'int', default: -1 } }`), {
      params: { a: 'int', b: { type: 'int', default: -1 } },
    })
    assert.deepEqual(
      [...parseModuleSource('export function init() {}; export class exit {}', 'm.js').exports],
      ['init', 'exit'],
    )
  })

  test('a name that is declared twice, and an export that nothing declares, are refused with their line', () => {
    for (const [source, line] of [
      ['const a = 1\nconst b = 2, a = 3', 2],
      ['let a\n\nfunction a() {}', 3],
      ['class A {}\nvar A', 2],
      ['const a = 1\nexport { a, b }', 2],
      ['const f = x => {\n  let y\n  let y\n}', 3],
    ] as const) {
      assert.throws(() => parseModuleSource(source, '/m.js'), {
        code: 'ENOEXEC',
        message: new RegExp(`m.js:${line}:`),
      })
    }
    parseModuleSource(
      'const a = 1; { const a = 2 } const f = a => { var b; var b }; export { a, f }',
      '/m.js',
    )
  })

  test('what has to be computed is refused with file and line', () => {
    for (const text of [
      'export const alias = f()',
      "export const alias = ['a', ...more]",
      'export const alias = `a$' + '{x}`',
      'export const params = { [a]: 1 }',
      'export const alias = alias',
    ]) {
      assert.throws(() => values(`\n${text}`), { code: 'ENOEXEC', message: /m\.js:2: / }, text)
    }
  })
})

describe('modprobe.d', () => {
  test('all directives, comments, continued lines, dashes', () => {
    const config = configOf(`
# a comment
alias char-major-10-* my-module
options my-module a=1 b="c d"
options my_module \\
  e=2
blacklist bad-one
install cmd /bin/echo $CMDLINE_OPTS
remove cmd /bin/false
softdep my-module pre: x y-z post: w
`)
    assert.deepEqual(config.aliases, [{ pattern: 'char_major_10_*', module: 'my_module' }])
    assert.deepEqual(config.options.get('my_module'), ['a=1 b="c d"', 'e=2'])
    assert.ok(config.blacklist.has('bad_one'))
    assert.equal(config.install.get('cmd'), '/bin/echo $CMDLINE_OPTS')
    assert.deepEqual(config.softdeps.get('my_module'), { pre: ['x', 'y_z'], post: ['w'] })
    assert.deepEqual(config.problems, [])
  })

  test('a line that does not parse: file, line and what is wrong; the others stand', () => {
    const { problems, blacklist } = configOf(
      'alias only\noptoins m a=1\nblacklist\noptions m\ninstall m\nsoftdep m x\n\nblacklist good\nblacklist a b\nalias a] m',
    )
    assert.deepEqual(
      problems.map(problem => /^test\.conf:(\d+): /.exec(problem)?.[1]),
      ['1', '2', '3', '4', '5', '6', '9', '10'],
    )
    assert.match(problems[1] ?? '', /unknown directive 'optoins'/)
    assert.ok(blacklist.has('good'))
  })

  test('a line goes on in the next one behind a backslash, wherever it is cut', () => {
    const cut = fc.constantFrom('', '', '', '\\\n', '\\\r\n')
    const words = fc.array(fc.tuple(fc.constantFrom('a=1', ' ', '"x y"', '#', '\\ '), cut), { maxLength: 8 })
    fc.assert(
      fc.property(words, parts => {
        const whole = `options m a ${parts.map(([word]) => word).join('')} b\nblacklist n\n`
        const lines = `options m a ${parts.map(part => part.join('')).join('')} b\nblacklist n\n`
        assert.deepEqual(configOf(lines), configOf(whole))
      }),
    )
    assert.deepEqual(configOf('blacklist a\\').blacklist, new Set(['a\\']))
    assert.deepEqual(
      configOf('x\\\ny\nz').problems.map(problem => problem.split(': ', 1)[0]),
      ['test.conf:1', 'test.conf:3'],
    )
  })

  test('any text at all is read to its end', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        configOf(text)
      }),
    )
  })

  test('files are read by name; the first folder’s stands for those of the same name in later ones', () => {
    const first = moduleFolder({ '20.conf': 'options m from=first', 'not.txt': 'blacklist x' })
    const second = moduleFolder({ '20.conf': 'options m from=second', '10.conf': 'options m early=1' })
    assert.deepEqual(readConfig([first, second]).options.get('m'), ['early=1', 'from=first'])
  })

  test('a folder or a file that cannot be read is told of and left out; the others stand', () => {
    const folder = moduleFolder({ '10.conf': 'blacklist good', '20.conf/in-the-way': '' })
    const { problems, blacklist } = readConfig(['/no/such', folder])
    assert.deepEqual(problems, [
      '/no/such: cannot be read (ENOENT), and is left out',
      `${folder}/20.conf: is no regular file, and is left out`,
    ])
    assert.ok(blacklist.has('good'))
  })

  test('a FIFO keeps no reader: it is told of and left out, among modules and their indexes, too', () => {
    const config = moduleFolder({ '10.conf': 'blacklist good' })
    const folder = moduleFolder({ 'a.js': module() })
    const indexed = moduleFolder({ 'b.js': module() })
    const fifos = [join(config, 'x.conf'), join(folder, 'x.js'), join(indexed, 'modules.dep')]
    assert.equal(spawnSync('/usr/bin/mkfifo', fifos).status, 0)
    const kmod = (name: string) =>
      new URL(`../../../src/applications/kmod/modprobe/${name}.js`, import.meta.url)
    // In a process of its own, which can be ended if it waits for a writer.
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { readConfig } from '${kmod('config')}'
         import { depmod } from '${kmod('depmod')}'
         import { readIndex } from '${kmod('module-index')}'
         const { problems, blacklist } = readConfig([${JSON.stringify(config)}])
         const { modules, warnings } = depmod(${JSON.stringify(folder)})
         let refusal
         try { readIndex(${JSON.stringify(indexed)}) } catch (error) { refusal = error.message }
         console.log(JSON.stringify({ problems, blacklist: [...blacklist], modules, warnings, refusal }))`,
      ],
      { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' },
    )
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
    assert.deepEqual(JSON.parse(stdout), {
      problems: [`${fifos[0]}: is no regular file, and is left out`],
      blacklist: ['good'],
      modules: 1,
      warnings: [`EINVAL: not a regular file: ${fifos[1]}`],
      refusal: `EINVAL: not a regular file: ${fifos[2]}`,
    })
  })
})

describe('modprobe', () => {
  test('loads what is needed first, and gives options to whom they are for', async () => {
    const { calls, modprobe } = setUp(
      {
        'top.js': module(`export const depends = ['mid']`),
        'mid.js': module(`export const depends = 'low'`),
        'low.js': module(),
      },
      { config: configOf('options low a=1\noptions top b=2') },
    )
    await modprobe.load('top', 'c=3')
    assert.deepEqual(calls.log, ['+low a=1', '+mid', '+top b=2 c=3'])
  })

  test('a module that is loaded already is a success, and a failure with firstTime', async () => {
    const files = { 'top.js': module(`export const depends = 'low'`), 'low.js': module() }
    const { calls, modprobe, folder } = setUp(files)
    await modprobe.load('top')
    await modprobe.load('top')
    assert.deepEqual(
      calls.loaded.map(({ name }) => name),
      ['low', 'top'],
    )
    const strict = new Modprobe(calls, { indexes: [readIndex(folder)], builtin: folder, firstTime: true })
    await assert.rejects(strict.load('top'), { code: 'EEXIST' })
    await calls.deleteModule('top')
    await strict.load('top')
  })

  test('what does not load stands in the way of what needs it', async () => {
    const { calls, modprobe } = setUp({
      'top.js': module(`export const depends = 'low'`),
      'low.js': module(),
    })
    calls.fails = path => (path.endsWith('low.js') ? 'EIO' : undefined)
    await assert.rejects(modprobe.load('top'), { code: 'EIO' })
    assert.deepEqual(calls.loaded, [])
  })

  test('a name that is none: ENOENT; one in the folder that needs what is not there, too', async () => {
    const { modprobe } = setUp({ 'a.js': module() })
    await assert.rejects(modprobe.load('b'), { code: 'ENOENT', message: /module b not found in / })
    await assert.rejects(modprobe.load('../a'), { code: 'ENOENT' })
    await assert.rejects(modprobe.load(''), { code: 'ENOENT' })
  })

  test('an alias loads all that it stands for; one of the configuration comes before names and aliases of modules', async () => {
    const files = {
      'a.js': module(`export const alias = 'net-pf-*'`),
      'b.js': module(`export const alias = 'net-pf-2'`),
      'c.js': module(),
    }
    const { calls, modprobe } = setUp(files)
    await modprobe.load('net-pf-2')
    assert.deepEqual(calls.log, ['+a', '+b'])
    const configured = setUp(files, { config: configOf('alias net-pf-2 c\nalias a c') })
    await configured.modprobe.load('net-pf-2')
    await configured.modprobe.load('a')
    assert.deepEqual(configured.calls.log, ['+c', '+c'])
  })

  test('a set in an alias has its range, whether the module or the configuration names it', async () => {
    const files = { 'base.js': module(`export const alias = 'base-[0-9]'`) }
    const config = configOf('alias net-pf-[0-9]-* base')
    assert.deepEqual(config.problems, [])
    for (const name of ['base-5', 'base_0', 'net-pf-5-x', 'net_pf_0_']) {
      const { calls, modprobe } = setUp(files, { config })
      await modprobe.load(name)
      assert.deepEqual(calls.log, ['+base'], name)
    }
    const { calls, modprobe } = setUp(files, { config })
    for (const name of ['base__', 'base--', 'base-x', 'net-pf---x']) {
      await assert.rejects(modprobe.load(name), { code: 'ENOENT' }, name)
    }
    assert.deepEqual(calls.log, [])
  })

  test('a blacklist is for aliases only, unless it is asked for', async () => {
    const files = { 'a.js': module(`export const alias = 'x'`) }
    const config = configOf('blacklist a')
    const { calls, modprobe, folder } = setUp(files, { config })
    await modprobe.load('x')
    assert.deepEqual(calls.log, [])
    await modprobe.load('a')
    assert.deepEqual(calls.log, ['+a'])
    const strict = new Modprobe(calls, {
      indexes: [readIndex(folder)],
      builtin: folder,
      config,
      useBlacklist: true,
    })
    await strict.load('a')
    assert.deepEqual(calls.log, ['+a'])
  })

  test('soft dependencies come before and after, and may be missing, fail, or go in a circle', async () => {
    const files = {
      'a.js': module(`export const softdep = 'pre: b gone post: c'`),
      'b.js': module(`export const softdep = 'pre: a'`),
      'c.js': module(),
    }
    const { calls, modprobe } = setUp(files)
    calls.fails = path => (path.endsWith('b.js') ? 'ENODEV' : undefined)
    await modprobe.load('a')
    assert.deepEqual(calls.log, ['+b', '+a', '+c'])
  })

  test('install and remove commands run instead; one that fails is told', async () => {
    const out = temporary('install.out')
    const config = configOf(
      `install a echo "$MODPROBE_MODULE" $CMDLINE_OPTS > ${out}\nremove a exit 3\noptions a o=1`,
    )
    const { calls, modprobe } = setUp({ 'a.js': module() }, { config })
    await modprobe.load('a', 'p=2')
    assert.equal(readFileSync(out, 'utf8'), 'a o=1 p=2\n')
    await assert.rejects(modprobe.unload('a'), { code: 'EINVAL', message: /has failed \(3\)/ })
    assert.deepEqual(calls.log, [])
  })

  test('a command that its options make longer than a program can be given: E2BIG, and nothing is run', async () => {
    const { modprobe, calls } = setUp(
      { 'a.js': module() },
      {
        config: configOf(
          `install a true${' $CMDLINE_OPTS'.repeat(30_000)}\noptions a b=${'x'.repeat(400_000)}\n`,
        ),
        runCommand: async () => assert.fail('it was run'),
      },
    )
    await assert.rejects(modprobe.load('a'), { code: 'E2BIG', message: /the install command for module a/ })
    assert.deepEqual(calls.log, [])
  })

  test('a name longer than kmod takes: ENAMETOOLONG', () => {
    const { modprobe } = setUp({ 'a.js': module() })
    assert.throws(() => modprobe.plan('a'.repeat(4_096)), { code: 'ENAMETOOLONG' })
    assert.throws(() => modprobe.plan('b'.repeat(4_095)), { code: 'ENOENT' })
  })

  test('soft dependencies without an end, as good as: ELOOP', () => {
    const chain = Array.from(
      { length: 50_000 },
      (_, index) => `install m${index} true\nsoftdep m${index} pre: m${index + 1}\n`,
    )
    const { modprobe } = setUp({ 'a.js': module() }, { config: configOf(chain.join('')) })
    assert.throws(() => modprobe.plan('m0'), { code: 'ELOOP', message: /m0/ })
  })

  test('$CMDLINE_OPTS is put in as it is, whatever it is', async () => {
    const commands: string[] = []
    const { modprobe } = setUp(
      { 'a.js': module() },
      {
        config: configOf(`install a load $CMDLINE_OPTS;`),
        runCommand: async ({ line }) => {
          commands.push(line)
          return undefined
        },
      },
    )
    await modprobe.load('a', 'price=$&$$5')
    assert.deepEqual(commands, ['load price=$&$$5;'])
  })

  test('a command that fails says which one it was, and a soft dependency’s does not keep its module from loading', async () => {
    const files = { 'a.js': module(`export const softdep = 'pre: b'`), 'b.js': module() }
    const config = configOf('install b exit 4\nremove b exit 3')
    const { calls, modprobe } = setUp(files, { config })
    await modprobe.load('a')
    assert.deepEqual(calls.log, ['+a'])
    await assert.rejects(modprobe.load('b'), {
      message: 'EINVAL: the install command for module b has failed (4)',
    })
    await assert.rejects(modprobe.unload('b'), {
      message: 'EINVAL: the remove command for module b has failed (3)',
    })
    const told: string[] = []
    const verbose = setUp(files, { config, dryRun: true, told: step => told.push(step) }).modprobe
    await verbose.unload('b')
    assert.deepEqual(told, ['remove exit 3'])
  })

  test('a command that is under way already is not run again: ELOOP; another one for the same module is', async () => {
    const ran: unknown[] = []
    const { modprobe } = setUp(
      { 'a.js': module() },
      {
        config: configOf('install a khelper modprobe a\nremove a khelper modprobe -r a'),
        underWay: ['install:b', 'install:a'],
        runCommand: async ({ underWay }) => {
          ran.push(underWay)
          return undefined
        },
      },
    )
    await assert.rejects(modprobe.load('a'), { code: 'ELOOP', message: /--ignore-install/ })
    assert.deepEqual(ran, [])
    await modprobe.unload('a')
    assert.deepEqual(ran, [['install:b', 'install:a', 'remove:a']])
  })

  test('unloading takes what was needed along, where nobody else needs it', async () => {
    const { calls, modprobe } = setUp({
      'top.js': module(`export const depends = ['low', 'held']`),
      'low.js': module(),
      'held.js': module(),
    })
    await modprobe.load('top')
    const held = calls.loaded.find(({ name }) => name === 'held')
    if (held !== undefined) held.references = 1
    await modprobe.unload('top')
    assert.deepEqual(
      calls.loaded.map(({ name }) => name),
      ['held'],
    )
    await modprobe.unload('top')
    await assert.rejects(
      new Modprobe(calls, { indexes: [], builtin: moduleFolder({ 'top.js': '' }), firstTime: true }).unload(
        'top',
      ),
      { code: 'ENOENT' },
    )
  })

  test('unloading tries again for as long as it may while the module is in use', async () => {
    const { calls, folder } = setUp({ 'a.js': module() })
    await calls.initModule('a.js', '')
    const [loaded] = calls.loaded
    assert.ok(loaded)
    loaded.references = 1
    const patient = new Modprobe(calls, { indexes: [readIndex(folder)], builtin: folder, wait: 30_000 })
    const unloading = patient.unload('a')
    setTimeout(() => {
      loaded.references = 0
    }, 20)
    await unloading
    assert.ok(calls.log.filter(line => line === '-a').length > 1)
  })

  test('a dry run tells and does nothing', async () => {
    const told: string[] = []
    const { calls, modprobe, folder } = setUp(
      { 'top.js': module(`export const depends = 'low'`), 'low.js': module() },
      { dryRun: true, told: step => told.push(step) },
    )
    await modprobe.load('top')
    assert.deepEqual(told, [`insmod ${join(folder, 'low.js')}`, `insmod ${join(folder, 'top.js')}`])
    assert.deepEqual(calls.log, [])
  })
})
