/**
 * What one call is, before it has a descriptor: checked once, while it is written.
 */
import { wrongType, wrongValue } from './errors.js'
import type { InternedStrings } from './interned-strings.js'
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
import { NO_ROOM, TOO_BIG, type Written, wipeInline, writeAscii, writePayload } from './payload.js'
import type { TreeKill } from './process-tree.js'

/** As whom a helper runs, and with what. */
export interface Credentials {
  readonly uid?: number
  readonly gid?: number
  /** The supplementary groups; without this: the service's. */
  readonly groups?: readonly number[]
  /** It is another user: nothing of the service's is left to it. */
  readonly another?: true
  readonly umask?: number
  readonly nice?: number
  readonly noNewPrivs?: boolean
  /** The processors that it may run on. */
  readonly affinity?: readonly number[]
}

/** By the numbers of setrlimit(2); `null` is no limit. */
export type ResourceLimits = readonly (readonly [
  resource: number,
  soft: number | null,
  hard: number | null,
])[]

/** What only some launches need, beyond the words of a descriptor slot: read by the khelper, as JSON. */
export interface LaunchSettings {
  /** The helper's descriptors from 3 on: numbers of the service's own; `null`: closed. */
  readonly descriptors?: readonly (number | null)[]
  /** A file without a format that may be executed is a script of /bin/sh, as for execvp(3). */
  readonly scripts?: boolean
  readonly credentials?: Credentials
  readonly rlimits?: ResourceLimits
  /** Files named cgroup.procs: the groups that it enters. */
  readonly cgroups?: readonly string[]
  /** The folder with the secrets that its session keyring is to hold as well. */
  readonly keys?: string
  /** With the flag TREE: whose tree is to be signalled. */
  readonly tree?: TreeKill
}

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
  /** Bits of `SlotFlag`; CWD, SEARCH and SETTINGS are added here. */
  readonly flags: number
  readonly cwd?: string | undefined
  readonly search?: string | undefined
  readonly settings?: LaunchSettings | undefined
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

const checkPath = (path: unknown): void => checkString(path, 'path')

/** @throws TypeError for a path, an argv or strings in it that cannot be; `writeCall` does the same by itself */
export function checkCall({ path, argv }: CallSpec): void {
  checkPath(path)
  checkArgv(argv)
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
 * @throws what `checkArgv` and `checkEnvp` throw; nothing is held then, the descriptor neither
 */
export function writeCall(
  memory: Memory,
  interned: InternedStrings,
  owner: OwnerIndex,
  slot: SlotIndex,
  spec: CallSpec,
): boolean {
  const { words } = memory
  const row = memory.slot(slot)
  const usedAll = ((words[row + Slot.FLAGS] ?? 0) & SlotFlag.USED_ALL) !== 0
  const cleared = row + (usedAll ? Slot.GENERATION : Slot.REST)
  for (let word = row + Slot.STATE + 1; word < cleared; word += 1) words[word] = 0
  words[row + Slot.GENERATION] = ((words[row + Slot.GENERATION] ?? 0) + 1) | 0
  let environment = -1
  let program = -1
  let written: Written | typeof NO_ROOM | typeof TOO_BIG
  try {
    environment = interned.acquire(spec.envp, checkEnvp)
    if (spec.flags & SlotFlag.IN_THREAD) program = interned.acquireString(spec.path, checkPath)
    written = writeStrings(memory, slot, spec, program < 0, environment < 0)
  } catch (error) {
    release(interned, environment, program)
    memory.slots.free(slot)
    throw error
  }
  if (written === NO_ROOM) {
    release(interned, environment, program)
    return false
  }
  const plain = program >= 0 && spec.stdio === undefined && environment >= 0
  words[row + Slot.OWNER] = owner
  words[row + Slot.FLAGS] =
    spec.flags |
    (plain ? 0 : SlotFlag.USED_ALL) |
    (spec.cwd === undefined ? 0 : SlotFlag.CWD) |
    (spec.search === undefined ? 0 : SlotFlag.SEARCH) |
    (spec.settings === undefined ? 0 : SlotFlag.SETTINGS) |
    (written === TOO_BIG ? SlotFlag.TOO_BIG : 0)
  words[row + Slot.ARGC] = spec.argv.length
  words[row + Slot.ENVIRONMENT] = environment + 1
  words[row + Slot.PROGRAM] = program + 1
  if (written !== TOO_BIG) {
    words[row + Slot.LENGTH] = written.length
    words[row + Slot.PAGE] = written.page
  }
  if (environment < 0) words[row + Slot.ENVC] = spec.envp.length
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

function release(interned: InternedStrings, environment: number, program: number): void {
  if (environment >= 0) interned.release(environment)
  if (program >= 0) interned.release(program)
}

/** Writes a call's strings: into the slot without further ado where they are short and ASCII, as most are. */
function writeStrings(
  memory: Memory,
  slot: SlotIndex,
  spec: CallSpec,
  withPath: boolean,
  withEnvironment: boolean,
): Written | typeof NO_ROOM | typeof TOO_BIG {
  const { bytes } = memory
  const start = memory.inlinePayload(slot)
  const end = start + INLINE_BYTES
  const { argv, cwd, search, settings, stdio } = spec
  if (!withEnvironment && stdio === undefined && !cwd && !search && settings === undefined) {
    let at = withPath ? writeAscii(bytes, start, end, spec.path) : start
    for (let index = 0; index < argv.length && at !== NO_ROOM; index += 1) {
      at = writeAscii(bytes, at, end, argv[index])
    }
    if (at !== NO_ROOM) return { length: at - start, page: 0 }
    // How far it came is not known, and LENGTH will not say it.
    wipeInline(memory, slot, INLINE_BYTES)
  }
  checkCall(spec)
  return writePayload(memory, payloadText(spec, withPath, withEnvironment), start, INLINE_BYTES)
}

function payloadText(spec: CallSpec, withPath: boolean, withEnvironment: boolean): string {
  let text = withPath ? `${spec.path}\0` : ''
  if (spec.cwd !== undefined) text += `${spec.cwd}\0`
  if (spec.search !== undefined) text += `${spec.search}\0`
  if (spec.settings !== undefined) text += `${JSON.stringify(spec.settings)}\0`
  for (const entry of spec.stdio ?? []) if (entry.path !== undefined) text += `${entry.path}\0`
  for (const argument of spec.argv) text += `${argument}\0`
  if (withEnvironment) for (const entry of spec.envp) text += `${entry}\0`
  return text
}

/** Points the descriptor's standard input at another source, before it is queued. */
export function setStdio(memory: Memory, slot: SlotIndex, entry: number, kind: Stdio, fd: number): void {
  const row = memory.slot(slot)
  memory.words[row + Slot.FLAGS] = (memory.words[row + Slot.FLAGS] ?? 0) | SlotFlag.USED_ALL
  memory.words[row + Slot.STDIO + entry] = kind
  memory.words[row + Slot.STDIO_FD + entry] = fd
}
