/**
 * The progress bar: on a terminal only.
 */
import { Presets, SingleBar } from 'cli-progress'

const REFRESHES_PER_SECOND = 10

export class Progress {
  readonly #bar: SingleBar | undefined
  readonly #started = performance.now()
  #done = 0
  #failed = 0

  constructor(isTerminal: boolean) {
    if (!isTerminal) return
    this.#bar = new SingleBar(
      {
        format: 'khelper {bar} {value} done, {failed} failed, {running} running, {rate}/s',
        stream: process.stderr,
        fps: REFRESHES_PER_SECOND,
        hideCursor: true,
        clearOnComplete: true,
        // Ctrl-C is dealt with by the command itself.
        gracefulExit: false,
      },
      Presets.rect,
    )
    this.#bar.start(1, 0, { failed: 0, running: 0, rate: 0 })
  }

  /** @param built command lines so far; the total, once the input is over */
  update(built: number, running: number): void {
    if (this.#bar === undefined) return
    const elapsed = (performance.now() - this.#started) / 1000
    this.#bar.setTotal(Math.max(1, built))
    this.#bar.update(this.#done, {
      failed: this.#failed,
      running,
      rate: (this.#done / Math.max(elapsed, 0.001)).toFixed(1),
    })
  }

  ended(failed: boolean): void {
    this.#done += 1
    if (failed) this.#failed += 1
  }

  stop(): void {
    this.#bar?.stop()
  }
}
