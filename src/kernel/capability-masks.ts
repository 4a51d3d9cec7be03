/**
 * The masks of kernel.usermodehelper.bset and .inheritable: which capabilities helpers may have at all. They can only
 * lose bits, so what is shared is the bits that are lost: two words each, set by `Atomics.or`, in any order.
 */
import { Control, type Memory } from './memory.js'

/** Sets of capabilities; capability n is bit n. */
export interface CapabilityMasks {
  readonly bset: bigint
  readonly inheritable: bigint
}

/** Linux's last capability (CAP_LAST_CAP, CAP_CHECKPOINT_RESTORE). */
const LAST_CAPABILITY = 40n
/** CAP_FULL_SET. */
const ALL_CAPABILITIES = (1n << (LAST_CAPABILITY + 1n)) - 1n
/** Nothing is lost. */
export const NO_LIMITS: CapabilityMasks = { bset: ALL_CAPABILITIES, inheritable: ALL_CAPABILITIES }
const WORD_BITS = 32

/** @returns `NO_LIMITS` itself where nothing is lost */
export function readMasks(memory: Memory): CapabilityMasks {
  const bset = lost(memory, Control.BSET_LOST)
  const inheritable = lost(memory, Control.INHERITABLE_LOST)
  if (bset === 0n && inheritable === 0n) return NO_LIMITS
  return { bset: ALL_CAPABILITIES & ~bset, inheritable: ALL_CAPABILITIES & ~inheritable }
}

function lost(memory: Memory, word: number): bigint {
  const low = Atomics.load(memory.words, memory.control(word))
  const high = Atomics.load(memory.words, memory.control(word + 1))
  if (low === 0 && high === 0) return 0n
  return (
    BigInt.asUintN(WORD_BITS, BigInt(low)) | (BigInt.asUintN(WORD_BITS, BigInt(high)) << BigInt(WORD_BITS))
  )
}

/** Takes what is not in `mask` out of one of the masks. */
export function limitMask(
  memory: Memory,
  word: typeof Control.BSET_LOST | typeof Control.INHERITABLE_LOST,
  mask: bigint,
): void {
  const gone = ALL_CAPABILITIES & ~mask
  Atomics.or(memory.words, memory.control(word), Number(BigInt.asIntN(WORD_BITS, gone)))
  Atomics.or(
    memory.words,
    memory.control(word + 1),
    Number(BigInt.asIntN(WORD_BITS, gone >> BigInt(WORD_BITS))),
  )
}
