/**
 * `khelper stress`: everything that khelper does, at once, for as long as one likes, while things go wrong; and
 * whether each call ended exactly once and everything came back.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { type BootOptions, boot, type Kernel } from '../../index.js'
import { shellExitCode } from '../exit-codes.js'
import { UsageError } from '../usage-error.js'
import { LONGEST_MS, type StressContext } from './context.js'
import { FAULTS } from './faults/index.js'
import { Fixtures } from './fixtures.js'
import { FullDisk } from './full-disk.js'
import { Interruption } from './interruption.js'
import { Ledger } from './ledger.js'
import { OPERATIONS } from './operations/index.js'
import { type Kind, plan, selected } from './plan.js'
import { StressProgress } from './progress.js'
import { failed, megabytes, reportText, type StressReport } from './report.js'
import { held, leaked, newFds, resources, settled } from './resources.js'
import { Runner } from './runner.js'
import { slotStates } from './slot-states.js'
import { Soak } from './soak.js'
import { sampleLine } from './soak-table.js'
import { StressThreads } from './threads.js'
import { Watchdog } from './watchdog.js'
import { Weather } from './weather.js'

export interface StressOptions {
  /** Milliseconds. */
  readonly seconds?: number
  readonly count?: number
  readonly seed?: number
  readonly json?: true
  readonly only?: readonly string[]
  readonly skip?: readonly string[]
  readonly launcher: NonNullable<BootOptions['launcher']>
  readonly khelpers?: number
  readonly inFlight: number
  readonly soak?: true
}

const DEFAULT_MS = 60_000
const SOAK_MS = 1_800_000
/** Threads that block and make blocking calls. */
const THREADS = 3
/** Makes running out of memory a matter of some hundred milliseconds. */
const HEAP_MEGABYTES = 48
const LOOK_MS = 500
/** Threads of libuv's pool. */
const POOL = 4

/** @returns the exit code */
export async function stress(options: StressOptions): Promise<number> {
  const operations = kinds(OPERATIONS, options)
  const faults = kinds(FAULTS, options)
  if (operations.length + faults.length === 0) {
    throw new UsageError('--only and --skip leave nothing to do; khelper stress --help lists what there is')
  }
  const seed = options.seed ?? Math.floor(performance.timeOrigin + performance.now()) % 2 ** 32
  using interruption = new Interruption()
  if (!options.json) console.log(`seed ${seed}`)
  const stressed = new Stress(options, seed, interruption)
  const report = await stressed.run(operations, faults)
  console.log(options.json ? JSON.stringify(report, null, 2) : `\n${reportText(report)}`)
  if (failed(report)) return 1
  return interruption.by === undefined ? 0 : shellExitCode({ exitCode: null, signalCode: interruption.by })
}

function kinds<Some extends Kind>(all: readonly Some[], { only, skip = [] }: StressOptions): Some[] {
  const known = [...OPERATIONS, ...FAULTS]
  for (const name of [...(only ?? []), ...skip]) {
    if (selected(known, [name], []).length > 0) continue
    throw new UsageError(`no operation and no fault is called ${name}; khelper stress --help lists them`)
  }
  return selected(all, only, skip)
}

/** The same plan once more. */
function replay(
  { only, skip, launcher, khelpers, inFlight, soak }: StressOptions,
  seed: number,
  steps: number,
): string {
  return [
    `khelper stress --seed ${seed} --count ${steps} --in-flight ${inFlight}`,
    ...(only === undefined ? [] : [`--only ${only}`]),
    ...(skip === undefined ? [] : [`--skip ${skip}`]),
    ...(launcher === 'auto' ? [] : [`--launcher ${launcher}`]),
    ...(khelpers === undefined ? [] : [`--khelpers ${khelpers}`]),
    ...(soak ? ['--soak'] : []),
  ].join(' ')
}

class Stress {
  readonly #options: StressOptions
  readonly #seed: number
  readonly #interruption: Interruption
  readonly #ledger = new Ledger()
  /** When all threads had come up. */
  #began = 0
  #hang: readonly string[] = []

  constructor(options: StressOptions, seed: number, interruption: Interruption) {
    this.#options = options
    this.#seed = seed
    this.#interruption = interruption
  }

  async run(
    operations: readonly (typeof OPERATIONS)[number][],
    faults: readonly (typeof FAULTS)[number][],
  ): Promise<StressReport> {
    const { launcher, khelpers, inFlight, json } = this.#options
    await warmUp()
    const before = resources()
    const ledger = this.#ledger
    const stray = (error: unknown) =>
      ledger.wrong('process', -1, `nobody caught ${(error as Error)?.stack ?? error}`)
    process.on('uncaughtException', stray).on('unhandledRejection', stray)
    const files = new Fixtures()
    const kernel = boot({
      khelpers: khelpers ?? availableParallelism(),
      launcher,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
    })
    const threads = new StressThreads(kernel, THREADS, what => ledger.wrong('thread', -1, what))
    const fullDisk = await FullDisk.mount(files.mountPoint)
    const context: StressContext = { kernel, ledger, threads, files, fullDisk, weather: new Weather() }
    const again = (steps: number) => replay(this.#options, this.#seed, steps)
    const watchdog = new Watchdog(kernel.handle.memory, LONGEST_MS, again(this.#options.count ?? 2 ** 31))
    await Promise.all([kernel.ready, threads.ready()])
    this.#began = performance.now()
    const runner = new Runner(context, operations, faults, inFlight)
    const soak = this.#soak(kernel)
    const progress = new StressProgress(process.stderr.isTTY === true && json !== true)
    const look = setInterval(() => this.#look(kernel, runner, progress), LOOK_MS)
    const wholePlan = plan(this.#seed, operations, faults)
    const over = () =>
      this.#share(runner.steps) >= 1 || this.#hang.length > 0 || this.#interruption.by !== undefined
    await Promise.race([runner.run(wholePlan, over), this.#hung()])
    const seconds = (performance.now() - this.#began) / 1000
    soak?.stop()
    const leaks = this.#hang.length > 0 ? [] : await settled(() => held(kernel.stats()), LONGEST_MS)
    clearInterval(look)
    progress.stop()
    await watchdog.stop()
    if (this.#hang.length === 0 && leaks.length === 0) {
      await threads.stop()
      await kernel.shutdown()
      await fullDisk?.unmount()
      leaks.push(...files.left().map(path => `the temporary file ${path}`))
      leaks.push(...(await settled(() => leaked(before, resources()), LONGEST_MS)))
    } else if (this.#hang.length === 0) this.#hang = slotStates(kernel.handle.memory)
    ledger.close()
    files.remove()
    process.off('uncaughtException', stray).off('unhandledRejection', stray)
    return {
      seed: this.#seed,
      replay: again(runner.steps),
      ...(this.#interruption.by && { interruptedBy: this.#interruption.by }),
      launcher: kernel.launcher.name,
      seconds: Math.round(seconds * 10) / 10,
      steps: runner.steps,
      calls: ledger.calls,
      callsPerSecond: Math.round(ledger.calls / seconds),
      operations: sorted(runner.operations),
      results: ledger.results,
      faults: sorted(runner.faults),
      problems: ledger.problems,
      problemCount: ledger.problemCount,
      leaks,
      leftByNode: newFds(before, resources()).nodes,
      hang: this.#hang,
      rss: { before: megabytes(before.rss), after: megabytes(resources().rss) },
      ...(soak && { soak: soak.report() }),
    }
  }

  #soak(kernel: Kernel): Soak | undefined {
    if (!this.#options.soak) return undefined
    const toStdout = !this.#options.json
    return new Soak(
      kernel,
      () => this.#ledger.calls,
      sample => (toStdout ? console.log : console.error)(sampleLine(sample)),
    )
  }

  /** How much of the whole is done. */
  #share(steps: number): number {
    const { count, seconds, soak } = this.#options
    if (count !== undefined) return steps / count
    return (performance.now() - this.#began) / (seconds ?? (soak ? SOAK_MS : DEFAULT_MS))
  }

  #look(kernel: Kernel, runner: Runner, progress: StressProgress): void {
    const { calls, problemCount } = this.#ledger
    progress.update(this.#share(runner.steps), {
      calls,
      faults: [...runner.faults.values()].reduce((sum, { injected }) => sum + injected, 0),
      problems: problemCount,
      rate: (1000 * calls) / (performance.now() - this.#began),
    })
    const overdue = this.#ledger.overdue(LONGEST_MS)
    if (overdue.length === 0 || this.#hang.length > 0) return
    const entries = overdue.map(({ kind, step, missing }) => `step ${step}, ${kind}: ${missing}`)
    this.#hang = [...entries, ...slotStates(kernel.handle.memory)]
    this.#reportHang()
  }

  #reportHang: () => void = () => {}

  /** Resolves when something hangs. */
  #hung(): Promise<void> {
    return new Promise(resolve => {
      this.#reportHang = resolve
    })
  }
}

/** What Node opens once and keeps (libuv's reserve for EMFILE, say), so that it is not taken for a leak. */
async function warmUp(): Promise<void> {
  await once(spawn('/bin/true'), 'close')
  await Promise.all(Array.from({ length: POOL }, () => stat('/')))
}

const sorted = <Value>(map: ReadonlyMap<string, Value>): Record<string, Value> =>
  Object.fromEntries([...map].sort(([one], [other]) => (one < other ? -1 : 1)))
