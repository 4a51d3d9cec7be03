/**
 * `kernel.run`: input, captured output, streams, and everything that ends a helper early.
 */
import { Keyring } from '../../../index.js'
import type { Operation } from '../context.js'
import type { Random } from '../random.js'
import { runCall } from '../run-call.js'

const EARLY_MS = 2
const SLEEP = ['/bin/sleep', ['60']] as const
const LONGEST_DELAY_MS = 15

const text = (random: Random, most: number): string =>
  random
    .next()
    .toString(36)
    .repeat(random.below(most / 6) + 1)

export const output: Operation = {
  name: 'run/output',
  weight: 8,
  run: (context, random, step) => {
    const word = text(random, 2_000)
    const status = random.below(4)
    return runCall(context, {
      name: output.name,
      step,
      file: 'sh',
      args: ['-c', 'echo "$0"; echo "$0" >&2; exit $1', word, String(status)],
      results: [`exit ${status}`],
      judge: ({ stdout, stderr }) =>
        stdout === `${word}\n` && stderr === stdout ? undefined : `its output was ${stdout.slice(0, 100)}`,
    })
  },
}

export const input: Operation = {
  name: 'run/input',
  weight: 6,
  run: (context, random, step) => {
    const given = text(random, random.once(10) ? 600_000 : 3_000)
    return runCall(context, {
      name: input.name,
      step,
      file: '/bin/cat',
      args: [],
      options: { input: given },
      results: ['exit 0'],
      judge: ({ stdout }) =>
        stdout === given ? undefined : `${given.length} bytes in, ${stdout.length} bytes out`,
    })
  },
}

export const streams: Operation = {
  name: 'run/streams',
  weight: 4,
  run: (context, random, step) => {
    const given = text(random, 100_000)
    let read = ''
    let closed: Promise<unknown> = Promise.resolve()
    return runCall(context, {
      name: streams.name,
      step,
      file: '/bin/cat',
      args: [],
      options: { stdin: 'pipe', stdout: 'pipe' },
      results: ['exit 0'],
      meanwhile: helper => {
        const { stdin, stdout } = helper
        stdin?.on('error', () => {})
        stdout?.on('error', () => {}).setEncoding('utf8')
        stdout?.on('data', chunk => {
          read += chunk
        })
        if (stdout !== null) closed = new Promise(resolve => stdout.once('close', resolve))
        stdin?.end(given)
      },
    })
      .then(() => closed)
      .then(() => {
        if (!given.startsWith(read))
          context.ledger.wrong(streams.name, step, 'something else came out than went in')
      })
  },
}

export const timeout: Operation = {
  name: 'run/timeout',
  weight: 4,
  run: (context, random, step) => {
    const ms = random.below(LONGEST_DELAY_MS)
    const [file, args] = SLEEP
    return runCall(context, {
      name: timeout.name,
      step,
      file,
      args,
      options: { timeout: ms },
      results: ['timed out'],
      judge: ({ duration, signalCode, retval }) => {
        // Its exec failed, for whatever reason there was.
        if (retval < 0) return undefined
        if (signalCode !== 'SIGTERM' && signalCode !== 'SIGKILL')
          return `timed out, and ended by ${signalCode}`
        return duration < ms - EARLY_MS ? `timed out after ${duration} ms instead of ${ms}` : undefined
      },
    })
  },
}

export const abort: Operation = {
  name: 'run/abort',
  weight: 4,
  run: (context, random, step) => {
    const controller = new AbortController()
    if (random.once(10)) controller.abort()
    else setTimeout(() => controller.abort(), random.below(LONGEST_DELAY_MS))
    const [file, args] = SLEEP
    return runCall(context, {
      name: abort.name,
      step,
      file,
      args,
      options: { signal: controller.signal },
      results: ['aborted'],
    })
  },
}

export const maxOutput: Operation = {
  name: 'run/max-output',
  weight: 2,
  run: (context, random, step) => {
    const most = random.between(1, 20_000)
    const moment = context.weather.now
    return runCall(context, {
      name: maxOutput.name,
      step,
      file: 'sh',
      args: ['-c', 'while :; do echo much; done'],
      options: { maxOutput: most },
      results: ['truncated'],
      judge: ({ stdout }) => {
        // Without a descriptor for it there is no file for the output.
        const whole = stdout.length === most || context.weather.since(moment, 'fds')
        return whole ? undefined : `${stdout.length} bytes kept of ${most}`
      },
    })
  },
}

export const kill: Operation = {
  name: 'run/kill',
  weight: 4,
  run: (context, random, step) => {
    const signal = random.pick(['SIGTERM', 'SIGINT', 'SIGKILL', 'SIGUSR1'])
    const [file, args] = SLEEP
    const early = random.once(3)
    const delay = random.below(LONGEST_DELAY_MS)
    return runCall(context, {
      name: kill.name,
      step,
      file,
      args,
      results: [signal],
      meanwhile: helper => {
        if (early) helper.kill(signal)
        else setTimeout(() => helper.kill(signal), delay)
      },
    })
  },
}

/** A helper that has a child in a session of its own: both end, and the pipe that both hold is closed. */
export const killTree: Operation = {
  name: 'run/kill-tree',
  weight: 2,
  run: (context, random, step) => {
    const signal = random.pick(['SIGTERM', 'SIGKILL'])
    const delay = random.below(20)
    return runCall(context, {
      name: killTree.name,
      step,
      file: 'sh',
      args: ['-c', 'setsid sleep 60 & sleep 60'],
      results: ['SIGTERM', 'SIGKILL'],
      meanwhile: helper => {
        setTimeout(() => helper.kill({ signal, tree: true }), delay)
      },
    })
  },
}

export const file: Operation = {
  name: 'run/file',
  weight: 2,
  run: (context, random, step) =>
    runCall(context, {
      name: file.name,
      step,
      file: 'sh',
      args: ['-c', 'echo x; cat'],
      options: {
        stdin: { file: context.files.plain },
        stdout: { file: context.files.shared, append: random.once(2) },
      },
      results: ['exit 0'],
    }),
}

export const runKeys: Operation = {
  name: 'run/keys',
  weight: 2,
  run: (context, random, step) => {
    const secret = text(random, 5_000)
    return runCall(context, {
      name: runKeys.name,
      step,
      file: 'sh',
      args: ['-c', 'cat "$CREDENTIALS_DIRECTORY/key"'],
      options: { keys: new Keyring({ key: secret }) },
      results: ['exit 0'],
      judge: ({ stdout }) => (stdout === secret ? undefined : 'its secret was another'),
    })
  },
}
