import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { FullDisk } from '../../../src/cli/stress/full-disk.js'
import { withoutNamespaces } from '../../helpers/namespaces.js'
import { temporary } from '../../helpers/temporary.js'

const code = (act: () => void): string | undefined => {
  try {
    act()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test('a disk without a byte and without an inode, which only who has its path sees', {
  skip: withoutNamespaces,
}, async () => {
  const folder = temporary('disk')
  mkdirSync(folder)
  const disk = await FullDisk.mount(folder)
  assert.ok(disk !== undefined)
  assert.equal(readFileSync(disk.file, 'utf8'), '')
  assert.equal(
    code(() => writeFileSync(disk.file, 'x')),
    'ENOSPC',
  )
  assert.equal(
    code(() => writeFileSync(disk.newFile, '')),
    'ENOSPC',
  )
  assert.deepEqual(readdirSync(folder), [])
  await disk.unmount()
  assert.equal(existsSync(disk.file), false)
})

test('where it cannot be mounted there is none', async () => {
  assert.equal(await FullDisk.mount(temporary('no-such-folder')), undefined)
})
