/**
 * Captured output on its way from the thread that collected it to the one that made the call.
 *
 * It stands in a file: a memfd, named by its number (threads share the table of descriptors), or, where
 * there is none, a file in the kernel's private scratch folder, named after the slot. Whoever reads it
 * removes it.
 */
import { read as readFd, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { asFd, type Fd, type Libc } from '../libc/index.js'
import { type Memory, Slot, SlotFlag, type SlotIndex } from './memory.js'

const readAt = promisify(readFd)

/** Files up to this size are read at once: it costs less than a trip through the thread pool. */
const READ_AT_ONCE_BYTES = 256 * 1024
const PRIVATE = 0o600

/** Which of the two captured streams, as an index of `Slot.CAPTURED`. */
export type CapturedStream = 0 | 1
const STREAMS: readonly CapturedStream[] = [0, 1]

export interface Captured {
  readonly stdout: Buffer
  readonly stderr: Buffer
}

const NOTHING: Captured = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }

export const scratchFile = (scratch: string, slot: SlotIndex, stream: CapturedStream): string =>
  join(scratch, `${slot}.${stream}`)

/** On the collecting thread: keeps `bytes` as what a helper wrote to a stream. The slot is still the caller's. */
export function keepCaptured(
  memory: Memory,
  libc: Libc | undefined,
  scratch: string | undefined,
  slot: SlotIndex,
  stream: CapturedStream,
  bytes: Uint8Array,
): void {
  const row = memory.slot(slot)
  if (libc !== undefined) {
    const file = libc.memfd('khelper-output')
    if (file < 0) return
    libc.write(asFd(file), bytes)
    memory.words[row + Slot.CAPTURED + stream] = file + 1
  } else if (scratch !== undefined) {
    writeFileSync(scratchFile(scratch, slot, stream), bytes, { mode: PRIVATE })
    markByName(memory, slot, stream)
  }
}

/** On the collecting thread: the stream stands in its scratch file. */
export function markByName(memory: Memory, slot: SlotIndex, stream: CapturedStream): void {
  const row = memory.slot(slot)
  memory.words[row + Slot.FLAGS] = (memory.words[row + Slot.FLAGS] ?? 0) | SlotFlag.CAPTURED_BY_NAME
  memory.words[row + Slot.CAPTURED + stream] = 1
}

/**
 * On the caller's thread, before the slot is freed: takes what was captured.
 * @returns a promise where there is so much that reading it at once would hold up the event loop
 */
export function takeCaptured(
  memory: Memory,
  libc: Libc | undefined,
  scratch: string | undefined,
  slot: SlotIndex,
): Captured | Promise<Captured> {
  const row = memory.slot(slot)
  const { words } = memory
  if (words[row + Slot.CAPTURED] === 0 && words[row + Slot.CAPTURED + 1] === 0) return NOTHING
  if ((words[row + Slot.FLAGS] ?? 0) & SlotFlag.CAPTURED_BY_NAME) {
    const [stdout, stderr] = STREAMS.map(stream =>
      words[row + Slot.CAPTURED + stream] === 0 || scratch === undefined
        ? NOTHING.stdout
        : takeFile(scratchFile(scratch, slot, stream)),
    )
    return { stdout: stdout ?? NOTHING.stdout, stderr: stderr ?? NOTHING.stderr }
  }
  const [stdout, stderr] = STREAMS.map(stream => {
    const fd = (words[row + Slot.CAPTURED + stream] ?? 0) - 1
    return fd < 0 || libc === undefined ? NOTHING.stdout : takeMemfd(libc, asFd(fd))
  })
  if (stdout instanceof Promise || stderr instanceof Promise) {
    return Promise.all([stdout ?? NOTHING.stdout, stderr ?? NOTHING.stderr]).then(([out, err]) => ({
      stdout: out,
      stderr: err,
    }))
  }
  return { stdout: stdout ?? NOTHING.stdout, stderr: stderr ?? NOTHING.stderr }
}

/** The same, all at once whatever its size: for a caller that blocks anyway. By memfd only. */
export function takeCapturedNow(memory: Memory, libc: Libc | undefined, slot: SlotIndex): Captured {
  const row = memory.slot(slot)
  const [stdout, stderr] = STREAMS.map(stream => {
    const fd = (memory.words[row + Slot.CAPTURED + stream] ?? 0) - 1
    return fd < 0 || libc === undefined ? NOTHING.stdout : readMemfd(libc, asFd(fd))
  })
  return { stdout: stdout ?? NOTHING.stdout, stderr: stderr ?? NOTHING.stderr }
}

function takeFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } finally {
    rmSync(path, { force: true })
  }
}

function takeMemfd(libc: Libc, file: Fd): Buffer | Promise<Buffer> {
  const size = libc.fileSize(file)
  return size > READ_AT_ONCE_BYTES
    ? takeLargeMemfd(libc, file, Buffer.allocUnsafeSlow(size))
    : readMemfd(libc, file)
}

function readMemfd(libc: Libc, file: Fd): Buffer {
  try {
    const bytes = Buffer.allocUnsafeSlow(libc.fileSize(file))
    let length = 0
    while (length < bytes.byteLength) {
      const count = readSync(file, bytes, length, bytes.byteLength - length, length)
      if (count === 0) break
      length += count
    }
    return bytes.subarray(0, length)
  } finally {
    libc.close(file)
  }
}

async function takeLargeMemfd(libc: Libc, file: Fd, bytes: Buffer): Promise<Buffer> {
  try {
    let length = 0
    while (length < bytes.byteLength) {
      const { bytesRead } = await readAt(file, bytes, length, bytes.byteLength - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } finally {
    libc.close(file)
  }
}
