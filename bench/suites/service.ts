/**
 * A service that runs a program for each request, under load.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import { median } from 'simple-statistics'
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { CHILD_PROCESS } from '../../src/cli/bench/launchers.js'
import { summary } from '../../src/cli/bench/measure.js'
import type { Suite } from '../suite.js'

const SERVER = fileURLToPath(new URL('../probes/server.js', import.meta.url))
const MEGABYTES = { full: 1024, quick: 128 }
const ROUNDS = { full: 3, quick: 1 }
const SECONDS = { full: 4, quick: 1 }
const CONNECTIONS = 16

interface Load {
  readonly rate: number
  readonly latencies: readonly number[]
}

async function load(port: number, seconds: number): Promise<Load> {
  const { requests, latency, non2xx, errors } = await autocannon({
    url: `http://127.0.0.1:${port}/`,
    connections: CONNECTIONS,
    duration: seconds,
  })
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests failed`)
  return {
    rate: requests.total / seconds,
    latencies: [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max],
  }
}

export const suite: Suite = {
  title: 'service',
  async run({ quick, add }) {
    const size = quick ? 'quick' : 'full'
    const megabytes = MEGABYTES[size]
    const contenders = []
    for (const name of [SUBJECT, CHILD_PROCESS]) {
      const server = fork(SERVER, [name, String(megabytes)])
      const [port] = (await once(server, 'message')) as [number]
      contenders.push({ name, server, port, loads: [] as Load[] })
    }
    for (let round = 0; round < ROUNDS[size]; round += 1) {
      for (const { port, loads } of contenders) loads.push(await load(port, SECONDS[size]))
    }
    for (const { server } of contenders) server.disconnect()
    const title = `An HTTP server of ${megabytes} MB that runs /bin/echo for each request, ${CONNECTIONS} connections`
    add({
      kind: 'comparison',
      suite: 'service',
      id: 'service/rate',
      title,
      unit: '/s',
      better: 'more',
      rows: contenders.map(({ name, loads }) =>
        summary(
          name,
          loads.map(({ rate }) => rate),
        ),
      ),
    })
    add({
      kind: 'distribution',
      suite: 'service',
      id: 'service/latency',
      title: `${title}: latency of a request`,
      unit: 'ms',
      lines: contenders.map(({ name, loads }) => ({
        name,
        values: (loads[0]?.latencies ?? []).map((_, index) =>
          median(loads.map(({ latencies }) => latencies[index] ?? 0)),
        ),
      })),
    })
  },
}
