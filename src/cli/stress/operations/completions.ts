/**
 * Completions between threads: blocking and awaiting, timed, killed, completed for all; every token counted.
 */
import { Completion, ERESTARTSYS } from '../../../atomics-sync/index.js'
import type { Operation, StressContext } from '../context.js'
import type { Random } from '../random.js'
import { KILLED_WORD } from '../thread-tasks.js'

const MOST_TOKENS = 50
const LONGEST_WAIT_MS = 20
/** Timers may ring a little early, by the clock that they go by. */
const EARLY_MS = 2

const shared = () => new SharedArrayBuffer(Completion.BYTE_LENGTH + Int32Array.BYTES_PER_ELEMENT)
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** Tokens for blocked threads and for promises: as many waits end as there were tokens, and none is left. */
export const tokens: Operation = {
  name: 'completion/tokens',
  weight: 3,
  async run({ threads, ledger }, random, step) {
    const buffer = shared()
    const completion = new Completion(buffer)
    const shares = Array.from({ length: random.between(1, threads.count) }, () =>
      random.between(1, MOST_TOKENS),
    )
    const awaiting = random.below(MOST_TOKENS)
    const entry = ledger.begin(tokens.name, step)
    const total = shares.reduce((sum, share) => sum + share, awaiting)
    const blocked = threads.perform(
      shares.map(share => ({ do: 'take-tokens', buffer, tokens: share })),
      () => void give(completion, total, random),
    )
    let woken = 0
    const waits = Array.from({ length: awaiting }, async () => {
      await completion.waitAsync()
      woken += 1
    })
    const [taken] = await Promise.all([blocked, ...waits])
    const sum = taken.reduce((count, share) => count + share, woken)
    if (sum !== total) entry.wrong(`${sum} waits ended for ${total} tokens`)
    if (completion.done) entry.wrong('a token is left')
    entry.ended('done')
  },
}

async function give(completion: Completion, total: number, random: Random): Promise<void> {
  for (let token = 0; token < total; token += 1) {
    completion.complete()
    if (random.once(10)) await turn()
  }
}

/** completeAll: everyone passes, whoever comes later too. */
export const all: Operation = {
  name: 'completion/all',
  weight: 2,
  async run({ threads, ledger }, random, step) {
    const buffer = shared()
    const completion = new Completion(buffer)
    const entry = ledger.begin(all.name, step)
    const count = random.between(1, threads.count)
    const blocked = threads.perform(
      Array.from({ length: count }, () => ({ do: 'take-tokens', buffer, tokens: 3 })),
      () => setTimeout(() => completion.completeAll(), random.below(3)),
    )
    const waits = Array.from({ length: random.below(10) }, () => completion.waitAsync())
    await Promise.all([blocked, ...waits])
    if (!completion.tryWait()) entry.wrong('it was completed for all, and is not done')
    completion.reinit()
    if (completion.tryWait()) entry.wrong('it is done after reinit')
    entry.ended('done')
  },
}

/** Nobody completes it: the time runs out, by a clock that does not jump. */
export const timed: Operation = {
  name: 'completion/timed',
  weight: 2,
  async run({ threads, ledger }, random, step) {
    const buffer = shared()
    const timeout = random.between(1, LONGEST_WAIT_MS)
    const blocks = random.once(2)
    const entry = ledger.begin(timed.name, step)
    const start = performance.now()
    const [left] = blocks
      ? await threads.perform([{ do: 'wait-timeout', buffer, timeout }])
      : [await new Completion(buffer).waitTimeoutAsync(timeout)]
    const took = performance.now() - start
    if (took < timeout - EARLY_MS) entry.wrong(`a wait of ${timeout} ms was over after ${took} ms`)
    entry.ended(`${left} left`, ['0 left'])
  },
}

/** A wait that is killed takes nothing with it: the token that comes after it is another's. */
export const killed: Operation = {
  name: 'completion/killed',
  weight: 2,
  async run(context, random, step) {
    const entry = context.ledger.begin(killed.name, step)
    const result = random.once(2) ? await killThread(context, random) : await killPromise(random)
    entry.ended(String(result), [String(-ERESTARTSYS)])
  },
}

async function killThread({ threads }: StressContext, random: Random): Promise<number | undefined> {
  const buffer = shared()
  const completion = new Completion(buffer)
  let looking: NodeJS.Timeout | undefined
  const [result] = await threads.perform([{ do: 'wait-killable', buffer }], () => {
    const kill = () => {
      Atomics.store(new Int32Array(buffer), KILLED_WORD, 1)
      completion.interruptAll()
      // It may have looked just before and not be asleep yet, as with any signal.
      looking = setTimeout(kill, 1)
    }
    looking = setTimeout(kill, random.below(3))
  })
  clearTimeout(looking)
  return result
}

async function killPromise(random: Random): Promise<number> {
  const completion = new Completion(shared())
  const controller = new AbortController()
  const killedWait = completion.waitKillableAsync({ signal: controller.signal })
  const other = completion.waitTimeoutAsync(60_000)
  setTimeout(() => controller.abort(), random.below(3))
  const result = await killedWait
  completion.complete()
  return (await other) > 0 ? result : 0
}
