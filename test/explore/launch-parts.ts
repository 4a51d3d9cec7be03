/**
 * What the scenarios of a launch have in common. The explorer loads it as it loads production code.
 */
import type { Modules } from '../../src/explore/index.js'

const PID = 4_242
export const PIPE = 7
export const NEXT_PIPE = 8
export const SIGTERM = 15
export const SIGKILL = 9
export const EPERM = 1
export const WAIT_STATUS = 256

/**
 * A call that a khelper has taken up, and its process, which has just been made.
 * @param stepping whether an exec step is under way, and whether its call is to be told of the exec
 */
export function launched(
  { memory: layout, complete, table }: Modules,
  stepping: 'no' | 'told' | 'untold',
  wait: number,
) {
  const { Slot, SlotState, Process, Waiter } = layout
  const memory = layout.Memory.create({ descriptors: 2, pages: 1, khelpers: 1 })
  const { words } = memory
  const slot = memory.slots.allocate()
  const row = memory.slot(slot)
  words[row + Slot.STATE] = SlotState.EXECUTING
  words[row + Slot.WAIT] = wait
  words[row + Slot.WAITER] = Waiter.SYNC
  const process = table.allocateProcess(memory)
  words[memory.process(process) + Process.PID] = PID
  if (stepping !== 'no') words[memory.process(process) + Process.STEP_SOCKET] = PIPE
  if (stepping === 'told') words[row + layout.Slot.FLAGS] = layout.SlotFlag.TELL_EXEC
  const sent: number[] = []
  /** Pipes that were watched. */
  const pipes: number[] = []
  /** Raised when the step is watched, when the exit is, and when the wait_for_helper thread is woken. */
  const watched = new Int32Array(new SharedArrayBuffer(12))
  const libc = {
    close() {},
    write() {
      wake(watched)
    },
    kill(_pid: number, signal: number) {
      sent.push(signal)
      return 0
    },
    epollAdd(_epoll: number, fd: number) {
      pipes.push(fd)
      Atomics.store(watched, 0, 1)
      Atomics.notify(watched, 0)
      return 0
    },
  }
  return {
    memory,
    slot,
    row,
    process,
    sent,
    pipes,
    libc,
    completer: new complete.Completer(memory),
    watched,
    /** What is done when the khelper has let go of the call; its own row is the call's until then. */
    current: new Int32Array(new SharedArrayBuffer(4)).fill(1),
  }
}

type Launched = ReturnType<typeof launched>

export function handOver({ launch }: Modules, call: Launched, done: () => void = () => {}) {
  const { memory, libc, completer, slot, process, current, watched } = call
  launch.handOver(
    memory,
    libc,
    completer,
    slot,
    process,
    () => -1,
    () => {
      Atomics.store(current, 0, 0)
      done()
    },
    () => {
      Atomics.store(watched, 1, 1)
      Atomics.notify(watched, 1)
      return true
    },
  )
}

/** What an eventfd does. */
function wake(watched: Int32Array): void {
  Atomics.add(watched, 2, 1)
  Atomics.notify(watched, 2)
}

/** The caller asks for the exec, as `awaitExec` does, and waits for it without a bound. */
export function askForExec({ memory: layout }: Modules, { memory, row, watched }: Launched): void {
  const { Slot, ExecState } = layout
  const { words } = memory
  const exec = row + Slot.EXEC
  Atomics.compareExchange(words, exec, ExecState.PENDING, ExecState.AWAITED)
  if (Number(Atomics.load(words, row + Slot.PID)) !== 0) wake(watched)
  while (Atomics.load(words, exec) === ExecState.AWAITED) Atomics.wait(words, exec, ExecState.AWAITED)
}

/** The wait_for_helper thread, each time it is woken, looks at what is handed over, until the step is over. */
export function lookWhenWoken({ memory: layout, launch }: Modules, call: Launched): void {
  const { memory, completer, process, watched } = call
  const handedOver = memory.process(process) + layout.Process.HANDED_OVER
  for (let seen = 0; ; ) {
    while (Atomics.load(watched, 2) === seen) Atomics.wait(watched, 2, seen)
    seen = Atomics.load(watched, 2)
    if (Number(Atomics.load(memory.words, handedOver)) === 0) continue
    if (!launch.isStepAsked(memory, process)) continue
    launch.stepSucceeded(memory, completer, process)
    return
  }
}

/**
 * The wait_for_helper thread sees the process's exit, by its pidfd or by a look at all that are handed over, and the next
 * launch gets the row.
 */
export function reapAndReuse({ memory: layout, launch, table }: Modules, call: Launched): void {
  const { memory, completer, process, watched } = call
  const { Process } = layout
  const row = memory.process(process)
  if (Number(Atomics.load(memory.words, row + Process.HANDED_OVER)) === 0) {
    while (Atomics.load(watched, 1) === 0) Atomics.wait(watched, 1, 0)
  }
  memory.words[row + Process.STEP_SOCKET] = 0
  launch.stepSucceeded(memory, completer, process)
  table.claimForReaping(memory, process)
  table.freeProcess(memory, process)
  const next = table.allocateProcess(memory)
  memory.words[memory.process(next) + Process.STEP_SOCKET] = NEXT_PIPE
}

/** The wait_for_helper thread: waits for the step's pipe. */
export const awaitStep = ({ watched }: Launched) => {
  while (Atomics.load(watched, 0) === 0) Atomics.wait(watched, 0, 0)
}

/** The caller: blocks until its call has ended, and frees the slot. @returns what the call gave */
export function awaitEnd(
  { memory: layout, completion }: Modules,
  { memory, slot, row, current }: Launched,
): number {
  new completion.Completion(memory.buffer, memory.byteOffset(row + layout.Slot.COMPLETION)).wait()
  const retval = memory.words[row + layout.Slot.RETVAL]
  if (Atomics.load(current, 0) !== 0) throw new Error('its khelper is still at it')
  memory.slots.free(slot)
  return retval
}

/** The caller signals its helper, whatever has become of it. @returns whether somebody sends it, or has */
export function signal(
  { pending, table, memory: layout }: Modules,
  { memory, slot, row, sent }: Launched,
): boolean {
  const { Slot } = layout
  const own = pending.leaveSignal(memory, slot, { signal: SIGTERM, tree: false })
  if (own === undefined) return true
  const process = memory.words[row + Slot.PROCESS] - 1
  const generation = memory.words[row + Slot.PROCESS_GENERATION]
  return table.signalProcess(memory, process, generation, own.signal, () => {
    sent.push(own.signal)
    return true
  })
}
