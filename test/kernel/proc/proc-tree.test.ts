/**
 * Every file of a kernel's tree as it is after boot(): what it holds at first, what it takes, what it refuses and how.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, describe, test } from 'node:test'
import { boot, type Kernel, UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../../src/index.js'
import { writeCall } from '../../../src/kernel/call-spec.js'
import { InternedStrings } from '../../../src/kernel/interned-strings.js'
import { Memory, type OwnerIndex, Slot, type SlotIndex, SlotState } from '../../../src/kernel/memory.js'
import { defineKernelFiles } from '../../../src/kernel/proc/khelper-files.js'
import { ProcTree } from '../../../src/kernel/proc/tree.js'
import { queueWork } from '../../../src/kernel/workqueue.js'
import { inThreadHelper } from '../../helpers/temporary.js'

const INT_MAX = 2_147_483_647
const IN_THREAD = (name: string) => new RegExp(`^file:///.*/workers/${name}\\.js\\n$`)
const BIT = [0, 1] as const
const MANY = [1, INT_MAX] as const
const FULL_SET = '4294967295\t511\n'

/** What a file holds at first; then bytes of its room, the NUL that ends them included. */
const TEXTS: readonly (readonly [string, string | RegExp, number])[] = [
  ['/proc/sys/kernel/modprobe', IN_THREAD('modprobe'), 256],
  ['/proc/sys/kernel/hotplug', '\n', 256],
  ['/proc/sys/kernel/poweroff_cmd', IN_THREAD('poweroff'), 256],
  ['/proc/sys/kernel/core_pattern', 'core\n', 128],
  ['/proc/sys/khelper/reboot_cmd', IN_THREAD('poweroff'), 256],
  ['/proc/sys/khelper/request_key', '/sbin/request-key\n', 4096],
  ['/proc/sys/khelper/module_directory', '\n', 4096],
  ['/proc/sys/khelper/modprobe_config', '\n', 4096],
]

/** What a file holds at first; then the least and the largest number that it takes. */
const NUMBERS: readonly (readonly [string, number, readonly [number, number]])[] = [
  ['/proc/sys/kernel/core_pipe_limit', 0, [0, INT_MAX]],
  ['/proc/sys/kernel/core_uses_pid', 0, [-INT_MAX - 1, INT_MAX]],
  ['/proc/sys/kernel/keys/maxkeys', 200, MANY],
  ['/proc/sys/kernel/keys/maxbytes', 20_000, MANY],
  ['/proc/sys/kernel/keys/root_maxkeys', 1_000_000, MANY],
  ['/proc/sys/kernel/keys/root_maxbytes', 25_000_000, MANY],
  ['/proc/sys/kernel/keys/gc_delay', 300, [0, INT_MAX]],
  ['/proc/sys/khelper/module_autoload_dups', 0, BIT],
]

/** What these files hold is for tests of their own. */
const OTHERS = [
  '/proc/sys/kernel/modules_disabled',
  '/proc/sys/kernel/usermodehelper/bset',
  '/proc/sys/kernel/usermodehelper/inheritable',
]

/** What they hold of a kernel that has done nothing, with no application loaded. */
const READ_ONLY: readonly (readonly [string, string])[] = [
  ['/proc/keys', ''],
  ['/proc/key-users', ''],
  ['/proc/modules', ''],
  ['/proc/khelper/helpers', ''],
  ['/proc/khelper/queue', ''],
  [
    '/proc/khelper/stat',
    'descriptors 64\navailable 64\nqueued 0\ninFlight 0\nrunning 0\nprocesses 0\nkhelpers 2\n',
  ],
]

function bootOne(): Kernel {
  const kernel = boot({ khelpers: 2, descriptors: 64 })
  after(() => kernel.shutdown())
  return kernel
}

const { proc } = bootOne()

const files = (folder: string): string[] =>
  proc.list(folder).flatMap(name => (name.endsWith('/') ? files(`${folder}${name}`) : [`${folder}${name}`]))

test('these files are there, and no others', () => {
  const known = [...TEXTS, ...NUMBERS, ...READ_ONLY].map(([path]) => path)
  assert.deepEqual(files('/'), [...known, ...OTHERS].sort())
})

describe('lines of text', () => {
  for (const [path, initial, size] of TEXTS) {
    test(`${path}: its default, and ${size} bytes of room with the NUL at the end`, () => {
      const before = proc.read(path)
      assert.match(before, typeof initial === 'string' ? new RegExp(`^${initial}$`) : initial)
      // A default that is longer than Linux has room for can be written back.
      proc.write(path, before)
      assert.equal(proc.read(path), before)
      const room = Math.max(size, Buffer.byteLength(before)) - 1
      const long = (length: number) => `/${'x'.repeat(length - 1)}`
      for (const [data, held] of [
        [long(room), long(room)],
        [`${long(room)}y`, long(room)],
        [`${long(room)}\n`, long(room)],
        [`${long(room - 1)}ä`, long(room - 1)],
        [`${long(room - 2)}ä`, `${long(room - 2)}ä`],
        ['/first\nsecond', '/first'],
        ['/first\nsecond\n\0', '/first'],
        ['/first\0second\n', '/first'],
        ['/bin/a  b\t', '/bin/a  b\t'],
        ['\n', ''],
        ['', ''],
      ] as const) {
        proc.write(path, data)
        assert.equal(proc.read(path), `${held}\n`)
      }
    })
  }
})

describe('programs that the kernel starts by itself are named from the root, or not at all', () => {
  const { proc } = bootOne()
  const FILE_URL = 'file:///srv/helper.mjs'
  for (const [path, taken, refused] of [
    [
      '/proc/sys/kernel/modprobe',
      ['/sbin/modprobe', FILE_URL, ''],
      ['modprobe', './modprobe', '../m', ' /sbin/m'],
    ],
    ['/proc/sys/kernel/hotplug', ['/sbin/hotplug', FILE_URL, ''], ['hotplug', 'bin/hotplug']],
    ['/proc/sys/khelper/request_key', ['/sbin/request-key', FILE_URL, ''], ['request-key', '~/request-key']],
    [
      '/proc/sys/kernel/poweroff_cmd',
      ['/sbin/poweroff now', ' \t/sbin/poweroff', FILE_URL, '', ' \t'],
      ['poweroff', ' poweroff /sbin', './poweroff now'],
    ],
    ['/proc/sys/khelper/reboot_cmd', ['/sbin/reboot -f', FILE_URL, ''], ['reboot', 'sbin/reboot']],
    [
      '/proc/sys/kernel/core_pattern',
      ['core', 'cores/%e', '|/bin/cat %p', '| \t/bin/cat', '|/opt/%e', '|', '| ', '@/run/socket', ''],
      ['|cat', '|./cat', '| cat', '|%e', '|%q/bin/cat', `|${FILE_URL}`, '|"/bin/cat"'],
    ],
    [
      '/proc/sys/khelper/module_directory',
      ['/srv/modules', '/srv/one:/srv/two', ':/srv/one:', ''],
      ['modules', '/srv/one:two', './modules', 'file:///srv/modules'],
    ],
    ['/proc/sys/khelper/modprobe_config', ['/etc/modprobe.d:/run/a.conf', ''], ['modprobe.d', '/etc:.']],
  ] as const) {
    test(path, () => {
      for (const value of taken) {
        proc.write(path, value)
        assert.equal(proc.read(path), `${value}\n`)
      }
      const before = proc.read(path)
      for (const value of refused) {
        assert.throws(
          () => proc.write(path, `${value}\n`),
          (error: NodeJS.ErrnoException) =>
            error.code === 'EINVAL' &&
            error.syscall === 'write' &&
            error.path === path &&
            error.message.includes(`'${value}'`) &&
            error.message.includes('absolute path'),
          value,
        )
        assert.equal(proc.read(path), before, 'nothing has changed')
      }
    })
  }
})

describe('numbers', () => {
  for (const [path, initial, [least, most]] of NUMBERS) {
    test(`${path}: ${initial} at first, from ${least} to ${most}`, () => {
      assert.equal(proc.read(path), `${initial}\n`)
      for (const [data, held] of [
        [`${least}`, least],
        [`${most}`, most],
        ['0x1', 1],
        [`${most}\n`, most],
        ['01', 1],
        [` 0${most.toString(8)} `, most],
        ['1', 1],
        [`0X${most.toString(16).toUpperCase()}`, most],
      ] as const) {
        proc.write(path, data)
        assert.equal(proc.read(path), `${held}\n`, JSON.stringify(data))
      }
      const refused = ['x', '1x', '0x', '08', '1.5', '1e3', '--1', ' \n', '0x1g']
      for (const data of [...refused, `${least - 1}`, `${most + 1}`, '-2147483649', '99999999999999999999']) {
        const error = { name: 'SystemError', code: 'EINVAL', syscall: 'write', path }
        assert.throws(() => proc.write(path, data), error, JSON.stringify(data))
        assert.equal(proc.read(path), `${most}\n`, 'nothing has changed')
      }
    })
  }
})

test('modules_disabled is turned on once, and for good', () => {
  const path = '/proc/sys/kernel/modules_disabled'
  const { proc } = bootOne()
  const refuses = (...all: string[]) => {
    for (const data of all) assert.throws(() => proc.write(path, data), { code: 'EINVAL', path }, data)
  }
  assert.equal(proc.read(path), '0\n')
  refuses('0', '2', '-1', 'x')
  assert.equal(proc.read(path), '0\n')
  proc.write(path, '1\n')
  refuses('0', '2')
  proc.write(path, '1')
  assert.equal(proc.read(path), '1\n')
})

for (const name of ['bset', 'inheritable']) {
  test(`${name} is the kernel's own, and not the other set`, () => {
    const { proc } = bootOne()
    const at = (which: string) => `/proc/sys/kernel/usermodehelper/${which}`
    proc.write(at(name), '7 1')
    for (const which of ['bset', 'inheritable']) {
      assert.equal(proc.read(at(which)), which === name ? '7\t1\n' : FULL_SET)
    }
  })
}

describe('files that are only read', () => {
  const { proc } = bootOne()
  for (const [path, content] of READ_ONLY) {
    test(`${path}: what it holds, and EACCES for a write`, () => {
      assert.equal(proc.read(path), content)
      assert.throws(() => proc.write(path, content), { code: 'EACCES', syscall: 'open', path })
      assert.deepEqual(proc.access(path), { readable: true, writable: false })
    })
  }
})

describe('paths', () => {
  const FILE = '/proc/sys/kernel/core_pattern'
  const TYPE = 'ERR_INVALID_ARG_TYPE'

  for (const [situation, path, code, named = path] of [
    ['of nothing', '/proc/sys/kernel/core', 'ENOENT'],
    ['that only begins like a file', `${FILE}s`, 'ENOENT'],
    ['that is relative', 'proc/sys/kernel/core_pattern', 'ENOENT'],
    ['with a dot', '/proc/./sys/kernel/core_pattern', 'ENOENT'],
    ['of a folder', '/proc/sys/kernel', 'EISDIR'],
    ['of a folder, with a slash', '/proc/sys/kernel/', 'EISDIR'],
    ['of the root', '/', 'EISDIR'],
    ['below a file', `${FILE}/below`, 'ENOTDIR', FILE],
    ['far below a file', `${FILE}/far/below`, 'ENOTDIR', FILE],
  ] as const) {
    test(`one ${situation}: ${code} to read, to write and to ask for access`, () => {
      const error = { name: 'SystemError', code, syscall: 'open', path: named }
      assert.throws(() => proc.read(path), error)
      assert.throws(() => proc.write(path, 'x'), error)
      assert.throws(() => proc.access(path), error)
    })
  }

  test('slashes that repeat or trail mean nothing', () => {
    assert.equal(proc.read('//proc/sys///kernel/core_uses_pid/'), proc.read('/proc/sys/kernel/core_uses_pid'))
    assert.deepEqual(proc.list('/proc//khelper//'), ['helpers', 'queue', 'stat'])
  })

  test('a folder lists its files, and its folders with a slash', () => {
    assert.deepEqual(proc.list('/'), ['proc/'])
    assert.deepEqual(proc.list('/proc'), ['key-users', 'keys', 'khelper/', 'modules', 'sys/'])
    for (const [path, code] of [
      [FILE, 'ENOTDIR'],
      [`${FILE}/`, 'ENOTDIR'],
      ['/proc/sy', 'ENOENT'],
      ['proc', 'ENOENT'],
    ] as const) {
      assert.throws(() => proc.list(path), { name: 'SystemError', code, syscall: 'open' }, path)
    }
  })

  test('paths and data that are no strings', () => {
    for (const path of [undefined, 1, null] as never[]) {
      assert.throws(() => proc.read(path), { code: TYPE })
      assert.throws(() => proc.write(path, 'x'), { code: TYPE })
      assert.throws(() => proc.list(path), { code: TYPE })
    }
    for (const data of [undefined, 1, Buffer.from('1')] as never[]) {
      assert.throws(() => proc.write(FILE, data), { code: TYPE, message: /"data"/ })
    }
  })

  test('a file that is only written to: EACCES to read', () => {
    const tree = new ProcTree()
    const written: string[] = []
    tree.define('/sys/trigger', { write: data => void written.push(data) })
    assert.throws(() => tree.read('/sys/trigger'), { code: 'EACCES', syscall: 'open', path: '/sys/trigger' })
    tree.write('/sys/trigger', 'now')
    assert.deepEqual(written, ['now'])
    assert.deepEqual(tree.access('/sys/trigger'), { readable: false, writable: true })
  })

  test('who takes a file away takes his own, and a folder goes with its last file', () => {
    const tree = new ProcTree()
    const undefineFirst = tree.define('/a/b', { read: () => 'first' })
    const undefineLast = tree.define('/a//b/', { read: () => 'last' })
    undefineFirst()
    assert.equal(tree.read('/a/b'), 'last')
    undefineLast()
    assert.throws(() => tree.list('/a'), { code: 'ENOENT' })
  })
})

describe('/proc/khelper', () => {
  const stat = (kernel: Kernel) =>
    Object.fromEntries(
      kernel.proc
        .read('/proc/khelper/stat')
        .trimEnd()
        .split('\n')
        .map(line => line.split(' ')),
    )

  test('stat and helpers: programs that run, by their descriptor, pid and name', async () => {
    const kernel = bootOne()
    const running = [1, 2, 3].map(() => kernel.run('cat', [], { stdin: 'pipe' }))
    const pids = running.map(({ pid }) => pid)
    const helpers = () => kernel.proc.read('/proc/khelper/helpers')
    // An exec is known to its caller a moment before it is known to all.
    while (helpers().includes('executing')) await new Promise(setImmediate)
    const [counts, text] = [stat(kernel), helpers()]
    for (const { stdin } of running) stdin?.end()
    await Promise.all(running)
    assert.deepEqual(counts, {
      descriptors: '64',
      available: '61',
      queued: '0',
      inFlight: '3',
      running: '3',
      processes: '3',
      khelpers: '2',
    })
    const lines = text
      .trimEnd()
      .split('\n')
      .map(line => line.split(' '))
    assert.deepEqual(
      lines.map(([, state, pid, path]) => [state, Number(pid), path]).sort(),
      pids.map(pid => ['running', pid, 'cat']).sort(),
    )
    assert.equal(new Set(lines.map(([slot]) => slot)).size, 3)
    assert.deepEqual([helpers(), stat(kernel).available], ['', '64'])
  })

  test('helpers: an in-thread helper is executing, without a pid', async () => {
    const kernel = bootOne()
    const gate = new BroadcastChannel('proc-tree')
    const url = inThreadHelper(`
      import { BroadcastChannel } from 'node:worker_threads'
      import { once } from 'node:events'
      export default () => new Promise(resolve => {
        const gate = new BroadcastChannel('proc-tree')
        gate.onmessage = () => { gate.close(); resolve(0) }
        gate.postMessage('up')
      })`)
    const up = once(gate as never, 'message')
    const helper = kernel.run(url)
    await up
    assert.match(
      kernel.proc.read('/proc/khelper/helpers'),
      new RegExp(`^\\d+ executing 0 ${url.replace(/\W/g, '\\$&')}\\n$`),
    )
    gate.postMessage('go')
    await helper
    gate.close()
  })

  test('queue and helpers: each call in the one that its state says, and white space in paths escaped', () => {
    const memory = Memory.create({ descriptors: 8, pages: 4, khelpers: 1 })
    const interned = new InternedStrings(memory, 0 as OwnerIndex)
    const tree = new ProcTree()
    defineKernelFiles(tree, memory, () => assert.fail())
    const setUp = (path: string, wait: number): SlotIndex => {
      const slot = memory.slots.allocate() as SlotIndex
      const spec = { path, argv: ['secret', '--token=x'], envp: ['TOKEN=x'], flags: 0 }
      assert.ok(writeCall(memory, interned, 0 as OwnerIndex, slot, spec))
      memory.words[memory.slot(slot) + Slot.WAIT] = wait
      return slot
    }
    const first = setUp('/bin/first', UMH_WAIT_PROC)
    const second = setUp('/a b\\c\n', UMH_WAIT_EXEC)
    setUp('/bin/not-queued', UMH_WAIT_EXEC)
    const read = () => ['queue', 'helpers'].map(name => tree.read(`/proc/khelper/${name}`))
    assert.deepEqual(read(), ['', ''])
    for (const slot of [first, second]) queueWork(memory, slot)
    const queued = `${second} 1 /a\\040b\\134c\\012\n`
    assert.deepEqual(read(), [`${first} 2 /bin/first\n${queued}`, ''])
    const row = memory.slot(first)
    memory.words[row + Slot.STATE] = SlotState.EXECUTING
    memory.words[row + Slot.PID] = 77
    assert.deepEqual(read(), [queued, `${first} executing 0 /bin/first\n`])
    memory.words[row + Slot.STATE] = SlotState.RUNNING
    assert.deepEqual(read(), [queued, `${first} running 77 /bin/first\n`])
    memory.words[row + Slot.STATE] = SlotState.DONE
    assert.deepEqual(read(), [queued, ''])
  })
})
