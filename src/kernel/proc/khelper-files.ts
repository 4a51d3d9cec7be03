/**
 * /proc/khelper: what the kernel is doing at this moment.
 *
 *   stat      a name and a number a line
 *   queue     calls that wait for a khelper: descriptor, wait mode, program
 *   helpers   calls that a khelper has taken up: descriptor, state, pid (0: none, or not yet), program
 *
 * Descriptors belong to other threads while they are looked at. What stands in one is only shown if its generation and
 * state are the same before and after it was read. Arguments and environments are never shown.
 */
import { type Memory, Slot, type SlotIndex, SlotState } from '../memory.js'
import { programOf } from '../program-of.js'
import type { ProcTree } from './tree.js'

interface Stats {
  readonly descriptors: { readonly capacity: number; readonly available: number }
  readonly queued: number
  readonly inFlight: number
  readonly running: number
  readonly processes: number
  readonly khelpers: number
}

const STATES: Readonly<Record<number, string>> = {
  [SlotState.EXECUTING]: 'executing',
  [SlotState.RUNNING]: 'running',
}

export function defineKernelFiles(proc: ProcTree, memory: Memory, stats: () => Stats): void {
  proc.define('/proc/khelper/stat', {
    read: () => {
      const { descriptors, ...counts } = stats()
      const values = { descriptors: descriptors.capacity, available: descriptors.available, ...counts }
      return Object.entries(values)
        .map(([name, value]) => `${name} ${value}\n`)
        .join('')
    },
  })
  proc.define('/proc/khelper/queue', {
    read: () => lines(memory, [SlotState.QUEUED], ({ slot, wait, path }) => `${slot} ${wait} ${path}`),
  })
  proc.define('/proc/khelper/helpers', {
    read: () =>
      lines(
        memory,
        [SlotState.EXECUTING, SlotState.RUNNING],
        ({ slot, state, pid, path }) => `${slot} ${STATES[state]} ${pid} ${path}`,
      ),
  })
}

interface Call {
  readonly slot: SlotIndex
  readonly state: number
  readonly wait: number
  readonly pid: number
  readonly path: string
}

function lines(memory: Memory, states: readonly number[], line: (call: Call) => string): string {
  let text = ''
  for (let slot = 0; slot < memory.size.descriptors; slot += 1) {
    const call = look(memory, slot as SlotIndex, states)
    if (call !== undefined) text += `${line(call)}\n`
  }
  return text
}

function look(memory: Memory, slot: SlotIndex, states: readonly number[]): Call | undefined {
  const { words } = memory
  const row = memory.slot(slot)
  const state = Atomics.load(words, row + Slot.STATE)
  if (!states.includes(state)) return undefined
  const generation = Atomics.load(words, row + Slot.GENERATION)
  const used = words[row + Slot.PID] ?? 0
  const call = {
    slot,
    state,
    wait: words[row + Slot.WAIT] ?? 0,
    pid: state === SlotState.RUNNING ? used : 0,
    path: shown(programOf(memory, slot)),
  }
  const same =
    Atomics.load(words, row + Slot.STATE) === state &&
    Atomics.load(words, row + Slot.GENERATION) === generation
  return same ? call : undefined
}

/** White space in a path is shown as in /proc/mounts. */
const shown = (path: string): string =>
  path.replace(/[\s\\]/g, character => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)
