import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Figure } from '../../../src/cli/bench/figures.js'
import { khelper } from '../../helpers/command.js'

test('khelper bench --quick --json: launch, dispatch and event loop, beside child_process', () => {
  const { stdout, stderr, status } = khelper(['bench', '--quick', '--json'])
  assert.equal(status, 0, stderr)
  const { figures, machine } = JSON.parse(stdout) as {
    readonly figures: readonly Figure[]
    readonly machine: { readonly node: string }
  }
  assert.equal(machine.node, process.versions.node)
  assert.deepEqual(new Set(figures.map(({ suite }) => suite)), new Set(['launch', 'event-loop', 'dispatch']))
  for (const figure of figures) {
    if (figure.kind !== 'comparison') continue
    for (const { name, low, median, high } of figure.rows) {
      assert.ok(0 < low && low <= median && median <= high, `${figure.id}: ${name}`)
    }
    if (figure.suite === 'launch') {
      assert.deepEqual(
        figure.rows.map(({ name }) => name),
        ['khelper', 'child_process'],
      )
    }
  }
})

test('khelper bench: tables for people, with the launcher and why', () => {
  const { stdout, status } = khelper(['bench', '--quick', '--rss', '100'])
  assert.equal(status, 0)
  assert.match(stdout, /launcher: (posix_spawn|child_process) \(/)
  assert.match(stdout, /\/bin\/true, 8 in flight\n +khelper +[\d,.]+ \/s/)
  assert.match(stdout, /child_process +[\d,.]+ \/s.*×/)
})

for (const [situation, rss, message] of [
  ['no number', 'much', /--rss.*whole number of megabytes/],
  ['nothing', '0', /--rss.*whole number of megabytes/],
  ['more than the machine has', '999999999', /only \d+ MB of memory are free/],
] as const) {
  test(`khelper bench --rss with ${situation} is refused in one line`, () => {
    const { stderr, status } = khelper(['bench', '--rss', rss])
    assert.equal(status, 1)
    assert.match(stderr, message)
    assert.equal(stderr.trim().split('\n').length, 1)
  })
}
