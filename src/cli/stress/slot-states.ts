/**
 * Where calls stand that have not ended, as the shared memory says: for the report of a hang.
 */
import {
  Control,
  Khelper,
  type KhelperIndex,
  KhelperState,
  Memory,
  Process,
  type ProcessIndex,
  ProcessState,
  Slot,
  type SlotIndex,
  SlotState,
  stateOfKhelper,
} from '../../kernel/memory.js'

const nameOf = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(names).find(([, number]) => number === value)?.[0] ?? String(value)

/** A line for each slot that is in use, for each khelper and for each process that is not reaped. */
export function slotStates(buffer: SharedArrayBuffer): string[] {
  const memory = Memory.attach(buffer)
  const { words, size } = memory
  const word = (at: number): number => Atomics.load(words, at)
  const lines = [
    `queue ${memory.queue.size}, deferred ${memory.deferred.size}, depth ${word(memory.control(Control.DISABLE_DEPTH))}, readers ${word(memory.control(Control.READERS))}, running ${word(memory.control(Control.RUNNING))}, slot waiters ${word(memory.control(Control.SLOT_WAITERS))}`,
  ]
  for (let index = 0; index < size.descriptors; index += 1) {
    const row = memory.slot(index as SlotIndex)
    const state = word(row + Slot.STATE)
    if (state === SlotState.FREE) continue
    const fields = [
      'OWNER',
      'WAITER',
      'WAIT',
      'RETVAL',
      'EXEC',
      'FLAGS',
      'KHELPER',
      'PID',
      'PROCESS',
      'KILLED',
    ] as const
    const told = fields.map(field => `${field.toLowerCase()} ${word(row + Slot[field])}`)
    lines.push(`slot ${index} ${nameOf(SlotState, state)}: ${told.join(', ')}`)
  }
  for (let index = 0; index < size.khelpers; index += 1) {
    const row = memory.khelper(index as KhelperIndex)
    const state = stateOfKhelper(word(row + Khelper.STATE))
    if (state === KhelperState.NONE) continue
    const fields = ['CURRENT', 'THREAD_ID', 'STARTING', 'TAKEN'] as const
    const told = fields.map(field => `${field.toLowerCase()} ${word(row + Khelper[field])}`)
    lines.push(`khelper ${index} ${nameOf(KhelperState, state)}: ${told.join(', ')}`)
  }
  for (let index = 0; index < size.descriptors; index += 1) {
    const row = memory.process(index as ProcessIndex)
    const state = word(row + Process.STATE)
    if (state === ProcessState.FREE) continue
    const fields = ['PID', 'PIDFD', 'SLOT', 'OUT_PIPE', 'ERR_PIPE', 'HANDED_OVER'] as const
    const told = fields.map(field => `${field.toLowerCase()} ${word(row + Process[field])}`)
    lines.push(`process ${index} ${nameOf(ProcessState, state)}: ${told.join(', ')}`)
  }
  return lines
}
