/**
 * A program that the calling thread blocks on, with its output captured: what stands under `spawnSync`.
 *
 * Nothing else of this thread runs meanwhile: other calls that end are told of when the event loop turns again.
 */
import { Completion } from '../atomics-sync/index.js'
import { errno } from '../libc/index.js'
import type { CallSpec } from './call-spec.js'
import type { Caller } from './caller.js'
import { type Captured, takeCapturedNow } from './captured.js'
import { UMH_WAIT_PROC } from './constants.js'
import { Slot, SlotFlag, type SlotIndex, Waiter } from './memory.js'
import type { ProcessHost } from './process-call.js'
import type { StdinPipes } from './stdin-pipe.js'
import { queueWork } from './workqueue.js'

/** How long a blocked caller sleeps before it sees to the threads that its event loop cannot. */
const BLOCKED_LOOK_MS = 20
/** How long a pipe that is full is left alone. */
const FEED_MS = 1
const NOTHING: Captured = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }

export interface SyncOutcome {
  /** 0 or the raw wait status, also of one that was withdrawn before it ran; `-errno` if it could not be started. */
  readonly retval: number
  /** 0 if the program never ran. */
  readonly pid: number
  readonly timedOut: boolean
  readonly outputTruncated: boolean
  readonly captured: Captured
}

/**
 * @param input for standard input, instead of the spec's
 * @param timeout milliseconds until the program is sent the spec's `killSignal`; undefined: never
 * @returns undefined if there is no descriptor for it
 * @throws what `writeCall` throws
 */
export function runSync(
  { caller, state, signaller, watch }: ProcessHost,
  pipes: StdinPipes,
  spec: CallSpec,
  input: Uint8Array | undefined,
  timeout: number | undefined,
): SyncOutcome | undefined {
  const fed = input === undefined ? undefined : pipes.feeding(input)
  if (typeof fed === 'number') return { ...REFUSED, retval: fed }
  const stdin = fed?.end
  const feeder = fed?.feeder
  let slot: SlotIndex | undefined
  try {
    const stdio = stdin === undefined ? spec.stdio : [stdin, ...(spec.stdio ?? []).slice(1)]
    slot = caller.trySetup(stdio === undefined ? spec : { ...spec, stdio })
  } finally {
    if (slot === undefined && stdin !== undefined) {
      pipes.discard(stdin)
      feeder?.close()
    }
  }
  if (slot === undefined) return undefined
  const { memory } = caller
  const { words } = memory
  const row = memory.slot(slot)
  const completion = new Completion(memory.buffer, memory.byteOffset(row + Slot.COMPLETION))
  const enabled = state.enter()
  let withdrawn = false
  try {
    if (!enabled || (words[row + Slot.FLAGS] ?? 0) & SlotFlag.TOO_BIG) {
      return { ...REFUSED, retval: -errno(enabled ? 'E2BIG' : 'EBUSY') }
    }
    words[row + Slot.WAIT] = UMH_WAIT_PROC
    words[row + Slot.WAITER] = Waiter.SYNC
    caller.disown(slot)
    queueWork(memory, slot)
    const deadline = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout
    let timedOut = false
    let watched = performance.now()
    for (;;) {
      const look = feeder?.feed() ? FEED_MS : BLOCKED_LOOK_MS
      const left = timedOut ? look : deadline - performance.now()
      if (completion.waitTimeout(Math.max(FEED_MS, Math.min(look, left))) !== 0) break
      if (performance.now() - watched > BLOCKED_LOOK_MS) {
        watched = performance.now()
        watch()
      }
      if (timedOut || performance.now() < deadline) continue
      timedOut = true
      withdrawn = caller.cancel(slot)
      if (withdrawn) return { ...REFUSED, retval: spec.killSignal ?? 0, timedOut }
      Atomics.store(words, row + Slot.KILLED, 1)
      signaller.signalCall(slot, spec.killSignal ?? 0)
    }
    return {
      retval: words[row + Slot.RETVAL] ?? 0,
      pid: words[row + Slot.PID] ?? 0,
      timedOut,
      outputTruncated: words[row + Slot.TRUNCATED] === 1 || words[row + Slot.TRUNCATED + 1] === 1,
      captured: takeCapturedNow(memory, caller.libc, slot),
    }
  } finally {
    feeder?.close()
    pipes.release(memory, slot)
    if (withdrawn) releaseWhenFound(caller, slot, completion)
    else caller.release(slot)
    state.leave()
  }
}

/** A withdrawn call stays on the queue until a khelper finds it there. */
function releaseWhenFound(caller: Caller, slot: SlotIndex, completion: Completion): void {
  const done = caller.hold()
  void completion.waitAsync().then(() => {
    caller.release(slot)
    done()
  })
}

const REFUSED: SyncOutcome = {
  retval: 0,
  pid: 0,
  timedOut: false,
  outputTruncated: false,
  captured: NOTHING,
}
