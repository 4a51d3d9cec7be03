/**
 * The progress bar: on a terminal only.
 */
import { Presets, SingleBar } from 'cli-progress'

const REFRESHES_PER_SECOND = 10

export class StressProgress {
  readonly #bar: SingleBar | undefined

  constructor(isTerminal: boolean) {
    if (!isTerminal) return
    this.#bar = new SingleBar(
      {
        format: 'khelper {bar} {percentage} %, {calls} calls, {faults} faults, {problems} problems, {rate}/s',
        stream: process.stderr,
        fps: REFRESHES_PER_SECOND,
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false,
      },
      Presets.rect,
    )
    this.#bar.start(100, 0, { calls: 0, faults: 0, problems: 0, rate: 0 })
  }

  /** @param share of the whole, from 0 to 1 */
  update(
    share: number,
    figures: {
      readonly calls: number
      readonly faults: number
      readonly problems: number
      readonly rate: number
    },
  ): void {
    this.#bar?.update(Math.min(100, Math.floor(share * 100)), { ...figures, rate: Math.round(figures.rate) })
  }

  stop(): void {
    this.#bar?.stop()
  }
}
