/**
 * What several scenarios of the hand-off have in common. The explorer loads it as it loads production code.
 */
import type { Modules } from '../../src/explore/index.js'

const WAIT_STATUS = 256
const ERESTARTSYS = 512

/** A caller that awaits its call and gives it up at once, with what must hold when all is over. */
export function callerThatGivesUp({
  memory: layout,
  caller,
  umh,
  state,
  pipes,
  credentials,
  constants,
}: Modules) {
  const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
  const ended = new Int32Array(new SharedArrayBuffer(4))
  const calls = new caller.Caller(
    memory,
    undefined,
    () => {},
    () => false,
  )
  const usermode = new state.UsermodeHelperState(memory, calls.owner)
  const helpers = new umh.UsermodeHelper(
    calls,
    usermode,
    new pipes.StdinPipes(undefined, '/nowhere'),
    new credentials.CredentialDirectories(),
    () => {},
    () => false,
  )
  let cleanups = 0
  let retval: number | undefined
  let running = -1
  let over = 0
  return {
    memory,
    async thread() {
      const controller = new AbortController()
      const cleanup = () => {
        cleanups += 1
      }
      const info = helpers.setup('/bin/true', ['true'], [], constants.GFP_ATOMIC, { cleanup })
      const wait = constants.UMH_WAIT_PROC | constants.UMH_KILLABLE
      const result = helpers.exec(info, wait, { signal: controller.signal })
      over = Atomics.load(ended, 0)
      controller.abort()
      retval = await result
      await calls.idle()
      running = usermode.running
    },
    /** To be called by whoever has ended the call. */
    end() {
      Atomics.store(ended, 0, 1)
    },
    check() {
      if (over === 1 && retval !== WAIT_STATUS) throw new Error('it had ended before anybody gave up')
      if (retval !== WAIT_STATUS && retval !== -ERESTARTSYS) throw new Error(`retval ${retval}`)
      if (cleanups !== 1) throw new Error(`${cleanups} cleanups`)
      if (running !== 0) throw new Error(`${running} inside exec`)
      if (memory.slots.available !== 2) throw new Error(`${memory.slots.available} slots are free`)
    },
  }
}

/** A caller that blocks until its call has ended, with what must hold when all is over. */
export function blockedCall({ memory: layout, workqueue, completion }: Modules) {
  const { Slot, SlotState, Waiter } = layout
  const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
  const { words } = memory
  const slot = memory.slots.allocate()
  const row = memory.slot(slot)
  words[row + Slot.STATE] = SlotState.SETUP
  words[row + Slot.WAITER] = Waiter.SYNC
  let retval: number | undefined
  return {
    memory,
    slot,
    thread() {
      if (!workqueue.queueWork(memory, slot)) throw new Error('not queued')
      new completion.Completion(memory.buffer, memory.byteOffset(row + Slot.COMPLETION)).wait()
      retval = words[row + Slot.RETVAL]
      memory.slots.free(slot)
    },
    check() {
      if (retval !== WAIT_STATUS) throw new Error(`retval ${retval}`)
      if (memory.slots.available !== 2) throw new Error('a slot is lost')
      if (!memory.completedOf(words[row + Slot.OWNER]).empty) throw new Error('two would free the slot')
    },
  }
}

/** A call with strings of `length` bytes that its caller withdraws while a khelper takes it up. */
export function withdrawnCall({ memory: layout, caller, payload, workqueue }: Modules, length: number) {
  const { Slot, SlotState } = layout
  const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
  const { words, bytes } = memory
  const calls = new caller.Caller(
    memory,
    undefined,
    () => {},
    () => false,
  )
  const written = `x\0${'y'.repeat(length - 3)}\0`
  const slot = calls.trySetup({ path: 'x', argv: [written.slice(2, -1)], envp: [], flags: 0 })
  const row = memory.slot(slot)
  const page = words[row + Slot.PAGE]
  const start = page > 0 ? memory.page(page - 1) : memory.inlinePayload(slot)
  workqueue.queueWork(memory, slot)
  let withdrawn = false
  let read: string | undefined
  return {
    threads: [
      () => {
        withdrawn = calls.cancel(slot)
      },
      () => {
        const state = memory.slot(memory.queue.pop()) + Slot.STATE
        const before = Atomics.compareExchange(words, state, SlotState.QUEUED, SlotState.EXECUTING)
        if (before !== SlotState.QUEUED) return
        const into = Buffer.alloc(length)
        if (page > 0) payload.readPages(memory, words[row + Slot.PAGE], length, into)
        else bytes.copy(into, 0, start, start + length)
        read = into.toString('latin1')
      },
    ],
    check() {
      if (withdrawn === (read !== undefined)) throw new Error(`withdrawn ${withdrawn}, read ${read}`)
      if (!withdrawn && read !== written) throw new Error('what was read is not what was written')
      if (!withdrawn) return
      for (let at = start; at < start + length; at += 1)
        if (bytes[at] !== 0) throw new Error('it is still there')
      if (memory.pages.available !== 1) throw new Error('a page is lost')
    },
  }
}

/** A khelper waits for a call and takes it up. @returns its slot */
export function takeUp({ memory: layout }: Modules, memory: Modules[string]): number {
  const { Slot, SlotState } = layout
  let taken = memory.queue.pop()
  while (taken === undefined) {
    memory.idleKhelpers.sleep(0, () => memory.queue.size > 0)
    taken = memory.queue.pop()
  }
  const state = memory.slot(taken) + Slot.STATE
  const before = Atomics.compareExchange(memory.words, state, SlotState.QUEUED, SlotState.EXECUTING)
  if (before !== SlotState.QUEUED) throw new Error('taken up by another')
  return taken
}

/** The wait_for_helper thread waits for a program that was started. @returns its slot */
export function awaitLaunch(memory: Modules[string], reaper: Modules[string]): number {
  let ended = memory.launches.pop()
  while (ended === undefined) {
    reaper.sleep(() => memory.launches.size > 0)
    ended = memory.launches.pop()
  }
  return ended
}

/** The doorbell of the wait_for_helper thread. */
export function reaperOf({ memory: layout, doorbell }: Modules, memory: Modules[string]): Modules[string] {
  const offset = memory.byteOffset(memory.control(layout.Control.REAPER_DOORBELL))
  return new doorbell.Doorbell(memory.buffer, offset)
}
