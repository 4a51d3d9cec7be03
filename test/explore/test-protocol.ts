/**
 * khelper's own protocols under all their schedules; and what the explorer says of the same code with one line changed.
 */
import assert from 'node:assert/strict'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ExploreError, type ExploreOptions, explore } from '../../src/explore/index.js'
import { temporary } from '../helpers/temporary.js'
import type { Mutant, Protocol, ProtocolScenario } from './protocols.js'

const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url))
/** How many schedules of a mutant's scenario are looked at. */
const MUTANT_SCHEDULES = 50_000

const MUTANT_PREEMPTIONS = 2
/** Some have a hundred thousand schedules. */
const HANGS_MS = 900_000

/** Bounds the preemptions of every scenario; none: all schedules, or what a scenario itself is bounded to. */
const PREEMPTIONS = Number(process.env['KHELPER_EXPLORE_PREEMPTIONS'] ?? Number.POSITIVE_INFINITY)

function bounded({ options }: ProtocolScenario, most: number): ExploreOptions {
  const preemptions = Math.min(options?.preemptions ?? Number.POSITIVE_INFINITY, most)
  return Number.isFinite(preemptions) ? { ...options, preemptions } : { ...options }
}

const modulesOf = (protocol: Protocol, folder: string): Record<string, string | URL> =>
  Object.fromEntries(
    Object.entries(protocol.modules).map(([name, file]) => [
      name,
      typeof file === 'string' ? pathToFileURL(join(folder, file)) : file,
    ]),
  )

/** A copy of the compiled sources with one change. */
function mutated({ file, from, to }: Mutant, number: number): string {
  const folder = temporary(`mutant-${number}`)
  for (const part of ['atomics-sync', 'kernel', 'libc', 'chunks']) {
    cpSync(join(SOURCES, part), join(folder, part), { recursive: true })
  }
  const path = join(folder, file)
  const text = readFileSync(path, 'utf8')
  assert.equal(text.split(from).length, 2, `the line to be changed is there once: ${from}`)
  writeFileSync(
    path,
    text.replace(from, () => to),
  )
  return folder
}

async function failureOf(
  protocol: Protocol,
  scenario: ProtocolScenario,
  folder: string,
): Promise<ExploreError | undefined> {
  try {
    await explore(scenario.scenario, {
      ...(scenario.large ? bounded(scenario, MUTANT_PREEMPTIONS) : scenario.options),
      modules: modulesOf(protocol, folder),
      schedules: MUTANT_SCHEDULES,
    })
    return undefined
  } catch (error) {
    if (!(error instanceof ExploreError)) throw error
    return error
  }
}

let number = 0

/** The tests of a protocol; each has a file of its own, because they take their time. */
export function testProtocol(protocol: Protocol): void {
  testSchedules(protocol)
  testMutants(protocol)
}

export function testSchedules(protocol: Protocol): void {
  describe(`${protocol.name}: every schedule comes to a good end`, () => {
    for (const scenario of protocol.scenarios) {
      test(scenario.name, { timeout: HANGS_MS }, async context => {
        const options = bounded(scenario, PREEMPTIONS)
        const report = await explore(scenario.scenario, { ...options, modules: modulesOf(protocol, SOURCES) })
        assert.ok(report.complete)
        assert.ok(report.schedules > 1)
        const bound = options.preemptions === undefined ? 'all' : `up to ${options.preemptions} preemptions`
        const perMinute = Math.round((report.schedules / report.duration) * 60_000)
        context.diagnostic(
          `${report.schedules} schedules (${bound}), ${report.steps} steps, ${perMinute} schedules a minute`,
        )
      })
    }
  })
}

export function testMutants(protocol: Protocol): void {
  const skip = PREEMPTIONS < MUTANT_PREEMPTIONS && 'needs more preemptions'
  describe(`${protocol.name}: every mutant is found`, { skip }, () => {
    for (const mutant of protocol.mutants) {
      number += 1
      const own = number
      test(mutant.name, async context => {
        const folder = mutated(mutant, own)
        for (const scenario of protocol.scenarios) {
          const failure = await failureOf(protocol, scenario, folder)
          if (failure === undefined) continue
          context.diagnostic(
            `${failure.kind} in schedule ${failure.schedules}, ${failure.preemptions} preemptions`,
          )
          return
        }
        assert.fail('the mutant survives')
      })
    }
  })
}
