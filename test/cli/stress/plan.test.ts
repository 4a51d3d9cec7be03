import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Kind, plan, type Step, selected } from '../../../src/cli/stress/plan.js'

const kinds = fc.uniqueArray(
  fc.record({ name: fc.stringMatching(/^[a-z]{1,6}$/), weight: fc.integer({ min: 1, max: 4 }) }),
  {
    selector: ({ name }) => name,
    minLength: 1,
    maxLength: 6,
  },
)
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 })

function first(count: number, seed: number, operations: readonly Kind[], faults: readonly Kind[]): Step[] {
  const steps: Step[] = []
  for (const step of plan(seed, operations, faults)) {
    if (steps.length === count) break
    steps.push(step)
  }
  return steps
}

test('the same seed gives the same plan, however much of it is taken', () => {
  fc.assert(
    fc.property(seeds, kinds, kinds, fc.nat(300), (seed, operations, faults, count) => {
      const once = first(count, seed, operations, faults)
      assert.deepEqual(first(count, seed, operations, faults), once)
      assert.deepEqual(first(count + 50, seed, operations, faults).slice(0, count), once)
    }),
  )
})

test('every kind comes as often as it weighs, in each pack', () => {
  fc.assert(
    fc.property(seeds, kinds, (seed, operations) => {
      const pack = operations.reduce((sum, { weight }) => sum + weight, 0)
      const steps = first(3 * pack, seed, operations, [])
      for (const { name, weight } of operations) {
        assert.equal(steps.filter(step => step.name === name).length, 3 * weight)
      }
    }),
  )
})

test('faults come between operations, at most 80 apart; there may be none of either', () => {
  const one = [{ name: 'one', weight: 1 }]
  const steps = first(1_000, 7, one, [{ name: 'fault', weight: 1 }])
  const at = steps.filter(({ what }) => what === 'fault').map(({ number }) => number)
  assert.ok(at.length > 10)
  for (const [index, number] of at.entries()) assert.ok(number - (at[index - 1] ?? 0) <= 81)
  assert.deepEqual(new Set(first(100, 7, [], one).map(({ what }) => what)), new Set(['fault']))
  assert.deepEqual(new Set(first(100, 7, one, []).map(({ what }) => what)), new Set(['operation']))
})

test('other seeds give other plans', () => {
  const several = ['a', 'b', 'c', 'd'].map(name => ({ name, weight: 2 }))
  const plans = Array.from({ length: 50 }, (_, seed) => JSON.stringify(first(40, seed, several, several)))
  assert.equal(new Set(plans).size, 50)
})

test('--only and --skip take a kind by its name, or all whose names begin so', () => {
  const all = ['run/a', 'run/b', 'runs/c', 'clock'].map(name => ({ name, weight: 1 }))
  const names = (only: string[] | undefined, skip: string[]) =>
    selected(all, only, skip).map(({ name }) => name)
  assert.deepEqual(names(['run'], []), ['run/a', 'run/b'])
  assert.deepEqual(names(undefined, ['run/a', 'clock']), ['run/b', 'runs/c'])
  assert.deepEqual(names(['run', 'clock'], ['run/b']), ['run/a', 'clock'])
})
