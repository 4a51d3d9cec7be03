import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallTimes } from '../../src/exec/call-times.js'

test('what was never measured is not expected to be short', () => {
  assert.equal(new CallTimes().expected, Number.POSITIVE_INFINITY)
})

test('one slow call counts at once; quick ones make up for it little by little', () => {
  const times = new CallTimes()
  times.took(0.001)
  assert.equal(times.expected, 0.001)
  times.took(10)
  assert.equal(times.expected, 10)
  times.took(0.001)
  assert.ok(times.expected > 5)
  for (let call = 0; call < 100; call += 1) times.took(0.001)
  assert.equal(times.expected, 0.001)
})

test('a call that awaited something is not short, and the next that did not may be', () => {
  const times = new CallTimes()
  times.took(Number.POSITIVE_INFINITY)
  assert.equal(times.expected, Number.POSITIVE_INFINITY)
  times.took(0.001)
  assert.equal(times.expected, 0.001)
})

test('the clock is read for the first calls and then for one in a few', () => {
  const times = new CallTimes()
  const due = Array.from({ length: 1000 }, () => times.due())
  assert.ok(due.slice(0, 10).every(Boolean))
  const later = due.slice(500).filter(Boolean).length
  assert.ok(later > 0 && later < 100, `${later} of 500`)
})
