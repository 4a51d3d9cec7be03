/**
 * The examples of the README and of its guide do what they say: each is run, and prints what its comments promise.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
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

let number = 0

/** Runs what stands in a page; its examples share nothing but the folder of the package. */
function runExamples(page: string): number {
  const before = number
  let heading = ''
  for (const [, title, code = ''] of readFileSync(join(root, page), 'utf8').matchAll(
    /^##? (.*)$|```js\n([\s\S]*?)```/gm,
  )) {
    if (title !== undefined) {
      heading = title
      continue
    }
    number += 1
    const own = join(folder, `example-${number}`)
    const file = join(own, 'example.mjs')
    test(`${page}, ${heading}: example ${number}`, () => {
      mkdirSync(own)
      writeFileSync(file, portable(code))
      const { stdout, stderr, status } = spawnSync(process.execPath, [file], {
        cwd: own,
        // What an example leaves for its reader to look at goes with this test.
        env: { ...process.env, TMPDIR: own },
        encoding: 'utf8',
        timeout: 60_000,
      })
      assert.equal(status, 0, stderr)
      // A promise follows its console.log; what comes after a colon or a comma explains it.
      for (const [, promise = ''] of code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)) {
        for (const part of promise.split(/: |, /).slice(0, promise.includes(': ') ? 1 : undefined)) {
          assert.ok(stdout.includes(part), `"${part}" is promised, and printed is: ${stdout}`)
        }
      }
    })
  }
  return number - before
}

const inReadme = runExamples('README.md')
const pages = readdirSync(join(root, 'guide')).map(name => `guide/${name}`)
const inGuide = pages.map(page => [page, runExamples(page)] as const)

test('every page of the guide has an example', () => {
  for (const [page, count] of inGuide) assert.ok(count > 0, page)
})
test('the README has examples', () => assert.ok(inReadme >= 7))
