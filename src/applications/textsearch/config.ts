/**
 * A pattern made ready by an algorithm (struct ts_config).
 */
import { wrongType, wrongValue } from '../../kernel/errors.js'
import type { Finish, GetNextBlock, TextSearchOps, TsState } from './types.js'

/** `prepare` makes it and `destroy`, or the end of a `using` block, ends it. */
export class TsConfig<Private = unknown> implements Disposable {
  readonly ops: TextSearchOps<Private>
  readonly flags: number
  /** The algorithm's own. */
  readonly priv: Private
  /** Where the text comes from; `findContinuous` replaces it. */
  getNextBlock: GetNextBlock | undefined
  finish: Finish | undefined
  #destroyed = false

  /** @internal */
  constructor(ops: TextSearchOps<Private>, flags: number, priv: Private) {
    this.ops = ops
    this.flags = flags
    this.priv = priv
  }

  get destroyed(): boolean {
    return this.#destroyed
  }

  /** For algorithms: the text from byte `consumed` on; empty at its end. */
  nextBlock(consumed: number, state: TsState): Uint8Array {
    if (typeof this.getNextBlock !== 'function') {
      throw wrongValue('conf', 'has no getNextBlock to get text from; set it, or use findContinuous')
    }
    const block = this.getNextBlock(consumed, this, state)
    if (!(block instanceof Uint8Array)) {
      throw wrongType('getNextBlock()', 'a Buffer or Uint8Array, an empty one at the end of the text', block)
    }
    return block
  }

  /** As `textsearch_destroy`, but may be called again. */
  [Symbol.dispose](): void {
    if (this.#destroyed) return
    this.#destroyed = true
    try {
      this.ops.destroy?.(this)
    } finally {
      this.ops.owner?.put()
    }
  }
}
