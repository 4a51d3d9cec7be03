/**
 * call_usermodehelper in one step: a call of which nobody sees the SubprocessInfo needs none.
 *
 * What is left of a call on its owner's side is its descriptor and the function that settles its promise. This is the
 * path of a service that makes a million calls a second; everything else (init, cleanup, an abort signal,
 * a pipe to standard input, waiting for a descriptor) takes the way of `UsermodeHelper`, with the same results.
 */
import { errno } from '../libc/index.js'
import type { CallSpec } from './call-spec.js'
import type { Caller, Ending } from './caller.js'
import { UMH_NO_WAIT, type WaitMode } from './constants.js'
import { Slot, SlotFlag, type SlotIndex, Waiter } from './memory.js'
import type { UsermodeHelperState } from './usermodehelper.js'
import { queueWork } from './workqueue.js'

/** What UMH_NO_WAIT gives. */
const QUEUED = Promise.resolve(0)

export class DirectCalls implements Ending {
  readonly #caller: Caller
  readonly #state: UsermodeHelperState
  /** What settles the call in each descriptor; none where nobody waits. */
  readonly #resolves: (((retval: number) => void) | undefined)[] = []

  constructor(caller: Caller, state: UsermodeHelperState) {
    this.#caller = caller
    this.#state = state
  }

  /**
   * Sets up and queues a call.
   * @param spec with a path and an argv that are not empty
   * @returns its result; undefined if there is no descriptor for it
   * @throws what `writeCall` throws
   */
  call(spec: CallSpec, wait: WaitMode): Promise<number> | undefined {
    const slot = this.#caller.trySetup(spec)
    if (slot === undefined) return undefined
    const { memory } = this.#caller
    const { words } = memory
    const row = memory.slot(slot)
    const flags = words[row + Slot.FLAGS] ?? 0
    // What ends a helper starts none: `disable` may wait for just that end.
    const enabled = this.#state.enter() || (flags & SlotFlag.TREE) !== 0
    if (!enabled || flags & SlotFlag.TOO_BIG) {
      this.#caller.release(slot)
      this.#state.leave()
      return Promise.resolve(-errno(enabled ? 'E2BIG' : 'EBUSY'))
    }
    words[row + Slot.WAIT] = wait
    words[row + Slot.WAITER] = wait === UMH_NO_WAIT ? Waiter.NONE : Waiter.ASYNC
    this.#caller.queued(slot, this)
    queueWork(memory, slot)
    if (wait !== UMH_NO_WAIT) return new Promise(resolve => this.#awaited(slot, resolve))
    this.#state.leave()
    return QUEUED
  }

  #awaited(slot: SlotIndex, resolve: (retval: number) => void): void {
    this.#resolves[slot] = resolve
  }

  ended(slot: SlotIndex): void {
    const { memory } = this.#caller
    const retval = memory.words[memory.slot(slot) + Slot.RETVAL] ?? 0
    const resolve = this.#resolves[slot]
    this.#resolves[slot] = undefined
    this.#caller.release(slot)
    if (resolve === undefined) return
    this.#state.leave()
    resolve(retval)
  }

  /** Never: what is set up here is queued at once. */
  dropped(): void {}
}
