import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { boot, UMH_WAIT_PROC } from '../../src/index.js'

const folder = mkdtempSync(join(tmpdir(), 'khelper-caller-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const module = join(folder, 'noop.mjs')
writeFileSync(module, 'export default () => 0')
const NOOP = pathToFileURL(module).href

const CALLS = 5_000
const CALLS_PER_TURN = 1_024

test('thousands of calls that have ended are dealt with in turns of the event loop, not all in one', async () => {
  await using kernel = boot({ khelpers: 1 })
  await kernel.ready
  let perTurn = 0
  let most = 0
  let turns = 0
  let over = false
  const turn = (): void => {
    most = Math.max(most, perTurn)
    if (perTurn > 0) turns += 1
    perTurn = 0
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  const calls = Array.from({ length: CALLS }, () =>
    kernel.callUsermodehelper(NOOP, ['noop'], [], UMH_WAIT_PROC).then(() => {
      perTurn += 1
    }),
  )
  // This thread does not look until all of them have ended: khelper_wq is empty and nobody runs.
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  while (kernel.stats().queued > 0) Atomics.wait(nothing, 0, 0, 1)
  Atomics.wait(nothing, 0, 0, 5)
  await Promise.all(calls)
  over = true
  await new Promise(setImmediate)
  assert.ok(most <= CALLS_PER_TURN, `${most} in one turn`)
  assert.ok(turns >= Math.floor(CALLS / CALLS_PER_TURN), `${turns} turns`)
})
