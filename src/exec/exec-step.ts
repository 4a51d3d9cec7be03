/**
 * The exec step, seen from the khelper: what a helper is to have of its own, written down for the program that sets it
 * (native/exec-step.c) in the helper's process and becomes the helper. No thread of the service takes any of it on.
 */
import { arch } from 'node:process'
import type { Credentials, LaunchSettings, ResourceLimits } from '../kernel/call-spec.js'
import { type CapabilityMasks, NO_LIMITS } from '../kernel/capability-masks.js'
import { Control, type Memory, Step } from '../kernel/memory.js'
import { asFd, type Libc } from '../libc/index.js'
import { EXEC_STEP_IMAGES } from './exec-step-images.js'

/** The operations of a description; its records stand in this order. */
export const Operation = {
  SESSION_KEYRING: 1,
  KEY: 2,
  CGROUP: 3,
  RLIMIT: 4,
  NICE: 5,
  IO_PRIORITY: 6,
  AFFINITY: 7,
  SCHEDULER: 8,
  UMASK: 9,
  BOUNDING: 10,
  INHERITABLE: 11,
  GROUPS: 12,
  GROUP: 13,
  USER: 14,
  NO_CAPABILITIES: 15,
  NO_NEW_PRIVS: 16,
  DIRECTORY: 17,
  OPEN: 18,
  EXEC: 19,
} as const

/** "khs1". */
const MAGIC = 0x3173_686b
const HEADER_BYTES = 16
const RECORD_BYTES = 16
const ALIGNMENT = 8
const FIRST_ROOM = 1_024
const WORD = 4
const WORD_BITS = 32
const UNLIMITED = 2n ** 64n - 1n
/** Linux takes no larger one in a key of type "user", and no empty one. */
const LARGEST_KEY_BYTES = 32_767
/** Descriptors that the step has below the helper's: its description, and the socket that tells how it went. */
export const STEP_DESCRIPTORS = 2

/** Writes a description, record by record. */
export class Description {
  #bytes = Buffer.alloc(FIRST_ROOM)
  #length = HEADER_BYTES

  /** @param descriptors how many the helper has */
  constructor(descriptors: number) {
    this.#bytes.writeUInt32LE(MAGIC, 0)
    this.#bytes.writeUInt32LE(descriptors, WORD)
  }

  /**
   * @param step told if it fails
   * @param argument a 32-bit number, signed or not
   */
  add(operation: number, step: number, argument = 0, payload: Uint8Array = NOTHING): this {
    const start = this.#length + RECORD_BYTES
    this.#makeRoom(start + payload.byteLength + ALIGNMENT)
    this.#bytes.writeUInt32LE(operation, this.#length)
    this.#bytes.writeUInt32LE(step, this.#length + WORD)
    this.#bytes.writeInt32LE(argument | 0, this.#length + 2 * WORD)
    this.#bytes.writeUInt32LE(payload.byteLength, this.#length + 3 * WORD)
    this.#bytes.set(payload, start)
    this.#length = Math.ceil((start + payload.byteLength) / ALIGNMENT) * ALIGNMENT
    return this
  }

  get bytes(): Buffer {
    this.#bytes.writeUInt32LE(this.#length - HEADER_BYTES, 2 * WORD)
    return this.#bytes.subarray(0, this.#length)
  }

  /** Overwrites it: it may have held secrets. */
  wipe(): void {
    this.#bytes.fill(0)
  }

  #makeRoom(length: number): void {
    if (length <= this.#bytes.byteLength) return
    const bytes = Buffer.alloc(Math.max(length, this.#bytes.byteLength * 2))
    bytes.set(this.#bytes)
    this.#bytes.fill(0)
    this.#bytes = bytes
  }
}

const NOTHING = new Uint8Array(0)
/** What a socket takes in any case without that it is read. */
const SOCKET_BYTES = 8_192

/** A file that becomes one of a helper's descriptors. */
export interface StepFile {
  readonly entry: number
  /** Of open(2). */
  readonly flags: number
  readonly path: string
}

/** What a helper is to have. */
export interface StepOrders {
  /** How many descriptors. */
  readonly descriptors: number
  readonly settings: LaunchSettings
  readonly masks: CapabilityMasks
  readonly secrets: Iterable<readonly [name: string, secret: Uint8Array]>
  readonly directory: string | undefined
  readonly files: readonly StepFile[]
  /** The program's path. */
  readonly program: Uint8Array
}

/** Whether a launch needs the step for its settings. */
export const needsStep = ({ credentials, keys, rlimits, cgroups }: LaunchSettings): boolean =>
  credentials !== undefined || keys !== undefined || rlimits !== undefined || cgroups !== undefined

/** Writes down what a helper is to have, in the order in which it gets it. */
export function describe(orders: StepOrders): Description {
  const { settings, masks, directory, files, program } = orders
  const { credentials = {}, cgroups = [], rlimits = [] } = settings
  const description = new Description(orders.descriptors)
  addKeys(description, credentials.another === true || settings.keys !== undefined, orders.secrets)
  for (const path of cgroups) description.add(Operation.CGROUP, Step.CGROUP, 0, text(path))
  addLimits(description, rlimits)
  addCredentials(description, credentials, masks)
  if (directory !== undefined) description.add(Operation.DIRECTORY, Step.CHDIR, 0, text(directory))
  for (const { entry, flags, path } of files) {
    const payload = Buffer.concat([words([flags]), text(path)])
    description.add(Operation.OPEN, Step.STDIN + entry, entry, payload)
  }
  return description.add(Operation.EXEC, Step.EXECVE, settings.scripts ? 1 : 0, program)
}

function addKeys(description: Description, own: boolean, secrets: StepOrders['secrets']): void {
  if (!own) return
  description.add(Operation.SESSION_KEYRING, Step.KEYRING)
  for (const [name, secret] of secrets) {
    if (secret.byteLength === 0 || secret.byteLength > LARGEST_KEY_BYTES) continue
    const payload = Buffer.concat([text(name), secret])
    description.add(Operation.KEY, Step.KEYRING, 0, payload)
    payload.fill(0)
  }
}

function addLimits(description: Description, rlimits: ResourceLimits): void {
  for (const [resource, ...limits] of rlimits) {
    const payload = Buffer.concat(limits.map(limit => word64(limit === null ? UNLIMITED : BigInt(limit))))
    description.add(Operation.RLIMIT, Step.RLIMITS, resource, payload)
  }
}

function addCredentials(
  description: Description,
  { uid, gid, groups, umask, nice, noNewPrivs, affinity, another }: Credentials,
  { bset, inheritable }: CapabilityMasks,
): void {
  if (nice !== undefined) description.add(Operation.NICE, Step.NICE, nice)
  if (affinity !== undefined) description.add(Operation.AFFINITY, Step.AFFINITY, 0, processorMask(affinity))
  if (umask !== undefined) description.add(Operation.UMASK, Step.UMASK, umask)
  if (bset !== NO_LIMITS.bset) description.add(Operation.BOUNDING, Step.CAPABILITIES, 0, word64(bset))
  const kept = another ? 0n : inheritable
  if (kept !== NO_LIMITS.inheritable) {
    description.add(Operation.INHERITABLE, Step.CAPABILITIES, 0, word64(kept))
  }
  if (groups !== undefined) description.add(Operation.GROUPS, Step.SETGROUPS, 0, words(groups))
  if (gid !== undefined) description.add(Operation.GROUP, Step.SETGID, gid)
  if (uid !== undefined) description.add(Operation.USER, Step.SETUID, uid)
  // Root's come with the exec, as far as the bounding set has them.
  if (another && uid !== undefined && uid !== 0) description.add(Operation.NO_CAPABILITIES, Step.CAPABILITIES)
  if (noNewPrivs) description.add(Operation.NO_NEW_PRIVS, Step.NO_NEW_PRIVS)
}

const text = (string: string): Buffer => Buffer.from(`${string}\0`)

const words = (numbers: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(numbers).buffer)

const word64 = (number: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(number).buffer)

function processorMask(processors: readonly number[]): Uint8Array {
  const mask = new Uint32Array(2 * Math.ceil((Math.max(...processors) + 1) / (2 * WORD_BITS)))
  for (const processor of processors) {
    const at = Math.floor(processor / WORD_BITS)
    mask[at] = (mask[at] ?? 0) | (1 << (processor % WORD_BITS))
  }
  return new Uint8Array(mask.buffer)
}

/**
 * Gives the file in memory that holds the step's program, made once for a kernel by whichever thread needs it first.
 * Sealed, so that nobody changes it any more.
 * @returns `-errno` if it cannot be had
 */
export function stepImage(memory: Memory, libc: Libc): number {
  const at = memory.control(Control.EXEC_STEP_FD)
  const known = Atomics.load(memory.words, at)
  if (known !== 0) return known - 1
  const made = libc.sealedFile('khelper-exec-step', Buffer.from(EXEC_STEP_IMAGES[arch] ?? '', 'base64'), true)
  if (made < 0) return made
  const before = Atomics.compareExchange(memory.words, at, 0, made + 1)
  if (before === 0) return made
  libc.close(asFd(made))
  return before - 1
}

/**
 * Gives the step its orders: by a socket whose other end then tells how it went, or, where that does not hold so much, by
 * a sealed file in memory.
 * @param ends the two ends, ours first
 * @returns what the step reads, which is `ends[1]` or to be closed; `-errno` if no descriptor or memory is left
 */
export function giveOrders(libc: Libc, description: Description, ends: Int32Array): number {
  const { bytes } = description
  try {
    const error = libc.socketpairInto(ends)
    if (error < 0) return error
    const [ours = -1, theirs = -1] = ends
    if (bytes.byteLength <= SOCKET_BYTES && libc.write(asFd(ours), bytes) === bytes.byteLength) return theirs
    return libc.sealedFile('khelper-exec-step-orders', bytes, false)
  } finally {
    description.wipe()
  }
}
