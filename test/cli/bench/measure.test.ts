import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Comparison, ratio } from '../../../src/cli/bench/figures.js'
import { contender } from '../../../src/cli/bench/in-flight.js'
import { latencies, summary, takeTurns } from '../../../src/cli/bench/measure.js'
import { readable } from '../../../src/cli/bench/table.js'

test('contenders take turns, each round beginning with another', async () => {
  const order: string[] = []
  const enter = (name: string, ms: number) => ({
    name,
    run: async (count: number) => {
      order.push(name)
      assert.equal(count, 10)
      return ms
    },
  })
  const rows = await takeTurns([enter('a', 10), enter('b', 20)], {
    rounds: 3,
    batch: 0,
    warmUp: 0,
    count: 10,
  })
  assert.equal(order.join(''), 'abbaab')
  // What a contender says of its time is taken for its time.
  assert.deepEqual(
    rows.map(({ name, median }) => [name, median]),
    [
      ['a', 1000],
      ['b', 500],
    ],
  )
})

test('a batch grows until it takes long enough, in steps of what is in flight', async () => {
  const counts: number[] = []
  const entry = { name: 'a', least: 8, run: async (count: number) => counts.push(count) && count / 100 }
  await takeTurns([entry], { rounds: 1, batch: 50, warmUp: 0 })
  assert.ok(counts.every(count => count % 8 === 0))
  const last = counts.at(-1) ?? 0
  assert.ok(last / 100 >= 25 && last / 100 <= 100, `${last}`)
})

test('a contender that fails ends the measurement with its error', async () => {
  const broken = contender('broken', 1, () => Promise.reject(new Error('out of order')))
  await assert.rejects(takeTurns([broken], { rounds: 1, batch: 1, warmUp: 0, count: 1 }), /out of order/)
})

test('exactly the wanted number of operations runs, never more than the limit at once, each with its own text', () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 9 }),
      async (count, limit) => {
        let running = 0
        let most = 0
        const texts = new Set<string>()
        await contender('a', limit, async text => {
          texts.add(text)
          running += 1
          most = Math.max(most, running)
          await new Promise(setImmediate)
          running -= 1
        }).run(count)
        assert.equal(texts.size, count)
        assert.equal(most, Math.min(count, limit))
      },
    ),
  ))

test('the median lies between the quartiles', () =>
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1 }), samples => {
      const { low, median, high } = summary('a', samples)
      assert.ok(low <= median && median <= high)
    }),
  ))

test('latencies rise with their percentiles', async () => {
  const [line] = await latencies([contender('a', 1, () => new Promise(setImmediate))], 20)
  const values = line?.values ?? []
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a - b),
  )
})

test('a ratio says how many times as good khelper is, whichever way is better', () => {
  const figure = (better: 'more' | 'less'): Comparison => ({
    kind: 'comparison',
    suite: 'a',
    id: 'a',
    title: 'a',
    unit: '',
    better,
    rows: [summary('khelper', [30]), summary('other', [10])],
  })
  const ratios = (comparison: Comparison) => comparison.rows.map(row => ratio(comparison, row))
  assert.deepEqual(ratios(figure('more')), [undefined, 3])
  assert.deepEqual(ratios(figure('less')), [undefined, 1 / 3])
})

test('numbers are shown with three digits that count', () => {
  assert.deepEqual([1_234_567, 999, 12.345, 0.012345, 0].map(readable), [
    '1,234,567',
    '999',
    '12.3',
    '0.0123',
    '0',
  ])
})
