/**
 * A process that measures itself, and prints one number: probe.js WHAT. Started with --expose-gc.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'

/** Generous: what a collection leaves is unmapped by other threads. */
const SETTLE_MS = 200
const KILOBYTE = 2 ** 10
const MEGABYTE = 2 ** 20
const QUEUED = 100_000
/** So many are in the queue before those that are measured: by then the engine has grown its heap's young space. */
const QUEUED_BEFORE = 25_000
const TRUE = '/bin/true'

/** After a full collection; the engine gives pages back a moment after it. */
async function rss(): Promise<number> {
  globalThis.gc?.()
  await setTimeout(SETTLE_MS)
  return process.memoryUsage.rss() / MEGABYTE
}

/** Only what is measured is loaded: a probe of bare Node must not hold khelper. */
const khelper = () => import('../../src/index.js')

async function afterBoot(khelpers?: number): Promise<number> {
  const { boot } = await khelper()
  const kernel = boot(khelpers === undefined ? {} : { khelpers })
  await kernel.ready
  await kernel.run(TRUE)
  return await rss()
}

const PROBES: Readonly<Record<string, () => Promise<number>>> = {
  'bare-rss': rss,
  'idle-rss': () => afterBoot(),
  'rss-1-khelper': () => afterBoot(1),
  'rss-9-khelpers': () => afterBoot(9),
  /** KiB for each call that waits in the queue, its arguments and its promise included. */
  'queued-call': async () => {
    const { boot, UMH_WAIT_PROC } = await khelper()
    const { NOOP_ENVP } = await import('../../src/cli/bench/noop.js')
    const kernel = boot({ khelpers: 1, descriptors: 2 ** 17 })
    await kernel.ready
    // One helper holds the only khelper, so that all others wait.
    const busy = kernel.callUsermodehelper(
      new URL('./waiting-helper.js', import.meta.url).href,
      [],
      [],
      UMH_WAIT_PROC,
    )
    const calls = [busy]
    const queue = (count: number): void => {
      for (let call = 0; call < count; call += 1) {
        calls.push(kernel.callUsermodehelper(TRUE, ['true', String(call)], NOOP_ENVP, UMH_WAIT_PROC))
      }
    }
    queue(QUEUED_BEFORE)
    const before = await rss()
    queue(QUEUED)
    return (((await rss()) - before) * KILOBYTE) / QUEUED
  },
  /** Milliseconds from boot() to the first helper's exit. */
  'first-helper': async () => {
    const { boot } = await khelper()
    const start = performance.now()
    await boot().run(TRUE)
    return performance.now() - start
  },
  'first-child': async () => {
    const start = performance.now()
    await once(spawn(TRUE, { stdio: 'ignore' }), 'exit')
    return performance.now() - start
  },
  import: async () => {
    const start = performance.now()
    await khelper()
    return performance.now() - start
  },
}

const [what = ''] = process.argv.slice(2)
const probe = PROBES[what]
if (probe === undefined) throw new Error(`no probe is named ${what}`)
process.stdout.write(String(await probe()), () => process.exit(0))
