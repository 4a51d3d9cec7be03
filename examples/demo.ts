/**
 * `npm start`: the article's demonstration in its three wait modes, and then what khelper is for: a service
 * that holds a gigabyte launches the same programs with node:child_process and with khelper.
 */
import { spawn } from 'node:child_process'
import { freemem } from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import { boot, type Kernel, UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC } from 'khelper'

const PROGRAM = '/bin/true'
const LAUNCHES = 300
const BATCH = 20
const IN_FLIGHT = 8
const GIGABYTE = 2 ** 30
const BALLAST_PART = 2 ** 26
const NANOSECONDS_PER_MS = 1e6

await using kernel = boot()
await demonstrateWaits(kernel)
await compare(kernel)

async function demonstrateWaits(kernel: Kernel): Promise<void> {
  const argv = ['/usr/bin/logger', 'help!']
  const envp = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']
  console.log(`\n${argv.join(' ')}   (launcher: ${kernel.launcher.name})\n`)
  const waits = { UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC }
  for (const [name, wait] of Object.entries(waits)) {
    const start = performance.now()
    const retval = await kernel.callUsermodehelper('/usr/bin/logger', argv, envp, wait)
    const took = (performance.now() - start).toFixed(2).padStart(6)
    console.log(`  ${name.padEnd(13)} → ${retval}   after ${took} ms`)
  }
}

/** One way to launch programs, and how it has done so far. */
interface Contender {
  readonly name: string
  readonly launch: () => Promise<unknown>
  readonly delay: IntervalHistogram
  launched: number
  elapsed: number
  worstStall: number
}

async function compare(kernel: Kernel): Promise<void> {
  const ballast = holdMemory(Math.min(GIGABYTE, freemem() / 4))
  const held = (process.memoryUsage.rss() / GIGABYTE).toFixed(1)
  console.log(`\nA service of ${held} GB launches ${LAUNCHES} × ${PROGRAM}, ${IN_FLIGHT} in flight:\n`)
  const contenders = [
    contender('child_process', () => new Promise(resolve => spawn(PROGRAM).once('close', resolve))),
    contender('khelper', () => kernel.run(PROGRAM)),
  ]
  const bars = new MultiBar(
    {
      format: '  {name} {bar} {value}/{total}   {rate} launches/s   worst stall of the event loop {stall} ms',
      barsize: 24,
      hideCursor: true,
      noTTYOutput: true,
      notTTYSchedule: 5_000,
    },
    Presets.rect,
  )
  const shown = contenders.map(({ name }) =>
    bars.create(LAUNCHES, 0, { name: name.padEnd(13), rate: '   –', stall: '  –' }),
  )
  // Turn by turn, so that both meet the same machine.
  for (let launched = 0; launched < LAUNCHES; launched += BATCH) {
    for (const [index, contender] of contenders.entries()) {
      await launchBatch(contender)
      show(contender, shown[index])
    }
  }
  bars.stop()
  conclude(contenders)
  ballast.length = 0
}

function contender(name: string, launch: () => Promise<unknown>): Contender {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  return { name, launch, delay, launched: 0, elapsed: 0, worstStall: 0 }
}

async function launchBatch(contender: Contender): Promise<void> {
  const start = performance.now()
  let left = BATCH
  contender.delay.reset()
  contender.delay.enable()
  const launchNext = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await contender.launch()
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, launchNext))
  contender.delay.disable()
  contender.launched += BATCH
  contender.elapsed += performance.now() - start
  contender.worstStall = Math.max(contender.worstStall, contender.delay.max / NANOSECONDS_PER_MS)
}

/** Launches in a second. */
function rate({ launched, elapsed }: Contender): number {
  return launched / (elapsed / 1000)
}

function show(contender: Contender, bar: SingleBar | undefined): void {
  bar?.update(contender.launched, {
    rate: rate(contender).toFixed(0).padStart(4),
    stall: contender.worstStall.toFixed(0).padStart(3),
  })
}

function conclude([before, after]: readonly Contender[]): void {
  if (before === undefined || after === undefined) return
  console.log(
    `\n${after.name} launched ${(rate(after) / rate(before)).toFixed(0)} × as fast, and its worst stall was ` +
      `${after.worstStall.toFixed(1)} ms instead of ${before.worstStall.toFixed(1)} ms.\n`,
  )
}

/** Memory that is really there, as a service's caches are. */
function holdMemory(bytes: number): Buffer[] {
  const parts: Buffer[] = []
  for (let held = 0; held < bytes; held += BALLAST_PART) parts.push(Buffer.alloc(BALLAST_PART, 1))
  return parts
}
