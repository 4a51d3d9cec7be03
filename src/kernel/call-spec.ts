/**
 * What one call is, before it has a descriptor: checked once, at the door, and then written as it is.
 */

import type { Environments } from './environments.js'
import { wrongType, wrongValue } from './errors.js'
import {
  INLINE_BYTES,
  type Memory,
  type OwnerIndex,
  Slot,
  SlotFlag,
  type SlotIndex,
  SlotState,
  type Stdio,
} from './memory.js'
import { NO_ROOM, TOO_BIG, writePayload } from './payload.js'

/** One of a helper's descriptors 0, 1, 2. */
export interface StdioEntry {
  readonly kind: Stdio
  readonly fd: number
  /** The file or socket, for the kinds that have one. */
  readonly path?: string
}

export interface CallSpec {
  readonly path: string
  readonly argv: readonly string[]
  readonly envp: readonly string[]
  /** Bits of `SlotFlag`; CWD and SEARCH are added here. */
  readonly flags: number
  readonly cwd?: string | undefined
  readonly search?: string | undefined
  /** None: all three on /dev/null. */
  readonly stdio?: readonly StdioEntry[]
  readonly maxOutput?: number
  readonly killSignal?: number
  /** Milliseconds, -1: no SIGKILL. */
  readonly grace?: number
}

/** @throws TypeError for anything but an array of strings without NUL */
export function checkArgv(argv: unknown): asserts argv is readonly string[] {
  if (!Array.isArray(argv)) throw wrongType('argv', 'an array of strings', argv)
  for (let index = 0; index < argv.length; index += 1) checkString(argv[index], `argv[${index}]`)
}

/** @throws TypeError unless every entry is `KEY=value` without NUL; the value is not shown */
function checkEnvp(envp: readonly unknown[]): asserts envp is readonly string[] {
  for (let index = 0; index < envp.length; index += 1) {
    const entry = envp[index]
    if (typeof entry !== 'string') throw wrongType(`envp[${index}]`, 'of type string', entry)
    if (entry.indexOf('=') < 1) throw wrongValue(`envp[${index}]`, 'must be of the form KEY=value')
    if (entry.includes('\0')) {
      throw wrongValue(
        `envp[${index}]`,
        `must not contain a null byte: ${entry.slice(0, entry.indexOf('='))}`,
      )
    }
  }
}

/** @throws TypeError for anything but a string without NUL */
export function checkString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw wrongType(name, 'of type string', value)
  if (value.includes('\0')) throw wrongValue(name, 'must be a string without null bytes')
}

/**
 * Writes a call into a descriptor that was just taken.
 * @returns whether there was room for it; if not, nothing but the descriptor is held
 * @throws what `checkEnvp` throws; nothing is held then, the descriptor neither
 */
export function writeCall(
  memory: Memory,
  environments: Environments,
  owner: OwnerIndex,
  slot: SlotIndex,
  spec: CallSpec,
): boolean {
  const { words } = memory
  const row = memory.slot(slot)
  words.fill(0, row + Slot.STATE + 1, row + Slot.CLEARED)
  words[row + Slot.GENERATION] = ((words[row + Slot.GENERATION] ?? 0) + 1) | 0
  let environment = -1
  try {
    environment = environments.acquire(spec.envp, checkEnvp)
  } catch (error) {
    memory.slots.free(slot)
    throw error
  }
  const inline = environment < 0 ? spec.envp : undefined
  const written = writePayload(memory, payloadText(spec, inline), memory.inlinePayload(slot), INLINE_BYTES)
  if (written === NO_ROOM) {
    if (environment >= 0) environments.release(environment)
    return false
  }
  words[row + Slot.OWNER] = owner
  words[row + Slot.FLAGS] =
    spec.flags |
    (spec.cwd === undefined ? 0 : SlotFlag.CWD) |
    (spec.search === undefined ? 0 : SlotFlag.SEARCH) |
    (written === TOO_BIG ? SlotFlag.TOO_BIG : 0)
  words[row + Slot.ARGC] = spec.argv.length
  words[row + Slot.ENVC] = spec.envp.length
  words[row + Slot.ENVIRONMENT] = environment + 1
  if (written !== TOO_BIG) {
    words[row + Slot.LENGTH] = written.length
    words[row + Slot.PAGE] = written.page
  }
  if (spec.stdio !== undefined) {
    for (const [entry, { kind, fd }] of spec.stdio.entries()) {
      words[row + Slot.STDIO + entry] = kind
      words[row + Slot.STDIO_FD + entry] = fd
    }
    memory.doubles[(row + Slot.MAX_OUTPUT) / 2] = spec.maxOutput ?? 0
    words[row + Slot.KILL_SIGNAL] = spec.killSignal ?? 0
    words[row + Slot.GRACE] = spec.grace ?? -1
  }
  Atomics.store(words, row + Slot.STATE, SlotState.SETUP)
  return true
}

function payloadText(spec: CallSpec, envp: readonly string[] | undefined): string {
  let text = `${spec.path}\0`
  if (spec.cwd !== undefined) text += `${spec.cwd}\0`
  if (spec.search !== undefined) text += `${spec.search}\0`
  for (const entry of spec.stdio ?? []) if (entry.path !== undefined) text += `${entry.path}\0`
  for (const argument of spec.argv) text += `${argument}\0`
  if (envp !== undefined) for (const entry of envp) text += `${entry}\0`
  return text
}

/** Points the descriptor's standard input at another source, before it is queued. */
export function setStdio(memory: Memory, slot: SlotIndex, entry: number, kind: Stdio, fd: number): void {
  const row = memory.slot(slot)
  memory.words[row + Slot.STDIO + entry] = kind
  memory.words[row + Slot.STDIO_FD + entry] = fd
}
