/**
 * The kernel's own functions: each wait mode, from this thread and blocking from others; calls that are set up and never
 * executed; pipes to standard input; keys; programs that cannot be executed.
 */
import { once } from 'node:events'
import {
  GFP_ATOMIC,
  GFP_KERNEL,
  Keyring,
  type SubprocessInfo,
  UMH_FREEZABLE,
  UMH_KILLABLE,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
  type WaitMode,
} from '../../../index.js'
import { errno } from '../../../libc/index.js'
import type { Operation, StressContext } from '../context.js'
import { allowed, errorOutcome, retvalOutcome, withoutPosixSpawn } from '../outcomes.js'
import type { Random } from '../random.js'

const TRUE = '/bin/true'
const SHELL = '/bin/sh'

interface UmhCall {
  readonly name: string
  readonly step: number
  readonly path: string
  readonly argv: readonly string[]
  readonly wait: WaitMode
  /** Without faults. */
  readonly results: readonly string[]
  readonly signal?: AbortSignal
  /** Between set-up and exec. */
  readonly prepare?: (info: SubprocessInfo) => void
}

/** Setup, exec and cleanup of one call, entered in the ledger. */
async function umhCall(context: StressContext, call: UmhCall): Promise<void> {
  const { kernel, ledger, weather } = context
  const moment = weather.now
  const entry = ledger.begin(call.name, call.step, 1)
  const info = await kernel.callUsermodehelperSetup(
    call.path,
    call.argv,
    ['HOME=/', `STEP=${call.step}`],
    GFP_KERNEL,
  )
  kernel.callUsermodehelperSetcleanup(info, () => entry.cleaned())
  try {
    call.prepare?.(info)
  } catch (error) {
    kernel.callUsermodehelperFreeinfo(info)
    entry.ended(errorOutcome(error), allowed(context, moment, ...withoutPosixSpawn(context)))
    return
  }
  const retval = await kernel.callUsermodehelperExec(info, call.wait, { signal: call.signal })
  entry.ended(retvalOutcome(retval), allowed(context, moment, ...call.results))
}

/** A program that does nothing, in one wait mode. */
const inMode = (name: string, wait: WaitMode): Operation => ({
  name,
  weight: 6,
  run: (context, random, step) => {
    const status = random.below(3)
    const [path, argv] = status === 0 ? [TRUE, ['true']] : [SHELL, ['sh', '-c', `exit ${status}`]]
    const waited = (wait & UMH_WAIT_PROC) !== 0
    return umhCall(context, { name, step, path, argv, wait, results: [waited ? `exit ${status}` : 'exit 0'] })
  },
})

export const noWait = inMode('umh/no-wait', UMH_NO_WAIT)
export const waitExec = inMode('umh/wait-exec', UMH_WAIT_EXEC)
export const waitProc = inMode('umh/wait-proc', UMH_WAIT_PROC | UMH_FREEZABLE)

/** Aborted at any time: the wait is broken or not, the cleanup runs when the helper has gone on to its end. */
export const killable: Operation = {
  name: 'umh/killable',
  weight: 4,
  run: (context, random, step) => {
    const controller = new AbortController()
    if (random.once(8)) controller.abort()
    else setTimeout(() => controller.abort(), random.below(100))
    return umhCall(context, {
      name: killable.name,
      step,
      path: SHELL,
      argv: ['sh', '-c', random.once(2) ? 'exit 0' : 'sleep 0.01'],
      wait: random.pick([UMH_WAIT_EXEC, UMH_WAIT_PROC]) | UMH_KILLABLE,
      results: ['exit 0', '-ERESTARTSYS'],
      signal: controller.signal,
    })
  },
}

/** From a thread that blocks. */
export const blocking: Operation = {
  name: 'umh/blocking',
  weight: 6,
  async run(context, random, step) {
    const wait = random.pick([UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC])
    const status = random.below(3)
    const moment = context.weather.now
    const entry = context.ledger.begin(blocking.name, step, 1)
    const cleanup = context.threads.cleanup(() => entry.cleaned())
    const argv = ['sh', '-c', `exit ${status}`]
    const [retval] = await context.threads.perform([{ do: 'call', path: SHELL, argv, wait, cleanup }])
    const result = wait === UMH_WAIT_PROC ? `exit ${status}` : 'exit 0'
    entry.ended(retvalOutcome(retval ?? Number.NaN), allowed(context, moment, result))
  },
}

const FAILING = [
  { path: 'missing', result: '-ENOENT' },
  { path: 'plain', result: '-EACCES' },
  { path: 'nonsense', result: '-ENOEXEC' },
  { path: 'folder', result: '-EACCES' },
] as const

/** Programs that do not exist, are not executable, are none. */
export const failing: Operation = {
  name: 'umh/failing',
  weight: 4,
  run: (context, random, step) => {
    const { path, result } = random.pick(FAILING)
    const wait = random.pick([UMH_NO_WAIT, UMH_WAIT_EXEC, UMH_WAIT_PROC])
    return umhCall(context, {
      name: failing.name,
      step,
      path: context.files[path],
      argv: ['x'],
      wait,
      results: [wait === UMH_NO_WAIT ? 'exit 0' : result],
    })
  },
}

/** Set up, and never executed: its cleanup runs all the same. */
export const withoutExec: Operation = {
  name: 'umh/setup-without-exec',
  weight: 3,
  async run({ kernel, ledger }, random, step) {
    const entry = ledger.begin(withoutExec.name, step, 1)
    const options = { cleanup: () => entry.cleaned() }
    const argv = ['true', 'x'.repeat(random.below(6_000))]
    const info =
      kernel.callUsermodehelperSetup(TRUE, argv, [], GFP_ATOMIC, options) ??
      (await kernel.callUsermodehelperSetup(TRUE, argv, [], GFP_KERNEL, options))
    if (random.once(2)) await new Promise(resolve => setTimeout(resolve, random.below(5)))
    kernel.callUsermodehelperFreeinfo(info)
    entry.ended('freed')
  },
}

/** What is written before the exec waits in the pipe. */
export const stdinPipe: Operation = {
  name: 'umh/stdin-pipe',
  weight: 3,
  run: (context, random, step) => {
    const bytes = random.below(40_000)
    return umhCall(context, {
      name: stdinPipe.name,
      step,
      path: SHELL,
      argv: ['sh', '-c', `test $(wc -c) -eq ${bytes}`],
      wait: UMH_WAIT_PROC,
      // Standard input that ends before all is written: the helper has failed, or was never there.
      results: ['exit 0'],
      prepare: info => {
        const stdin = context.kernel.callUsermodehelperStdinpipe(info)
        stdin.on('error', () => {})
        stdin.end('x'.repeat(bytes))
      },
    })
  },
}

/** The helper finds its secret, and no other's. */
export const keys: Operation = {
  name: 'umh/keys',
  weight: 2,
  run: (context: StressContext, random: Random, step: number) => {
    const secret = `secret-${random.next()}`
    return umhCall(context, {
      name: keys.name,
      step,
      path: SHELL,
      argv: ['sh', '-c', `test "$(cat "$CREDENTIALS_DIRECTORY/key")" = ${secret}`],
      wait: UMH_WAIT_PROC,
      results: ['exit 0'],
      prepare: info => context.kernel.callUsermodehelperSetkeys(info, new Keyring({ key: secret })),
    })
  },
}

/** callUsermodehelperPipe: ready when the exec is over. */
export const pipe: Operation = {
  name: 'umh/pipe',
  weight: 2,
  async run(context, random, step) {
    const moment = context.weather.now
    const entry = context.ledger.begin(pipe.name, step)
    try {
      const { retval, stdin } = await context.kernel.callUsermodehelperPipe('/bin/cat', ['cat'], [])
      stdin.on('error', () => {})
      if (retval === 0) {
        stdin.end('x'.repeat(random.below(1_000)))
        await once(stdin, 'close')
      }
      entry.ended(retvalOutcome(retval), allowed(context, moment, 'exit 0'))
    } catch (error) {
      entry.ended(errorOutcome(error), allowed(context, moment, ...withoutPosixSpawn(context)))
    }
  },
}

/** Holds off whoever disables helpers, or waits until they are enabled. */
export const readLock: Operation = {
  name: 'umh/read-lock',
  weight: 3,
  async run({ kernel, ledger }, random, step) {
    const entry = ledger.begin(readLock.name, step)
    const waits = random.once(2)
    const result = waits
      ? await kernel.usermodehelperReadLockWait(random.between(1, 50))
      : await kernel.usermodehelperReadTrylock()
    const locked = waits ? result > 0 : result === 0
    if (locked) {
      await new Promise(resolve => setTimeout(resolve, random.below(3)))
      kernel.usermodehelperReadUnlock()
    }
    entry.ended(locked ? 'locked' : `gave ${result}`, [
      'locked',
      waits ? 'gave 0' : `gave ${-errno('EAGAIN')}`,
    ])
  },
}
