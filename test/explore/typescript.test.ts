/**
 * Modules in TypeScript are explored as they are, with what a project has to compile them.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ExploreError, explore, UnsupportedCode } from '../../src/explore/index.js'
import { temporary } from '../helpers/temporary.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const STRIPS_TYPES = 'stripTypeScriptTypes' in nodeModule

/** Its lines 4 and 5 are a load and a store; what a compiler leaves out stands before them. */
const COUNTER = `interface Lost { readonly by: number }
export type Words = Int32Array & Partial<Lost>
export function increment(words: Words): void {
  const value: number = Atomics.load(words, 0)
  Atomics.store(words, 0, value + 1)
}
`
/** Names the other as the compiler's output has it, as bundlers do, and by its file. */
const SCENARIO = `import { increment, type Words } from './counter.js'
import { increment as again } from './counter'
import './counter.ts'
export default () => {
  const words: Words = new Int32Array(new SharedArrayBuffer(4))
  return {
    threads: [() => increment(words), () => again(words)],
    check(): void { if (words[0] !== 2) throw new Error('lost') },
  }
}
`

let projects = 0

/** A folder with two modules, and with these packages. */
function project(...packages: readonly string[]): string {
  projects += 1
  const folder = temporary(`project-${projects}`)
  for (const name of packages) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(name === 'khelper' ? ROOT : join(ROOT, 'node_modules', name), link)
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'counter.ts'), COUNTER)
  writeFileSync(join(folder, 'scenario.ts'), SCENARIO)
  return folder
}

const exploreIn = (folder: string) => explore(pathToFileURL(join(folder, 'scenario.ts')))

for (const [situation, packages, skip] of [
  ['esbuild, as tsx brings it', ['esbuild'], false],
  ['vite, as vitest brings it', ['vite'], false],
  ['nothing but Node', [], !STRIPS_TYPES && 'this Node does not read it'],
] as const) {
  test(`a project that has ${situation}: what is found has the lines of the source`, { skip }, async () => {
    const error = await exploreIn(project(...packages)).catch((reason: unknown) => reason)
    assert.ok(error instanceof ExploreError, String(error))
    assert.equal(error.kind, 'assertion')
    assert.match(error.table, /load \[0\] → 0 +counter\.ts:4/)
    assert.match(error.table, /store \[0\], 1 +counter\.ts:5/)
  })
}

test('where nothing reads it, the error says what to do', {
  skip: STRIPS_TYPES && 'this Node does',
}, async () => {
  const folder = project()
  await assert.rejects(exploreIn(folder), error => {
    assert.ok(error instanceof UnsupportedCode)
    assert.equal(error.code, 'ERR_KHELPER_UNSUPPORTED')
    assert.match(error.message, /scenario\.ts is TypeScript, .*install esbuild/)
    return true
  })
})

describe('in vitest', () => {
  test('a test with a scenario in TypeScript and a module beside it', () => {
    const folder = project('vitest', 'khelper')
    const file = join(folder, 'counter.test.ts')
    writeFileSync(
      file,
      `import { expect, test } from 'vitest'
       import { explore } from 'khelper/explore'
       import type { Words } from './counter'
       const modules = { counter: new URL('./counter.ts', import.meta.url) }
       test('fails', async () => {
         await explore(({ counter }) => {
           const words: Words = new Int32Array(new SharedArrayBuffer(4))
           return {
             threads: [() => counter.increment(words), () => counter.increment(words)],
             check() { if (words[0] !== 2) throw new Error('lost') },
           }
         }, { modules })
       })
       test('passes', async () => {
         const report = await explore(({ counter }) => {
           const words: Words = new Int32Array(new SharedArrayBuffer(8))
           return { threads: [() => counter.increment(words), () => counter.increment(words.subarray(1))] }
         }, { modules })
         expect(report.complete).toBe(true)
       })`,
    )
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=verbose', '--no-color'],
      { cwd: folder, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } },
    )
    const printed = stdout + stderr
    assert.equal(status, 1, printed)
    assert.match(printed, /1 failed \| 1 passed/)
    assert.match(printed, /store \[0\], 1 +counter\.ts:5/)
    assert.match(printed, /replay: 'a1b2a1'/)
  })
})
