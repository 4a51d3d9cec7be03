/**
 * npm run bench [-- [suites…] [options]]: where khelper stands against its peers and against the machine.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Argument, Command } from 'commander'
import { megabytes } from '../src/cli/bench/command.js'
import type { Figure } from '../src/cli/bench/figures.js'
import { machine } from '../src/cli/bench/machine.js'
import { table } from '../src/cli/bench/table.js'
import { compareReports } from './compare.js'
import { reportPage } from './report/page.js'
import type { LeftOut, Report } from './report/report.js'
import type { SuiteMessage } from './suite.js'
import { SUITES } from './suites/index.js'
import { checkTargets, targetsTable } from './targets.js'

const SUITE_PROCESS = fileURLToPath(new URL('./suite-process.js', import.meta.url))
const SMALL = 50
const MEGABYTE = 2 ** 20
const MS_PER_SECOND = 1000
/** Beside what a suite's process holds, its children and the machine need some memory too. */
const ROOM = 1024

interface Options {
  readonly rss?: number
  readonly quick?: true
  readonly json?: string
  readonly report?: string
  readonly compare?: true
}

const program = new Command('bench')
  .description('Measures khelper beside its peers and beside the machine’s limit.')
  .addArgument(new Argument('[suites...]', `which suites: ${Object.keys(SUITES).join(', ')} (default: all)`))
  .option('--rss <megabytes>', 'memory that the service holds, where a suite asks for it', megabytes)
  .option('--quick', 'only to see that everything runs')
  .option('--json <file>', 'write the figures as JSON')
  .option('--report <file>', 'write a page with charts')
  .option('--compare', 'take the arguments as JSON files of several runs, and say whose ratios differ')
  .action(async (names: string[], options: Options) => {
    if (options.compare) compare(names)
    else await measure(names, options)
  })

function compare(files: readonly string[]): void {
  if (files.length < 2) program.error('bench: --compare takes two files or more')
  const { text, agree } = compareReports(files.map(file => JSON.parse(readFileSync(file, 'utf8')) as Report))
  console.log(text)
  if (!agree) process.exitCode = 1
}

async function measure(names: readonly string[], options: Options): Promise<void> {
  const unknown = names.find(name => !Object.hasOwn(SUITES, name))
  if (unknown !== undefined) {
    program.error(`bench: there is no suite ${unknown}; there are ${Object.keys(SUITES).join(', ')}`)
  }
  const figures: Figure[] = []
  const leftOut: LeftOut[] = []
  const runs = await planned(names.length > 0 ? names : Object.keys(SUITES), options)
  for (const [index, { name, size, title }] of runs.entries()) {
    const label = `[${index + 1}/${runs.length}] ${title}`
    if (freemem() / MEGABYTE < size + ROOM) {
      leftOut.push({ what: title, why: 'the machine has not enough free memory' })
      console.log(`${label}: left out`)
      continue
    }
    const start = performance.now()
    process.stdout.write(`${label} … `)
    const found: Figure[] = []
    await runSuite(name, size, options, found, leftOut)
    console.log(`${((performance.now() - start) / MS_PER_SECOND).toFixed(1)} s\n`)
    for (const figure of found) console.log(table(figure))
    figures.push(...found)
  }
  // Of a run that means nothing there is nothing to be judged.
  const targets = options.quick ? [] : checkTargets(figures)
  const report: Report = {
    machine: machine(),
    date: new Date().toISOString(),
    ...(options.quick && { quick: true }),
    figures,
    leftOut,
    targets,
  }
  for (const { what, why } of leftOut) console.log(`left out: ${what} (${why})`)
  if (targets.length > 0) console.log(`\n${targetsTable(targets)}`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
  if (options.report !== undefined) writeFileSync(options.report, reportPage(report))
}

interface Planned {
  readonly name: string
  readonly size: number
  readonly title: string
}

async function planned(names: readonly string[], { rss, quick }: Options): Promise<Planned[]> {
  const runs: Planned[] = []
  for (const name of names) {
    const suite = (await SUITES[name]?.())?.suite
    if (suite === undefined) continue
    const { title, sizes } = suite
    if (sizes === undefined) runs.push({ name, size: SMALL, title })
    else {
      for (const size of rss === undefined ? sizes[quick ? 'quick' : 'full'] : [rss]) {
        runs.push({ name, size, title: `${title}, service of ${size} MB` })
      }
    }
  }
  return runs
}

async function runSuite(
  name: string,
  size: number,
  { quick }: Options,
  figures: Figure[],
  leftOut: LeftOut[],
): Promise<void> {
  const suite = fork(SUITE_PROCESS, [name, String(size), ...(quick ? ['quick'] : [])])
  suite.on('message', (message: SuiteMessage) => {
    if (message.type === 'figure') figures.push(message.figure)
    else if (!leftOut.some(({ what }) => what === message.what)) leftOut.push(message)
  })
  const [status, signal] = await once(suite, 'exit')
  if (status !== 0) {
    program.error(`bench: suite ${name} ended with ${signal ?? status}; what it printed stands above`)
  }
}

await program.parseAsync()
