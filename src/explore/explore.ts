/**
 * Explores the schedules of a scenario.
 */
import { pathToFileURL } from 'node:url'
import { parse } from 'acorn'
import { type Loader, loadModules } from './loader.js'
import { countPreemptions, type FoundFailure, scheduleOf, scheduleTable } from './report.js'
import { Run, type RunLimits, type Scenario } from './run.js'
import { runtimeOf } from './runtime.js'
import { BoundedStrategy } from './strategies/bounded.js'
import { PartialOrderStrategy } from './strategies/partial-order.js'
import { PctStrategy, RandomStrategy } from './strategies/random.js'
import { ReplayStrategy } from './strategies/replay.js'
import type { Strategy } from './strategies/strategy.js'
import { UnsupportedCode } from './transform.js'

/** The modules that a scenario is given, by the names of `options.modules`. */
// biome-ignore lint/suspicious/noExplicitAny: a module is whatever it exports
export type Modules = Record<string, any>

export interface ExploreOptions {
  /**
   * What the scenario is given: modules by the names under which it finds them, each by its URL, its path, or as it
   * would be imported. They and what they import are run under the scheduler.
   */
  readonly modules?: Readonly<Record<string, string | URL>>
  /**
   * `'exhaustive'` (default): every schedule that could make a difference, with `preemptions` of those with at most so
   * many; `'pct'` and `'random'`: so many by chance.
   */
  readonly strategy?: 'exhaustive' | 'pct' | 'random'
  /** Switches away from a thread that could have gone on. Default: as many as there are. */
  readonly preemptions?: number
  /** Schedules that are run at most. Default: no bound for `'exhaustive'`, else 10 000. */
  readonly schedules?: number
  /** For `'pct'` and `'random'`: the same seed gives the same schedules. Default 1. */
  readonly seed?: number
  /** For `'pct'`: how many orders of two steps a bug is taken to need. Default 3. */
  readonly depth?: number
  /** Steps after which a run is taken to go on for ever. Default 5 000. */
  readonly steps?: number
  /** How often in a run a time may run out although somebody could go on. Default 1. */
  readonly timeouts?: number
  /** Rounds of a loop that waits, while nobody writes, that are told apart. Default 3. */
  readonly spins?: number
  /** Rounds of any loop after which a thread lets others go first, if there are any. Default 6. */
  readonly rounds?: number
  /** Whether data races are failures. Default `true`. */
  readonly races?: boolean
  /** Only this schedule, as an `ExploreError` has it. */
  readonly replay?: string
}

export interface ExploreReport {
  /** Schedules that were run. */
  readonly schedules: number
  /** Of them, those that were left before their end, because the rest had been seen. */
  readonly pruned: number
  /** Steps in all of them. */
  readonly steps: number
  /** Whether there were no others. */
  readonly complete: boolean
  readonly duration: number
}

/** A schedule that fails. Its message has the schedule as a table, and as a string for `replay`. */
export class ExploreError extends Error {
  override readonly name = 'ExploreError'
  readonly code = 'ERR_EXPLORE_FAILURE'
  /** `'assertion'`, `'deadlock'`, `'lost wake-up'`, `'livelock'` or `'data race'`. */
  readonly kind: FoundFailure['kind']
  /** For `options.replay`. */
  readonly schedule: string
  /** The schedule, a row for each step and a column for each thread. */
  readonly table: string
  /** Schedules that were run until it was found. */
  readonly schedules: number
  readonly preemptions: number

  constructor(failure: FoundFailure, threads: number, schedules: number) {
    const table = scheduleTable(failure.steps, threads)
    super(
      `${failure.kind}: ${failure.message}\n${table}\nfound in schedule ${schedules}; replay: '${failure.schedule}'`,
      failure.cause === undefined ? undefined : { cause: failure.cause },
    )
    this.kind = failure.kind
    this.schedule = failure.schedule
    this.table = table
    this.schedules = schedules
    this.preemptions = failure.preemptions
  }
}

const DEFAULT_SCHEDULES = 10_000
const DEFAULT_STEPS = 5_000
/** How many schedules a shorter form of a failing one is looked for in. */
const SHORTENING = 20_000
/** … and steps, where schedules are long. */
const SHORTENING_STEPS = 1_000_000

/**
 * Runs a scenario under all its schedules, or as many as the options say.
 *
 * @param scenario a function that is given the modules and makes `{ threads, check }` anew for each schedule; it must
 *   stand by itself, because its source is what is run. Or the URL of a module whose default export is that function
 * @returns how many schedules there were
 * @throws ExploreError for the first schedule that fails, in its shortest form; TypeError, RangeError for options that
 *   cannot be; UnsupportedCode for code that cannot be explored
 */
export async function explore(
  scenario: ((modules: Modules) => Scenario | Promise<Scenario>) | URL,
  options: ExploreOptions = {},
): Promise<ExploreReport> {
  return exploreBy(strategyOf(options), scenario, options)
}

/** The same by a strategy, whatever the options say of it. */
export async function exploreBy(
  strategy: Strategy,
  scenario: ((modules: Modules) => Scenario | Promise<Scenario>) | URL,
  options: ExploreOptions,
): Promise<ExploreReport> {
  checkOptions(options)
  return new Explorer(await loadScenario(scenario, options), options).run(strategy)
}

const isExpression = (source: string): boolean => {
  try {
    parse(`(${source})`, { ecmaVersion: 'latest', sourceType: 'module' })
    return true
  } catch {
    return false
  }
}

/**
 * A function as an expression; a method's source stands by itself within an object only.
 * @throws UnsupportedCode for functions without a source
 */
function sourceOf(scenario: object): string {
  const source = Function.prototype.toString.call(scenario)
  for (const candidate of [source, `Object.values({ ${source} })[0]`]) {
    if (isExpression(candidate)) return `(${candidate})`
  }
  throw new UnsupportedCode(
    'the scenario has no source, as a bound function has none: give the function itself',
  )
}

/** Whole numbers, and the least that each may be. */
const LEAST: Readonly<Partial<Record<keyof ExploreOptions, number>>> = {
  preemptions: 0,
  schedules: 1,
  depth: 1,
  steps: 1,
  timeouts: 0,
  spins: 1,
  rounds: 1,
}
const OTHERS: readonly string[] = ['modules', 'strategy', 'seed', 'races', 'replay']

/** @throws RangeError, TypeError */
function checkOptions(options: ExploreOptions): void {
  for (const [name, value] of Object.entries(options)) {
    const least = LEAST[name as keyof ExploreOptions]
    if (least === undefined && !OTHERS.includes(name)) {
      throw Object.assign(new TypeError(`options.${name}: there is no such option`), {
        code: 'ERR_INVALID_ARG_VALUE',
      })
    }
    if (least === undefined || value === undefined) continue
    if (Number.isInteger(value) && value >= least) continue
    throw Object.assign(
      new RangeError(`options.${name} must be a whole number from ${least}, not ${value}`),
      {
        code: 'ERR_OUT_OF_RANGE',
      },
    )
  }
}

async function loadScenario(scenario: unknown, options: ExploreOptions): Promise<Loader> {
  const base = pathToFileURL(`${process.cwd()}/scenario.js`).href
  if (scenario instanceof URL) return loadModules({ url: scenario.href })
  if (typeof scenario !== 'function') {
    throw Object.assign(new TypeError('The "scenario" argument must be a function or the URL of a module'), {
      code: 'ERR_INVALID_ARG_TYPE',
    })
  }
  const names = Object.entries(options.modules ?? {})
  const imports = names.map(
    ([name, where], at) =>
      `import * as module${at} from ${JSON.stringify(String(where))}\nconst named${at} = [${JSON.stringify(name)}, module${at}]`,
  )
  const list = names.map((_, at) => `named${at}`).join(', ')
  const source = `${imports.join('\n')}\nconst scenario = ${sourceOf(scenario)}\nexport default () => scenario(Object.fromEntries([${list}]))`
  return loadModules({ url: base, source })
}

function strategyOf(options: ExploreOptions): Strategy {
  const { strategy = 'exhaustive', seed = 1, schedules = DEFAULT_SCHEDULES } = options
  if (options.replay !== undefined) return new ReplayStrategy(options.replay)
  switch (strategy) {
    case 'exhaustive':
      return options.preemptions === undefined
        ? new PartialOrderStrategy()
        : new BoundedStrategy(options.preemptions)
    case 'pct':
      return new PctStrategy(seed, schedules, options.depth ?? 3)
    case 'random':
      return new RandomStrategy(seed, schedules)
    default:
      throw Object.assign(new TypeError(`options.strategy must be 'exhaustive', 'pct' or 'random'`), {
        code: 'ERR_INVALID_ARG_VALUE',
      })
  }
}

class Explorer {
  readonly #limits: RunLimits
  readonly #options: ExploreOptions
  readonly #setUp: () => unknown
  #active: Run

  constructor(loader: Loader, options: ExploreOptions) {
    this.#options = options
    this.#limits = {
      steps: options.steps ?? DEFAULT_STEPS,
      timeouts: options.timeouts ?? 1,
      spins: options.spins ?? 3,
      rounds: options.rounds ?? 6,
      races: options.races ?? true,
    }
    this.#active = new Run(this.#limits)
    const exports = loader.load(runtimeOf(() => this.#active))
    this.#setUp = exports['default'] as () => unknown
  }

  async run(strategy: Strategy): Promise<ExploreReport> {
    const start = performance.now()
    const most = this.#options.schedules ?? Number.POSITIVE_INFINITY
    let schedules = 0
    let pruned = 0
    let steps = 0
    let complete = strategy.exhaustive
    while (strategy.begin()) {
      if (schedules >= most) {
        complete = false
        break
      }
      schedules += 1
      const { run, cut, failure } = this.#once(strategy)
      pruned += Number(cut)
      steps += run.steps.length
      // Where there was no switch there may be orders that were not seen.
      if (run.glued !== undefined) complete = false
      if (run.glued !== undefined && strategy instanceof PartialOrderStrategy) {
        throw new UnsupportedCode(
          `an atomic operation where there can be no switch (a constructor, a callback of a built-in function): ${run.glued}; explore it with preemptions: n`,
        )
      }
      if (failure !== undefined) {
        const shortest = this.#options.replay === undefined ? this.#shorten(failure) : failure
        throw new ExploreError(shortest, run.threadCount, schedules)
      }
      // Others on this event loop have their turn now and then.
      if (schedules % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    return { schedules, pruned, steps, complete, duration: performance.now() - start }
  }

  #once(strategy: Strategy): {
    readonly run: Run
    readonly cut: boolean
    readonly failure: FoundFailure | undefined
  } {
    const run = new Run(this.#limits)
    this.#active = run
    run.start(this.#setUp)
    const choices: (readonly number[])[] = []
    let previous = -1
    let cut = false
    for (let enabled = run.enabled(); enabled.length > 0; enabled = run.enabled()) {
      const thread = strategy.choose(enabled, previous, run)
      if (thread < 0) {
        cut = true
        break
      }
      choices.push(enabled)
      run.step(thread)
      strategy.stepped?.(thread, run)
      previous = thread
    }
    if (!cut) run.finish()
    strategy.end?.(run)
    const { failure, steps } = run
    return {
      run,
      cut,
      failure: failure && {
        ...failure,
        schedule: scheduleOf(steps),
        steps,
        preemptions: countPreemptions(steps, choices),
      },
    }
  }

  /** The same kind of failure with as few preemptions as there can be, and of those with the fewest steps. */
  #shorten(found: FoundFailure): FoundFailure {
    let shortest = found
    let left = SHORTENING
    let steps = SHORTENING_STEPS
    for (let bound = 0; bound <= found.preemptions && left > 0 && steps > 0; bound += 1) {
      const strategy = new BoundedStrategy(bound)
      while (left > 0 && steps > 0 && strategy.begin()) {
        left -= 1
        const { failure, run } = this.#once(strategy)
        steps -= run.steps.length
        if (failure?.kind !== found.kind) continue
        const shorter =
          failure.preemptions < shortest.preemptions ||
          (failure.preemptions === shortest.preemptions && failure.steps.length < shortest.steps.length)
        if (shorter) shortest = failure
      }
      if (shortest.preemptions <= bound) break
    }
    return shortest
  }
}
