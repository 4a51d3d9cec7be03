/**
 * Folders of services: what is done in them stays in them, and what others have made of them is left alone.
 */
import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { NAMESPACES } from '../../src/cli/stress/full-disk.js'
import { Folder } from '../../src/kernel/folder.js'
import { isSafe, temporaryPlace } from '../../src/kernel/safe-places.js'
import {
  makeServiceFolder,
  pidNamespace,
  removeFolder,
  removeLeftFolders,
} from '../../src/kernel/service-folders.js'
import { withoutNamespaces } from '../helpers/namespaces.js'
import { eventually, openFds } from '../helpers/resources.js'

const needsRoot = process.getuid?.() !== 0 && 'needs root'
const NOBODY = 65_534
const module = (name: string) => new URL(`../../src/kernel/${name}.js`, import.meta.url).href
/** Where other users may look, as in /tmp. */
const shared = mkdtempSync(join(tmpdir(), 'khelper-test-'))
after(() => rmSync(shared, { recursive: true, force: true }))

let place = ''
let outside = ''
let number = 0
beforeEach(() => {
  number += 1
  place = join(shared, `place-${number}`)
  outside = join(shared, `outside-${number}`)
  for (const folder of [shared, place, outside]) mkdirSync(folder, { recursive: true })
  chmodSync(shared, 0o755)
  chmodSync(place, 0o1777)
  chmodSync(outside, 0o777)
  writeFileSync(join(outside, 'precious'), 'stays')
})
afterEach(() => assert.deepEqual(readdirSync(outside), ['precious'], 'nothing outside is touched'))

const mode = (path: string) => statSync(path).mode & 0o7777

describe('a folder', () => {
  test('has exactly the mode it was made with, whatever the umask and the folder above', () => {
    chmodSync(place, 0o3777)
    const umask = process.umask(0o77)
    try {
      assert.equal(mode(makeServiceFolder(place, 'credentials')), 0o711)
      assert.equal(mode(makeServiceFolder(place, 'scratch')), 0o700)
    } finally {
      process.umask(umask)
    }
  })

  test('files: with their mode, once, and never through a link; the error tells the path', () => {
    const folder = Folder.make(join(place, 'own-'), 0o700)
    folder.write('secret', Buffer.from('x'), 0o400)
    assert.equal(mode(join(folder.path, 'secret')), 0o400)
    symlinkSync(join(outside, 'made'), join(folder.path, 'link'))
    for (const name of ['secret', 'link']) {
      const path = join(folder.path, name)
      assert.throws(
        () => folder.write(name, Buffer.from('y'), 0o400),
        (error: NodeJS.ErrnoException) =>
          error.code === 'EEXIST' && error.path === path && error.message.includes(`'${path}'`),
      )
    }
    assert.throws(() => folder.openFile('link'), { code: 'ELOOP' })
    folder.close()
  })

  test('what comes to its path meanwhile is not it', () => {
    const folder = Folder.make(join(place, 'own-'), 0o700)
    folder.write('precious', Buffer.from('x'), 0o400)
    renameSync(folder.path, `${folder.path}-moved`)
    symlinkSync(outside, folder.path)
    folder.remove('precious')
    folder.write('other', Buffer.from('x'), 0o400)
    assert.deepEqual(readdirSync(`${folder.path}-moved`), ['other'])
    folder.close()
    assert.throws(() => Folder.open(folder.path), { code: 'ENOTDIR' })
    removeFolder(folder.path, ['precious'])
  })

  test('of another user, or of another mode: EPERM', { skip: needsRoot }, () => {
    const path = makeServiceFolder(place, 'scratch')
    Folder.open(path, [0o700]).close()
    assert.throws(() => Folder.open(path, [0o711]), { code: 'EPERM', path })
    chownSync(path, NOBODY, NOBODY)
    const before = openFds()
    assert.throws(() => Folder.open(path), { code: 'EPERM', path })
    assert.equal(openFds(), before)
  })

  test('without /proc it is had by its name, where nobody can exchange it', {
    skip: withoutNamespaces,
  }, async () => {
    const script = `
      import { mkdirSync, chmodSync, readdirSync } from 'node:fs'
      import { Folder } from '${module('folder')}'
      import { removeFolder } from '${module('service-folders')}'
      const folder = Folder.make('${place}/own-', 0o711)
      folder.write('secret', Buffer.from('x'), 0o400)
      const below = folder.make('helper-', 0o700)
      const there = readdirSync(folder.path).map(name => name.slice(0, 6))
      folder.close()
      removeFolder(below.path, [])
      removeFolder(folder.path, ['secret'])
      chmodSync('${place}', 0o777)
      let code
      try { Folder.make('${place}/own-', 0o700) } catch (error) { code = error.code }
      console.log(JSON.stringify([there.sort(), code, readdirSync('/proc'), readdirSync('${place}')]))`
    const { stdout } = await promisify(execFile)('unshare', [
      ...NAMESPACES,
      ...['sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'],
      ...[process.execPath, '--input-type=module', '--eval', script],
    ])
    assert.deepEqual(JSON.parse(stdout), [['helper', 'secret'], 'EPERM', [], []])
  })
})

/** The pid of a process that has gone. */
const gone = spawnSync('true').pid
const leftName = (kind: string, suffix = 'abcdef') =>
  join(place, `khelper-${kind}-${gone}-1-${pidNamespace()}-${suffix}`)

/** What a service of one kind leaves that is killed. */
function leave(kind: string, permissions: number, suffix?: string): string {
  const root = leftName(kind, suffix)
  mkdirSync(root)
  chmodSync(root, permissions)
  writeFileSync(join(root, '1.0'), 'output', { mode: 0o400 })
  return root
}

/** A folder of a helper in it, with a secret. */
function leaveHelper(root: string, permissions = 0o711): string {
  const folder = join(root, 'helper-abcdef')
  mkdirSync(folder)
  chmodSync(folder, permissions)
  writeFileSync(join(folder, 'token'), 'secret', { mode: 0o400 })
  return folder
}

describe('what a service that was killed has left', () => {
  test('goes: files, folders of helpers, links and sockets themselves', async () => {
    const root = leave('credentials', 0o711)
    leaveHelper(root)
    symlinkSync(outside, join(root, 'link'))
    symlinkSync(outside, join(root, 'helper-abcdef', 'link'))
    const socket = leave('socket', 0o700)
    const server = createServer().listen(join(socket, 's'))
    await once(server, 'listening')
    removeLeftFolders(place, 'credentials')
    assert.deepEqual(readdirSync(place), [socket.slice(place.length + 1)])
    removeLeftFolders(place, 'socket')
    assert.deepEqual(readdirSync(place), [])
    server.close()
  })

  test('a link of that name, and in the place of a helper’s folder, is not followed', () => {
    symlinkSync(outside, leftName('credentials', 'linked'))
    const root = leave('credentials', 0o711)
    symlinkSync(outside, join(root, 'helper-linked'))
    removeLeftFolders(place, 'credentials')
    assert.ok(!existsSync(root))
    assert.deepEqual(readdirSync(place), [leftName('credentials', 'linked').slice(place.length + 1)])
  })

  test('a folder of another mode is none of a service’s, nor is one deeper than it makes them', () => {
    const open = leave('scratch', 0o755)
    const deep = leave('credentials', 0o711)
    const below = join(leaveHelper(deep), 'deeper')
    mkdirSync(below, { mode: 0o700 })
    writeFileSync(join(below, 'file'), '')
    for (const kind of ['scratch', 'credentials'] as const) removeLeftFolders(place, kind)
    assert.deepEqual(readdirSync(open), ['1.0'])
    assert.deepEqual(readdirSync(join(below, '..')), ['deeper'])
    assert.deepEqual(readdirSync(below), ['file'])
  })

  test('another user’s folder is left alone, as a service’s and as a helper’s', { skip: needsRoot }, () => {
    const foreign = leave('credentials', 0o711, 'other1')
    chownSync(foreign, NOBODY, NOBODY)
    const root = leave('credentials', 0o711)
    const folder = leaveHelper(root, 0o700)
    chownSync(folder, NOBODY, NOBODY)
    removeLeftFolders(place, 'credentials')
    assert.deepEqual(readdirSync(foreign), ['1.0'])
    assert.deepEqual(readdirSync(root), ['helper-abcdef'])
    assert.deepEqual(readdirSync(folder), ['token'])
  })

  test('another user that exchanges what it owns there for links all the time: nothing outside goes', {
    skip: needsRoot,
  }, async () => {
    // As it was when the folder belonged to the helper: it can be listed as one thing and be another when its files go.
    const helpers = join(leftName('credentials'), 'helper-abcdef')
    const swap = `
import os, sys
folder, target = sys.argv[1:]
print('ready', flush=True)
while True:
  try:
    os.mkdir(folder + '/sub')
    for name in os.listdir(target): open(folder + '/sub/' + name, 'w')
  except OSError:
    pass
  try:
    for _ in range(20):
      os.rename(folder + '/sub', folder + '/was')
      os.symlink(target, folder + '/sub')
      os.unlink(folder + '/sub')
      os.rename(folder + '/was', folder + '/sub')
  except OSError:
    try: os.unlink(folder + '/sub')
    except OSError: pass
`
    const names = Array.from({ length: 50 }, (_, index) => `precious-${index}`)
    for (const name of names) writeFileSync(join(outside, name), '')
    chmodSync(outside, 0o755)
    const swapper = spawn('python3', ['-c', swap, helpers, outside], {
      uid: NOBODY,
      gid: NOBODY,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(swapper, 'exit')
    try {
      await once(swapper.stdout, 'data')
      for (let boot = 0; boot < 3_000; boot += 1) {
        if (!existsSync(helpers)) {
          const root = leftName('credentials')
          rmSync(root, { recursive: true, force: true })
          chownSync(leaveHelper(leave('credentials', 0o711), 0o700), NOBODY, NOBODY)
        }
        removeLeftFolders(place, 'credentials')
      }
    } finally {
      swapper.kill('SIGKILL')
      await exited
    }
    assert.deepEqual(readdirSync(outside).sort(), ['precious', ...names].sort())
    for (const name of names) rmSync(join(outside, name))
  })

  test('so many entries that they would hold the event loop go in the course of several boots', () => {
    const root = leave('scratch', 0o700)
    for (let file = 0; file < 3_000; file += 1) writeFileSync(join(root, `${file}.1`), '')
    const before = openFds()
    removeLeftFolders(place, 'scratch')
    assert.equal(openFds(), before)
    const rest = readdirSync(root).length
    assert.ok(rest > 0 && rest < 3_000, String(rest))
    removeLeftFolders(place, 'scratch')
    assert.equal(existsSync(root), false)
  })
})

describe('a place', () => {
  test('is safe if nobody else can write to it, or only beside what is the service’s', () => {
    chmodSync(place, 0o700)
    assert.ok(isSafe(place))
    chmodSync(place, 0o1777)
    assert.ok(isSafe(place))
    for (const unsafe of [0o777, 0o722, 0o770]) {
      chmodSync(place, unsafe)
      assert.equal(isSafe(place), false, unsafe.toString(8))
    }
    symlinkSync(place, join(shared, `link-${number}`))
    assert.equal(isSafe(join(shared, `link-${number}`)), false)
    mkdirSync(join(place, 'below'), { mode: 0o700 })
    assert.equal(isSafe(join(place, 'below')), false, 'it can be exchanged as a whole')
    chmodSync(place, 0o700)
    assert.throws(() => isSafe(join(place, 'missing')), { code: 'ENOENT' })
  })

  test('is not if it is another user’s, sticky or not', { skip: needsRoot }, () => {
    chownSync(place, NOBODY, NOBODY)
    for (const permissions of [0o755, 0o1777]) {
      chmodSync(place, permissions)
      assert.equal(isSafe(place), false)
    }
  })

  test('that TMPDIR names is not used if it is not safe; if there is no other, the error says what to do', () => {
    const before = process.env['TMPDIR']
    process.env['TMPDIR'] = place
    try {
      assert.equal(temporaryPlace(), place)
      chmodSync(place, 0o777)
      const other = temporaryPlace()
      assert.notEqual(other, place)
      assert.ok(isSafe(other))
      assert.throws(() => temporaryPlace(() => false), {
        name: 'SystemError',
        code: 'EACCES',
        path: place,
        message: /set TMPDIR to one that belongs to this user or root/,
      })
      chmodSync(place, 0o700)
      process.env['TMPDIR'] = join(place, 'missing')
      assert.throws(() => temporaryPlace(), { code: 'ENOENT' })
    } finally {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
    }
  })
})

test('the scratch folder of the launcher child_process: made where it is safe, and gone with the kernel', async () => {
  chmodSync(place, 0o777)
  const script = `
    import { boot } from '${new URL('../../src/index.js', import.meta.url).href}'
    import { writeFileSync } from 'node:fs'
    const kernel = boot({ khelpers: 1, launcher: 'child_process' })
    await kernel.run('sh', ['-c', 'echo output'])
    writeFileSync(kernel.handle.scratch + '/7.0', 'not taken')
    console.log(kernel.handle.scratch)
    if (process.argv[1] === 'shutdown') await kernel.shutdown()
    process.exit()`
  for (const end of ['shutdown', 'exit']) {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', script, end],
      { env: { ...process.env, TMPDIR: place } },
    )
    const scratch = stdout.trim()
    assert.match(scratch, /khelper-scratch-/)
    assert.ok(!scratch.startsWith(place))
    await eventually('it has gone', () => !existsSync(scratch))
  }
  assert.deepEqual(readdirSync(place), [])
  assert.equal(readFileSync(join(outside, 'precious'), 'utf8'), 'stays')
})
