/**
 * Takes one step of the plan after the other: operations up to a bound at once, faults beside them.
 */
import type { Fault, Operation, StressContext } from './context.js'
import type { Step } from './plan.js'
import { Random } from './random.js'

/** Between two operations while helpers are disabled: they end at once then, and the plan would be over in no time. */
const DISABLED_PACE_MS = 3

/** How often a fault of each kind was injected, and how often everything went on behind it. */
export interface FaultCount {
  injected: number
  survived: number
}

export class Runner {
  readonly operations = new Map<string, number>()
  readonly faults = new Map<string, FaultCount>()
  /** Steps begun. */
  steps = 0
  readonly #context: StressContext
  readonly #operations: ReadonlyMap<string, Operation>
  readonly #faults: ReadonlyMap<string, Fault>
  readonly #inFlight: number
  readonly #running = new Set<Promise<void>>()
  /** A fault of a kind waits until the last of its kind is over. */
  readonly #faultsRunning = new Map<string, Promise<void>>()

  constructor(
    context: StressContext,
    operations: readonly Operation[],
    faults: readonly Fault[],
    inFlight: number,
  ) {
    this.#context = context
    this.#operations = new Map(operations.map(operation => [operation.name, operation]))
    this.#faults = new Map(faults.map(fault => [fault.name, fault]))
    this.#inFlight = inFlight
  }

  get running(): number {
    return this.#running.size
  }

  /** Runs the plan until `over` says so, and waits for what it has begun. */
  async run(steps: Iterable<Step>, over: () => boolean): Promise<void> {
    for (const step of steps) {
      if (over()) break
      this.steps += 1
      if (step.what === 'fault') await this.#inject(step)
      else await this.#operate(step)
    }
    await Promise.all([...this.#running, ...this.#faultsRunning.values()])
  }

  async #operate(step: Step): Promise<void> {
    while (this.#running.size >= this.#inFlight) await Promise.race(this.#running)
    if (this.#context.weather.isActive('disable')) {
      await new Promise(resolve => setTimeout(resolve, DISABLED_PACE_MS))
    }
    const operation = this.#operations.get(step.name)
    if (operation === undefined) return
    this.operations.set(step.name, (this.operations.get(step.name) ?? 0) + 1)
    const running = this.#guarded(step, () =>
      operation.run(this.#context, new Random(step.seed), step.number),
    ).then(() => {
      this.#running.delete(running)
    })
    this.#running.add(running)
  }

  async #inject(step: Step): Promise<void> {
    await this.#faultsRunning.get(step.name)
    const fault = this.#faults.get(step.name)
    if (fault === undefined) return
    const count = this.faults.get(step.name) ?? { injected: 0, survived: 0 }
    this.faults.set(step.name, count)
    count.injected += 1
    const { weather, ledger } = this.#context
    const problemsBefore = ledger.problemCount
    const end = weather.begin(step.name)
    const running = this.#guarded(step, () =>
      fault.run(this.#context, new Random(step.seed), step.number),
    ).then(() => {
      end()
      if (ledger.problemCount === problemsBefore) count.survived += 1
      this.#faultsRunning.delete(step.name)
    })
    this.#faultsRunning.set(step.name, running)
  }

  /** What a step throws is a problem, and not the end of the others. */
  async #guarded(step: Step, run: () => Promise<unknown>): Promise<void> {
    try {
      await run()
    } catch (error) {
      this.#context.ledger.wrong(step.name, step.number, `threw ${(error as Error).stack ?? error}`)
    }
  }
}
