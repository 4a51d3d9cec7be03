/**
 * khelper_wq by itself: no khelper takes anything from it here.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boot, UMH_WAIT_PROC } from '../../src/index.js'
import { writeCall } from '../../src/kernel/call-spec.js'
import { InternedStrings } from '../../src/kernel/interned-strings.js'
import { Memory, type OwnerIndex, Slot, type SlotIndex, SlotState } from '../../src/kernel/memory.js'
import { cancelWork, flushWorkqueue, queueWork } from '../../src/kernel/workqueue.js'
import { inThreadHelper } from '../helpers/temporary.js'

const OWNER = 0 as OwnerIndex

function make() {
  const memory = Memory.create({ descriptors: 4, pages: 4, khelpers: 1 })
  const interned = new InternedStrings(memory, OWNER)
  const setUp = (): SlotIndex => {
    const slot = memory.slots.allocate() as SlotIndex
    assert.ok(writeCall(memory, interned, OWNER, slot, { path: '/x', argv: ['x'], envp: [], flags: 0 }))
    return slot
  }
  const state = (slot: SlotIndex) => memory.words[memory.slot(slot) + Slot.STATE]
  const execute = () => {
    const slot = memory.queue.pop() as SlotIndex
    memory.words[memory.slot(slot) + Slot.STATE] = SlotState.EXECUTING
    return slot
  }
  return { memory, setUp, state, execute }
}

test('queueing a pending item: false, and it runs once, at its place', () => {
  const { memory, setUp } = make()
  const [first, second] = [setUp(), setUp()]
  assert.deepEqual(
    [queueWork(memory, first), queueWork(memory, second), queueWork(memory, first)],
    [true, true, false],
  )
  assert.deepEqual([memory.queue.pop(), memory.queue.pop(), memory.queue.pop()], [first, second, undefined])
})

test('items come out in the order they were queued', () => {
  const { memory, setUp } = make()
  const slots = [setUp(), setUp(), setUp()].reverse()
  for (const slot of slots) queueWork(memory, slot)
  assert.deepEqual(
    slots.map(() => memory.queue.pop()),
    slots,
  )
})

test('cancelling: true for a pending item, false for one that is executed or was never queued', () => {
  const { memory, setUp, state, execute } = make()
  const [pending, executing, idle] = [setUp(), setUp(), setUp()]
  queueWork(memory, executing)
  queueWork(memory, pending)
  execute()
  assert.deepEqual(
    [pending, executing, idle].map(slot => cancelWork(memory, slot)),
    [true, false, false],
  )
  assert.equal(state(pending), SlotState.CANCELLED)
})

test('flush with items continuously added returns after those that were there at entry', async () => {
  await using kernel = boot({ khelpers: 1 })
  let ended = 0
  const url = inThreadHelper('export default () => new Promise(resolve => setTimeout(resolve, 5, 0))')
  const add = () =>
    kernel.callUsermodehelper(url, ['x'], [], UMH_WAIT_PROC).then(() => {
      ended += 1
    })
  const calls = [add(), add(), add()]
  let stop = false
  const adding = (async () => {
    while (!stop) {
      calls.push(add())
      await new Promise(resolve => setTimeout(resolve, 2))
    }
  })()
  await kernel.flush()
  assert.ok(ended >= 3 || kernel.stats().queued > 0)
  stop = true
  await adding
  await Promise.all(calls)
  await kernel.flush()
  assert.equal(kernel.stats().queued, 0)
})

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  test(`flush of a call that a khelper has taken up and that is not started yet, launcher ${launcher}`, async () => {
    await using kernel = boot({ khelpers: 1, launcher })
    for (const program of ['/bin/true', '/no/such/program']) {
      for (let round = 0; round < 10; round += 1) {
        const call = kernel.callUsermodehelper(program, ['x'], [], UMH_WAIT_PROC)
        while (kernel.stats().queued > 0);
        await kernel.flush()
        await call
      }
    }
  })
}

test('flush of an empty queue returns at once', async () => {
  const { memory } = make()
  await flushWorkqueue(memory)
})

test('words of the layout do not overlap', () => {
  const sizes: Record<string, number> = {
    COMPLETION: 2,
    STDIO: 3,
    STDIO_FD: 3,
    CAPTURED: 2,
    TRUNCATED: 2,
    MAX_OUTPUT: 2,
    RUSAGE: 2 * Slot.RUSAGE_FIELDS,
  }
  const used = new Map<number, string>()
  for (const [name, word] of Object.entries(Slot)) {
    if (['WORDS', 'REST', 'RUSAGE_FIELDS'].includes(name)) continue
    for (let at = word; at < word + (sizes[name] ?? 1); at += 1) {
      assert.equal(used.get(at), undefined, `${name} stands on ${used.get(at)}`)
      assert.ok(at < Slot.WORDS)
      used.set(at, name)
    }
  }
})
