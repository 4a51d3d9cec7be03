/**
 * Who wants to hear that the service ends before it does (Linux's reboot_notifier_list).
 */
import { wrongType } from '../../kernel/errors.js'

export type RebootAction = 'poweroff' | 'reboot'

export interface RebootNotice {
  readonly action: RebootAction
  /** Aborted when the time for listeners is over; what is not done then is not waited for. */
  readonly signal: AbortSignal
}

/** Is awaited, if it gives a promise; what it throws is told as a warning and stops nothing. */
export type RebootListener = (notice: RebootNotice) => unknown

export interface RebootNotifierOptions {
  /** An integer; the higher, the earlier. Default 0. Among equals the first registered is first. */
  readonly priority?: number
}

interface Notifier {
  readonly listener: RebootListener
  readonly priority: number
}

export class RebootNotifiers {
  #notifiers: readonly Notifier[] = []

  /** @returns takes it back */
  register(listener: RebootListener, options: RebootNotifierOptions): () => void {
    if (typeof listener !== 'function') throw wrongType('listener', 'of type function', listener)
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    const { priority = 0 } = options
    if (!Number.isInteger(priority)) throw wrongType('options.priority', 'an integer', priority)
    const notifier: Notifier = { listener, priority }
    // The sort is stable.
    this.#notifiers = [...this.#notifiers, notifier].sort((one, other) => other.priority - one.priority)
    return () => {
      this.#notifiers = this.#notifiers.filter(other => other !== notifier)
    }
  }

  /**
   * Gives each listener its turn, one after the other. When the time is over those that are left are called all the
   * same, as what they do at once may be all that they do, but are not waited for.
   * @param deadline milliseconds for all of them
   */
  async call(action: RebootAction, deadline: number): Promise<void> {
    const controller = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const over = new Promise<void>(resolve => {
      timer = setTimeout(() => {
        controller.abort(new DOMException('The time for reboot listeners is over', 'TimeoutError'))
        resolve()
      }, deadline)
    })
    for (const { listener } of this.#notifiers) {
      await Promise.race([settled(listener, { action, signal: controller.signal }), over])
    }
    clearTimeout(timer)
  }
}

async function settled(listener: RebootListener, notice: RebootNotice): Promise<void> {
  try {
    await listener(notice)
  } catch (error) {
    process.emitWarning(`a reboot listener failed: ${error instanceof Error ? error.stack : String(error)}`, {
      code: 'KHELPER_REBOOT_LISTENER',
    })
  }
}
