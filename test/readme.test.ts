/**
 * The README's examples do what they say: each is run, and prints what its comments promise.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'khelper-readme-'))
mkdirSync(join(folder, 'node_modules'))
symlinkSync(root, join(folder, 'node_modules', 'khelper'), 'junction')
after(() => rmSync(folder, { recursive: true, force: true }))

/** `await using` is there from Node 24 on; before, the kernel is shut down at the end. */
const portable = (code: string): string =>
  /await using (\w+)/.test(code) ? `${code.replace('await using', 'const')}\nawait kernel.shutdown()\n` : code

const examples = [
  ...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^## (.*)$|```js\n([\s\S]*?)```/gm),
]
let heading = ''
let number = 0
for (const [, title, code] of examples) {
  if (title !== undefined) {
    heading = title
    continue
  }
  number += 1
  const file = join(folder, `example-${number}.mjs`)
  test(`README, ${heading}: example ${number}`, () => {
    writeFileSync(file, portable(code ?? ''))
    const { stdout, stderr, status } = spawnSync(process.execPath, [file], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(status, 0, stderr)
    // A promise follows its console.log; what comes after a colon or a comma explains it.
    for (const [, promise = ''] of (code ?? '').matchAll(/console\.log\(.*\/\/ (.*)$/gm)) {
      for (const part of promise.split(/: |, /).slice(0, promise.includes(': ') ? 1 : undefined)) {
        assert.ok(stdout.includes(part), `"${part}" is promised, and printed is: ${stdout}`)
      }
    }
  })
}

test('the README has examples', () => assert.ok(number >= 7))
