import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EventRing } from '../../../src/applications/uevent/event-ring.js'

test('as a list from which the oldest is taken away when there is one more than may be', () => {
  const operations = fc.array(fc.constantFrom('put', 'put', 'take', 'clear'), { maxLength: 60 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), operations, (capacity, given) => {
      const ring = new EventRing<number>(capacity)
      const model: number[] = []
      for (const [event, operation] of given.entries()) {
        if (operation === 'put') {
          const full = model.length === capacity
          if (full) model.shift()
          model.push(event)
          assert.equal(ring.put(event), full)
        } else if (operation === 'take') assert.equal(ring.take(), model.shift())
        else {
          ring.clear()
          model.length = 0
        }
      }
      for (const event of [...model, undefined]) assert.equal(ring.take(), event)
    }),
  )
})
