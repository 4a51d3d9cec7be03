import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareReports } from '../../bench/compare.js'
import type { Report } from '../../bench/report/report.js'
import { checkTargets, targetsTable } from '../../bench/targets.js'
import { type Comparison, type Figure, PERCENTILES } from '../../src/cli/bench/figures.js'
import { machine } from '../../src/cli/bench/machine.js'
import { summary } from '../../src/cli/bench/measure.js'

const rates = (id: string, medians: Readonly<Record<string, number>>): Comparison => ({
  kind: 'comparison',
  suite: 'any',
  id,
  title: id,
  unit: '/s',
  better: 'more',
  rows: Object.entries(medians).map(([name, median]) => summary(name, [median])),
})

const report = (figures: readonly Figure[]): Report => ({
  machine: machine(),
  date: '2026-01-01T00:00:00.000Z',
  figures,
  leftOut: [],
  targets: checkTargets(figures),
})

test('the best peer counts, and the limit is no peer', () => {
  const [target] = checkTargets([
    rates('dispatch/1/64', { khelper: 1_000, slow: 10, fast: 125, 'C shared-memory ring': 9_000 }),
  ])
  assert.equal(target?.reached, '8.00 ×')
  assert.equal(target?.met, false)
  assert.ok(Math.abs((target?.missedBy ?? 0) - 20) < 1e-9)
  assert.match(targetsTable([target].filter(entry => entry !== undefined)), /missed by 20 %/)
})

test('what a run did not measure is not judged', () => {
  assert.deepEqual(checkTargets([]), [])
  assert.deepEqual(checkTargets([rates('launch/50/8/exit', { khelper: 100 })]), [])
})

test('delays are looked up by their percentile', () => {
  const [target] = checkTargets([
    {
      kind: 'distribution',
      suite: 'event-loop',
      id: 'event-loop/4096/delay',
      title: 'delay',
      unit: 'ms',
      lines: [{ name: 'khelper', values: PERCENTILES.map(percentile => (percentile === 99 ? 4 : 99)) }],
    },
  ])
  assert.equal(target?.met, true)
})

test('runs whose ratios are more than 20 % apart are named', () => {
  const first = report([rates('a', { khelper: 100, peer: 10 }), rates('b', { khelper: 100, peer: 10 })])
  const second = report([rates('a', { khelper: 119, peer: 10 }), rates('b', { khelper: 121, peer: 10 })])
  assert.equal(compareReports([first, first]).agree, true)
  const { agree, text } = compareReports([first, second])
  assert.equal(agree, false)
  assert.match(text, /1 of 2 ratios/)
  assert.match(text, /b: khelper over peer: 10\.0 ×, 12\.1 ×/)
})
