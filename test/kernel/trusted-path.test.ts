import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { distrustedFolder, isTrustedUser, walkPath } from '../../src/kernel/trusted-path.js'
import { asRoot, OTHER, outputOf, startAsOther } from '../helpers/other-user.js'

const PLACE = mkdtempSync('/tmp/khelper-path-')
chmodSync(PLACE, 0o755)
after(() => rmSync(PLACE, { recursive: true }))
const MODULE = new URL('../../src/kernel/trusted-path.js', import.meta.url).href

function folder(name: string, mode: number): string {
  const path = join(PLACE, name)
  mkdirSync(path)
  chmodSync(path, mode)
  return path
}

test('who may write to a folder', () => {
  for (const [mode, trusted] of [
    [0o700, true],
    [0o755, true],
    [0o775, false],
    [0o757, false],
    [0o1777, true],
    [0o2770, false],
    [0o3770, true],
  ] as const) {
    // Ours may be a group that nobody else is in.
    if ((mode & 0o1020) === 0o020 && process.getuid?.() !== 0) continue
    const path = folder(mode.toString(8), mode)
    assert.equal(distrustedFolder(path)?.path, trusted ? undefined : path, mode.toString(8))
  }
  assert.equal(distrustedFolder('/'), undefined)
  assert.equal(distrustedFolder('/tmp'), undefined)
})

test('what is not there, goes in a circle, or is no folder', () => {
  const path = folder('odd', 0o700)
  symlinkSync('circle', join(path, 'circle'))
  symlinkSync('nowhere', join(path, 'dangling'))
  writeFileSync(join(path, 'file'), '')
  assert.throws(() => walkPath(join(path, 'none')), { code: 'ENOENT' })
  assert.throws(() => walkPath(join(path, 'dangling')), { code: 'ENOENT' })
  assert.throws(() => walkPath(join(path, 'circle')), { code: 'ELOOP' })
  assert.throws(() => walkPath(join(path, 'file', 'below')), { code: 'ENOTDIR' })
  assert.ok(walkPath(join(path, 'file')).end?.isFile())
})

test('a parent is that of where a link leads', () => {
  const open = folder('open', 0o777)
  mkdirSync(join(open, 'sub'), 0o755)
  symlinkSync(join(open, 'sub'), join(PLACE, 'link'))
  writeFileSync(join(open, 'file'), '')
  assert.equal(walkPath(`${PLACE}/link/../file`).distrusted?.path, open)
  assert.equal(walkPath(`${PLACE}/open/../odd`).distrusted?.path, open, 'what may be a link a moment later')
})

test('users: root and ourselves, and who is named', asRoot, () => {
  assert.deepEqual(
    [0, OTHER, 54_321].map(user => isTrustedUser(user, OTHER)),
    [true, true, false],
  )
  assert.equal(isTrustedUser(OTHER), false)
})

test('a group that has the user’s own number may write to the user’s folders', asRoot, async () => {
  const own = folder('own-group', 0o775)
  chownSync(own, OTHER, OTHER)
  const shared = folder('shared-group', 0o775)
  chownSync(shared, OTHER, 54_321)
  const printed = await outputOf(
    startAsOther(`import('${MODULE}').then(({ distrustedFolder }) => console.log(JSON.stringify(
      ${JSON.stringify([own, shared, '/tmp'])}.map(path => distrustedFolder(path)?.reason ?? null))))`),
  )
  assert.deepEqual(JSON.parse(printed), [null, `others can write to ${shared}`, null])
})

const inNamespace = ['-U', '-r', process.execPath, '-e']

test('in a user namespace the system’s folders are nobody’s, and nobody is a user', asRoot, async t => {
  const unshared = (source: string): string =>
    `const { status, stdout } = require('node:child_process').spawnSync('unshare', ${JSON.stringify([...inNamespace, source])});
     console.log(status === 0 ? String(stdout) : 'cannot be had')`
  const path = folder('namespace', 0o1777)
  const printed = await outputOf(
    startAsOther(
      unshared(
        `require('node:fs').mkdirSync('${path}/own', 0o700)
         import('${MODULE}').then(({ distrustedFolder, isTrustedUser }) => console.log(JSON.stringify([
           require('node:fs').statSync('/').uid,
           distrustedFolder('${path}/own') ?? null,
           isTrustedUser(65534), isTrustedUser(65534, 65534), isTrustedUser(0)])))`,
      ),
    ),
  )
  if (/cannot/.test(printed)) return t.skip('no user namespaces')
  assert.deepEqual(JSON.parse(printed), [65_534, null, false, false, true])
})
