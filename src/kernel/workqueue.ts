/**
 * khelper_wq: the queue of calls, and what Linux promises of a workqueue.
 *
 * A work item is a descriptor slot. Its PENDING bit is the state QUEUED, which the khelper clears before
 * it executes the item. There is room for every slot at once, so queueing never fails.
 */
import { Control, type Memory, Slot, SlotFlag, type SlotIndex, SlotState } from './memory.js'
import { announce, until } from './wait-until.js'

/**
 * Queues a set-up call, and wakes a khelper if one sleeps and none is looking for work. Everything written before it is seen by
 * whoever executes the call.
 * @returns false if it is pending already: it is then run once, at its place in the queue
 */
export function queueWork(memory: Memory, slot: SlotIndex): boolean {
  const state = memory.slot(slot) + Slot.STATE
  if (Atomics.compareExchange(memory.words, state, SlotState.SETUP, SlotState.QUEUED) !== SlotState.SETUP) {
    return false
  }
  if (!memory.queue.push(slot)) throw new Error('khelper_wq has room for every descriptor, and is full')
  memory.idleKhelpers.wakeUpUnlessLooking()
  return true
}

export function isInThread(memory: Memory, slot: SlotIndex): boolean {
  return ((memory.words[memory.slot(slot) + Slot.FLAGS] ?? 0) & SlotFlag.IN_THREAD) !== 0
}

/**
 * The next call that a khelper may execute. The one for programs leaves in-thread calls to the others, which take them
 * first: they are older than what is still on the queue.
 */
export function takeWork(memory: Memory, forPrograms: boolean): SlotIndex | undefined {
  const { queue, deferred, idleKhelpers } = memory
  if (!forPrograms) return (deferred.pop() ?? queue.pop()) as SlotIndex | undefined
  for (;;) {
    const slot = queue.pop() as SlotIndex | undefined
    if (slot === undefined || !isInThread(memory, slot)) return slot
    // Room for every slot at once, so this cannot fail. Whoever sleeps may have been spared for this thread's sake.
    deferred.push(slot)
    idleKhelpers.wakeUp()
  }
}

/** Whether there is something for a khelper to take: what it looks at once more before it sleeps. */
export function hasWork({ queue, deferred }: Memory, forPrograms: boolean): boolean {
  return queue.size > 0 || (!forPrograms && deferred.size > 0)
}

/**
 * Wakes a khelper if calls are waiting, whatever the others do. Called now and then by everyone who has calls in
 * flight: a khelper that took its call for a short one, and was wrong, has let nobody else be woken.
 */
export function wakeStanding(memory: Memory): void {
  if (memory.queue.size > 0) memory.idleKhelpers.wakeUp()
}

/**
 * Withdraws a call that no khelper has taken up yet. It still ends, with -ECANCELED, once a khelper finds it.
 * @returns whether it was pending
 */
export function cancelWork(memory: Memory, slot: SlotIndex): boolean {
  const state = memory.slot(slot) + Slot.STATE
  return (
    Atomics.compareExchange(memory.words, state, SlotState.QUEUED, SlotState.CANCELLED) === SlotState.QUEUED
  )
}

/** Resolves when every call that is queued now has been executed; what is queued later is not waited for. */
export async function flushWorkqueue(memory: Memory): Promise<void> {
  const { words } = memory
  let pending: (readonly [slot: SlotIndex, generation: number])[] = []
  for (let index = 0; index < memory.size.descriptors; index += 1) {
    const slot = index as SlotIndex
    if (isPending(memory, slot)) pending.push([slot, words[memory.slot(slot) + Slot.GENERATION] ?? 0])
  }
  const executed = () => {
    pending = pending.filter(
      ([slot, generation]) =>
        isPending(memory, slot) && words[memory.slot(slot) + Slot.GENERATION] === generation,
    )
    return pending.length === 0
  }
  Atomics.add(words, memory.control(Control.FLUSHERS), 1)
  try {
    await until(words, memory.control(Control.FLUSHED), executed, Number.POSITIVE_INFINITY)
  } finally {
    Atomics.sub(words, memory.control(Control.FLUSHERS), 1)
  }
}

/** To be called when a call is not pending any more, by whoever made it so; for whom flushes wait. */
export function tellFlushers(memory: Memory): void {
  const { words } = memory
  if (Atomics.load(words, memory.control(Control.FLUSHERS)) > 0)
    announce(words, memory.control(Control.FLUSHED))
}

function isPending(memory: Memory, slot: SlotIndex): boolean {
  const state = Atomics.load(memory.words, memory.slot(slot) + Slot.STATE)
  return state === SlotState.QUEUED || state === SlotState.EXECUTING || state === SlotState.CANCELLED
}
