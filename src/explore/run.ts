/**
 * One run: the threads of a scenario under one schedule, from the start to the end or to a failure.
 *
 * A thread is at an operation that it has not executed yet, asleep, or at its end. A step executes one thread's
 * operation and runs its code up to the next one. Whoever chooses the steps sees only which threads could go on.
 */

import { coerced, read } from './elements.js'
import {
  called,
  GeneratorObject,
  LogicalPromise,
  type Outcome,
  useDirectRun,
  useQueue,
  useTasks,
} from './logical-promise.js'
import { type Coroutine, LogicalThread, type Round, type Sleeper } from './logical-thread.js'
import { Addresses, Await, isShared, Operation, type View } from './operations.js'
import { type Clock, RaceDetector, type RaceReport } from './races.js'

/** A step as it is shown, and compared. */
export interface Step {
  readonly thread: number
  readonly operation: Operation
  /** What was read, or came of it. */
  readonly result: unknown
  /** The word of shared memory; -1: none. */
  readonly address: number
}

export type FailureKind = 'assertion' | 'deadlock' | 'lost wake-up' | 'livelock' | 'data race'

export interface Failure {
  readonly kind: FailureKind
  readonly message: string
  readonly cause?: unknown
}

export interface Scenario {
  readonly threads: readonly (() => unknown)[]
  /** Looks at what has come of a run; throws if it is not as it must be. */
  readonly check?: (() => unknown) | undefined
}

export interface RunLimits {
  /** Steps after which a run is taken to go on for ever. */
  readonly steps: number
  /** How often a time may run out although somebody could go on. */
  readonly timeouts: number
  /** Rounds of a loop that waits, while nothing is written, that are told apart. */
  readonly spins: number
  /** Rounds of a loop after which a thread lets others go first, if there are any. */
  readonly rounds: number
  readonly races: boolean
}

/** A time of an event loop that runs out. */
interface Timeout {
  readonly due: number
  /** Whose wait it ends; undefined: it is a timer's. */
  readonly sleeper: Sleeper | undefined
  fire(): void
}

/** Loads in a row that give nothing new, after which a thread is taken to spin. */
const SPINNING = 400
/** Clocks start here. */
const START = 1_000
/** Of the powers of two by which time flies. */
const FASTEST = 40
/** So many times more rounds may come to something else each time. */
const ROUNDS_THAT_COUNT = 16

export class Run {
  readonly steps: Step[] = []
  readonly #limits: RunLimits
  readonly #addresses = new Addresses()
  #threads: LogicalThread[] = []
  #check: Scenario['check']
  #races: RaceDetector | undefined
  /** Whoever sets the scenario up, and checks it. */
  readonly #outside = new LogicalThread(-1, START)
  readonly #sleepers: Sleeper[] = []
  /** Words that were notified, and how often, to tell a lost wake-up from another deadlock. */
  readonly #notified = new Map<number, number>()
  /** Whose code runs; undefined while the scenario is set up or checked. */
  current: LogicalThread | undefined
  /** By the address of what it has written: the latest clock of a thread that has written there. */
  readonly #clocks = new Map<number, number>()
  /** Counts writes: a loop that only looks has nothing to find until the next. */
  #epoch = 0
  #early = 0
  failure: Failure | undefined
  /** Who has learnt in the last step that it was woken: what that step (`by`) did comes before all that it does next. */
  readonly woken: { readonly thread: number; readonly by: number }[] = []
  /** Operations since the last step that were none. */
  #glue = 0
  /** Where shared memory was touched atomically with no chance to switch before it; undefined: nowhere. */
  glued: string | undefined

  constructor(limits: RunLimits) {
    this.#limits = limits
  }

  /** Sets the threads up; each runs to its first operation. */
  start(setUp: () => unknown): void {
    this.#install()
    // What is set up by one thread alone has no order to be explored.
    const scenario = this.#outcome(this.direct(setUp()), 'the scenario') as Scenario
    if (!Array.isArray(scenario?.threads)) {
      throw new TypeError('a scenario gives { threads: [ function, … ], check() }')
    }
    this.#check = scenario.check
    this.#races = this.#limits.races ? new RaceDetector(scenario.threads.length) : undefined
    this.#threads = scenario.threads.map((_, number) => new LogicalThread(number, START))
    for (const [number, body] of scenario.threads.entries()) {
      const thread = this.#thread(number)
      this.#on(thread, () =>
        this.startTask(
          function* () {
            return yield new Await(LogicalPromise.resolve(yield* called(body)))
          },
          () => {
            thread.mainDone = true
          },
          error => this.failByThrow(`thread ${number}`, error),
        ),
      )
      this.#settleDown(thread)
      if (this.failure !== undefined) return
    }
  }

  /**
   * What a clock shows, in milliseconds. Each thread has its own, which goes on when one of its times runs out, and is
   * never behind that of whoever wrote what it has read: so it depends on nothing but the order of dependent steps. A
   * loop that looks at the clock while it waits would wait for ever: there time flies.
   */
  readClock(): number {
    const { current } = this
    if (current === undefined) return Math.max(START, ...this.#threads.map(({ now }) => now))
    if (current.repeated > 0) current.now += 2 ** Math.min(current.repeated, FASTEST)
    return current.now
  }

  get threadCount(): number {
    return this.#threads.length
  }

  #thread(number: number): LogicalThread {
    const thread = this.#threads[number]
    if (thread === undefined) throw new RangeError(`no thread ${number}`)
    return thread
  }

  /** The threads that can make a step, in their order; none: it is over. */
  enabled(): number[] {
    if (this.failure !== undefined) return []
    const able: number[] = []
    let others = false
    for (const thread of this.#threads) {
      const { pending, number } = thread
      if (pending === undefined) others ||= this.#hasTime(thread)
      else if (this.#spins(thread) || this.#yields(thread)) others = true
      else able.push(number)
    }
    return others ? this.#withOthers(able) : able
  }

  /** Who goes round in circles, spins or sleeps for a time has a step only if nobody else has, or as limits allow. */
  #withOthers(able: number[]): number[] {
    const spinning: number[] = []
    const circling: number[] = []
    const late: number[] = []
    for (const thread of this.#threads) {
      if (thread.pending === undefined) {
        if (this.#hasTime(thread)) late.push(thread.number)
      } else if (this.#yields(thread)) circling.push(thread.number)
      else if (this.#spins(thread)) spinning.push(thread.number)
    }
    if (able.length === 0) able.push(...circling)
    if (able.length === 0 || this.#early < this.#limits.timeouts) able.push(...late)
    able.sort((a, b) => a - b)
    if (able.length === 0 && spinning.length > 0) {
      this.#fail(
        'livelock',
        `threads ${spinning.join(', ')} look for something that nobody will change any more`,
      )
    }
    return able
  }

  /** It looks for something that has not been written yet. */
  #spins(thread: LogicalThread): boolean {
    return thread.spinningSince === this.#epoch
  }

  /** It goes round in circles, and one that has had no step since then could make one. */
  #yields(thread: LogicalThread): boolean {
    for (const other of thread.behind) if (other.pending !== undefined && !this.#spins(other)) return true
    return false
  }

  /** Whether a thread's next step is that its time runs out, which it need not yet. */
  isTimeout(number: number): boolean {
    return this.#thread(number).pending === undefined
  }

  /** What a thread would do next. */
  next(number: number): Operation {
    const thread = this.#thread(number)
    return thread.pending ?? this.#timeoutOf(thread)
  }

  addressOf(operation: Operation): number {
    const { view, index } = operation
    return view === undefined ? -1 : this.#addresses.of(view, index, view.BYTES_PER_ELEMENT)
  }

  /** The threads to whose event loops a notify would give something to do. */
  listenersOf(operation: Operation): readonly number[] {
    if (operation.kind !== 'notify') return []
    const address = this.addressOf(operation)
    return this.#sleepers
      .filter(sleeper => sleeper.resolve !== undefined && sleeper.address === address)
      .map(sleeper => sleeper.thread.number)
  }

  #hasTime(thread: LogicalThread): boolean {
    if (thread.asleep !== undefined) return thread.asleep.deadline < Number.POSITIVE_INFINITY
    return thread.running === undefined && this.#nextTimer(thread) !== undefined
  }

  /** What runs out first: a timer's time, or that of a wait of the event loop. */
  #nextTimer(thread: LogicalThread): Timeout | undefined {
    let next: Timeout | undefined
    for (const [handle, timer] of thread.timers) {
      if (timer.due >= (next?.due ?? NEVER)) continue
      next = {
        due: timer.due,
        sleeper: undefined,
        fire: () => {
          thread.timers.delete(handle)
          timer.callback()
        },
      }
    }
    for (const sleeper of this.#sleepers) {
      if (
        sleeper.thread !== thread ||
        sleeper.resolve === undefined ||
        sleeper.deadline >= (next?.due ?? NEVER)
      )
        continue
      next = {
        due: sleeper.deadline,
        sleeper,
        fire: () => {
          this.#remove(sleeper)
          sleeper.resolve?.('timed-out')
        },
      }
    }
    return next
  }

  #timeoutOf(thread: LogicalThread): Operation {
    const sleeper = thread.asleep ?? this.#nextTimer(thread)?.sleeper
    const wait = sleeper === undefined ? undefined : this.#waits.get(sleeper)
    return new Operation('timeout', wait?.place ?? 'timer', wait?.view, wait?.index ?? 0)
  }

  /** The operation with which each sleeper went to sleep. */
  readonly #waits = new Map<Sleeper, Operation>()

  /** Makes one thread's next step. */
  step(number: number): void {
    this.#install()
    this.#glue = 0
    this.woken.length = 0
    const thread = this.#thread(number)
    const late = thread.pending === undefined
    if (late && this.#threads.some(other => other.pending !== undefined)) this.#early += 1
    const operation = this.next(number)
    const address = this.addressOf(operation)
    let result: unknown
    let thrown = false
    if (late) result = this.#runOut(thread)
    else {
      thread.pending = undefined
      try {
        result = this.#execute(thread, operation)
      } catch (error) {
        result = error
        thrown = true
      }
    }
    this.steps.push({ thread: number, operation, result, address })
    this.#beFair(thread, { place: operation.place, address, result })
    if (this.failure !== undefined) return
    if (thread.asleep === undefined && !late) this.#resume(thread, result, thrown)
    this.#settleDown(thread)
    if (this.failure === undefined && this.steps.length >= this.#limits.steps) {
      this.#fail('livelock', `no end after ${this.steps.length} steps`)
    }
  }

  /**
   * A thread that waits in a loop with writes in it, for what another is just about to do, would go on for ever if it were
   * always its turn; so would two that wait in turns for a third. No machine is that unfair: who has made some rounds
   * since another's last step lets that one go first (Musuvathi and Qadeer, Fair stateless model checking, PLDI 2008).
   * Rounds that come to something else each time may be those of a loop that counts: of them there may be many more.
   */
  #beFair(thread: LogicalThread, round: Round): void {
    const { rounds, behind, number } = thread
    rounds.push(round)
    for (const other of this.#threads) {
      if (other === thread) continue
      other.behind.delete(thread)
      other.roundsBefore[number] = other.rounds.length
      if (behind.has(other)) continue
      const since = thread.roundsBefore[other.number] ?? 0
      if (rounds.length - since <= this.#limits.rounds) continue
      let times = 0
      let same = 0
      for (let at = since; at < rounds.length; at += 1) {
        const each = rounds[at]
        if (each?.address !== round.address || each.place !== round.place) continue
        times += 1
        if (each.result === round.result) same += 1
      }
      if (same > this.#limits.rounds || times > this.#limits.rounds * ROUNDS_THAT_COUNT) behind.add(other)
    }
  }

  /** Nobody can go on: all is well, if all have come to their end and the scenario's check agrees. */
  finish(): void {
    if (this.failure !== undefined) return
    const stuck = this.#threads.filter(thread => !thread.mainDone)
    if (stuck.length > 0) {
      const lines = stuck.map(thread => `thread ${thread.number} ${this.#whereStuck(thread)}`)
      const lost = stuck.some(thread => this.#hasMissed(thread))
      this.#fail(lost ? 'lost wake-up' : 'deadlock', `nobody can go on: ${lines.join('; ')}`)
      return
    }
    if (this.#check !== undefined) {
      try {
        this.#install()
        this.current = undefined
        this.#outcome(this.direct(this.#check()), 'the check')
      } catch (error) {
        this.failByThrow('the check', error)
      }
    }
    for (const error of this.#unhandled.values()) this.failByThrow('a promise that nobody awaits', error)
  }

  /** Rejections of promises that nobody has asked for what became of them. */
  readonly #unhandled = new Map<object, unknown>()

  /** What has come of code that is run while no thread is: of a promise, what it gives. */
  #outcome(value: unknown, who: string): unknown {
    if (!(value instanceof LogicalPromise)) {
      this.#settleDown(this.#outside)
      return value
    }
    // Its rejection is heard here.
    value.react(() => {})
    this.#settleDown(this.#outside)
    return settledValue(value.outcome, `${who} awaits what nobody settles`)
  }

  #sleepersOf(thread: LogicalThread): Sleeper[] {
    return this.#sleepers.filter(sleeper => sleeper.thread === thread)
  }

  #whereStuck(thread: LogicalThread): string {
    const waits = this.#sleepersOf(thread).map(sleeper => this.#waits.get(sleeper))
    const places = waits.map(wait => `${wait?.kind} on word ${wait?.index} at ${wait?.place}`)
    return places.length > 0 ? `sleeps in ${places.join(', ')}` : 'awaits what nobody settles'
  }

  /** Whether the word that it sleeps on was notified before it slept: the wake-up came too early. */
  #hasMissed(thread: LogicalThread): boolean {
    return this.#sleepersOf(thread).some(sleeper => (this.#notified.get(sleeper.address) ?? 0) > 0)
  }

  #fail(kind: FailureKind, message: string, cause?: unknown): void {
    this.failure ??= { kind, message, cause }
  }

  failByThrow(who: string, error: unknown): void {
    if (error instanceof NoEnd) this.#fail('livelock', error.message)
    else this.#fail('assertion', `${who} has thrown: ${text(error)}`, error)
  }

  #race(report: RaceReport | undefined): void {
    if (report === undefined) return
    const { first, second } = report
    const say = ({ thread, write, atomic, place }: typeof first) =>
      `thread ${thread} ${atomic ? 'atomically ' : ''}${write ? 'writes' : 'reads'} at ${place}`
    const why =
      first.atomic && second.atomic
        ? 'elements of different sizes, so that neither orders the other'
        : 'and no atomic operation orders the two'
    this.#fail('data race', `${say(first)}, ${say(second)}, ${why}`)
  }

  // Execution of operations, as ECMAScript has it.

  #execute(thread: LogicalThread, operation: Operation): unknown {
    const { kind, view, index, args, place } = operation
    const address = this.addressOf(operation)
    switch (kind) {
      case 'wake':
        return thread.outcome
      case 'wait':
      case 'waitAsync':
        return this.#wait(thread, operation, address)
      case 'notify':
        return this.#notify(thread, operation, address)
      case 'timeout':
        return undefined
      default: {
        const writes = !operation.reads
        const before = view?.[index]
        const result = (Atomics[kind] as (...all: unknown[]) => unknown)(view, index, ...args)
        // Of the same once more nobody learns anything.
        if (view === undefined || view[index] !== before) this.#epoch += 1
        if (view !== undefined && isShared(view) && thread !== this.#outside) {
          const bytes = view.BYTES_PER_ELEMENT
          const reads = kind !== 'store'
          this.#race(this.#races?.atomic(thread.number, address, bytes, reads, writes, place))
          this.#passTime(thread, address, reads, writes)
        }
        return result
      }
    }
  }

  #passTime(thread: LogicalThread, address: number, reads: boolean, writes: boolean): void {
    const written = this.#clocks.get(address) ?? START
    if (reads && written > thread.now) thread.now = written
    if (writes && thread.now > written) this.#clocks.set(address, thread.now)
  }

  #wait(thread: LogicalThread, operation: Operation, address: number): unknown {
    const { kind, view, index, args, place } = operation
    const [expected, timeout] = args as [unknown, number | undefined]
    if (!(view instanceof Int32Array || view instanceof BigInt64Array) || !isShared(view)) {
      throw new TypeError(`Atomics.${kind} needs a shared Int32Array or BigInt64Array`)
    }
    Atomics.load(view as Int32Array, index)
    if (thread !== this.#outside) {
      this.#race(this.#races?.atomic(thread.number, address, view.BYTES_PER_ELEMENT, true, false, place))
      this.#passTime(thread, address, true, false)
    }
    const asynchronous = kind === 'waitAsync'
    if (read(view, index) !== coerced(view, expected)) {
      return asynchronous ? { async: false, value: 'not-equal' } : 'not-equal'
    }
    const length = timeout === undefined || Number.isNaN(timeout) ? NEVER : timeout
    if (length <= 0) return asynchronous ? { async: false, value: 'timed-out' } : 'timed-out'
    const deadline = thread.now + length
    if (!asynchronous) {
      const sleeper: Sleeper = { thread, address, deadline, resolve: undefined }
      this.#waits.set(sleeper, operation)
      this.#sleepers.push(sleeper)
      thread.asleep = sleeper
      return 'sleeps'
    }
    const value = new LogicalPromise(resolve => {
      const sleeper: Sleeper = { thread, address, deadline, resolve }
      this.#waits.set(sleeper, operation)
      this.#sleepers.push(sleeper)
    })
    return { async: true, value }
  }

  #notify(thread: LogicalThread, { view, index, args }: Operation, address: number): number {
    // As strict about what it is given as the real one.
    Atomics.notify(view as Int32Array, index, 0)
    const count = (args[0] as number | undefined) ?? Number.POSITIVE_INFINITY
    let woken = 0
    while (woken < count) {
      const sleeper = this.#sleepers.find(each => each.address === address)
      if (sleeper === undefined) break
      this.#remove(sleeper)
      woken += 1
      const released = thread === this.#outside ? undefined : this.#races?.release(thread.number)
      this.#wake(sleeper, this.steps.length, released, thread.now)
    }
    if (woken === 0) this.#notified.set(address, (this.#notified.get(address) ?? 0) + 1)
    else this.#epoch += 1
    return woken
  }

  #wake(sleeper: Sleeper, by: number, released: Clock | undefined, now: number): void {
    const { thread, resolve } = sleeper
    const learn = () => {
      this.woken.push({ thread: thread.number, by })
      thread.now = Math.max(thread.now, now)
      if (released !== undefined) this.#races?.acquire(thread.number, released)
    }
    if (resolve !== undefined) {
      // A task of its event loop: what it is at now knows nothing of it.
      thread.tasks.push(() => {
        learn()
        resolve('ok')
      })
      this.#settleDown(thread)
      return
    }
    learn()
    const wait = this.#waits.get(sleeper)
    thread.asleep = undefined
    thread.outcome = 'ok'
    thread.pending = new Operation('wake', wait?.place ?? '', wait?.view, wait?.index ?? 0)
  }

  /** A time runs out: of a sleep, or of a timer. */
  #runOut(thread: LogicalThread): unknown {
    const { asleep } = thread
    this.#epoch += 1
    if (asleep !== undefined) {
      thread.now = Math.max(thread.now, asleep.deadline)
      this.#remove(asleep)
      thread.asleep = undefined
      this.#resume(thread, 'timed-out')
      return 'timed-out'
    }
    const timer = this.#nextTimer(thread)
    thread.now = Math.max(thread.now, timer?.due ?? thread.now)
    this.#on(thread, () => timer?.fire())
    return undefined
  }

  #remove(sleeper: Sleeper): void {
    const at = this.#sleepers.indexOf(sleeper)
    if (at >= 0) this.#sleepers.splice(at, 1)
  }

  // How a thread's code is run, up to its next operation.

  #on<Result>(thread: LogicalThread, run: () => Result): Result {
    const before = this.current
    this.current = thread
    try {
      return run()
    } finally {
      this.current = before
    }
  }

  /** Starts a coroutine as a task of the thread that runs. */
  startTask(
    body: () => Coroutine,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    const thread = this.current
    if (thread === undefined) {
      // While the scenario is set up or checked: there is no other thread to wait for.
      try {
        resolve(this.direct(body()))
      } catch (error) {
        reject(error)
      }
      return
    }
    const start = () => {
      thread.running = { coroutine: body(), resolve, reject }
      this.#resume(thread, undefined)
    }
    // An async function runs at once, up to its first wait, within whoever calls it; that is a coroutine that has not
    // come back yet, so the rest of it has to wait its turn.
    if (thread.running === undefined && thread.pending === undefined) start()
    else thread.tasks.unshift(start)
  }

  /** Runs a thread's coroutine on, with what its last operation gave, or what it is to throw. */
  #resume(thread: LogicalThread, value: unknown, thrown = false): void {
    let given = value
    let failed = thrown
    for (;;) {
      const { running } = thread
      if (running === undefined) return
      let next: IteratorResult<unknown, unknown>
      try {
        next = this.#on(thread, () =>
          failed ? running.coroutine.throw(given) : running.coroutine.next(given),
        )
      } catch (error) {
        thread.running = undefined
        this.#on(thread, () => running.reject(error))
        return
      }
      if (this.failure !== undefined) return
      if (next.done) {
        thread.running = undefined
        this.#on(thread, () => running.resolve(next.value))
        return
      }
      const request = next.value
      failed = false
      if (request instanceof Await) {
        thread.running = undefined
        this.#on(thread, () =>
          request.promise.react(outcome => {
            thread.running = running
            this.#resume(thread, outcome.ok ? outcome.value : outcome.error, !outcome.ok)
          }),
        )
        return
      }
      const operation = request as Operation
      if (operation.visible && !this.#repeats(thread, operation)) {
        thread.pending = operation
        return
      }
      try {
        given = this.#on(thread, () => this.#execute(thread, operation))
      } catch (error) {
        given = error
        failed = true
      }
      if (this.failure !== undefined) return
    }
  }

  /**
   * A look that gives what it gave before, with nothing written since, again and again, and nothing else between: a loop
   * that waits. Its first rounds are steps like any other, because what the thread counts meanwhile may matter; the
   * others are not.
   */
  #repeats(thread: LogicalThread, operation: Operation): boolean {
    if (!operation.reads || operation.view === undefined) {
      thread.seen.length = 0
      thread.repeated = 0
      return false
    }
    if (thread.seenEpoch !== this.#epoch) {
      thread.seen.length = 0
      thread.seenEpoch = this.#epoch
      thread.repeated = 0
      thread.spinningSince = -1
    }
    const { place } = operation
    const address = this.addressOf(operation)
    const value = read(operation.view, operation.index)
    let known = thread.seen.find(
      each => each.address === address && each.place === place && each.value === value,
    )
    if (known === undefined) {
      known = { place, address, value, times: 0 }
      for (const each of thread.seen) each.times = 0
      thread.repeated = 0
      thread.seen.push(known)
    }
    if (known.times < this.#limits.spins) {
      known.times += 1
      return false
    }
    thread.repeated += 1
    if (thread.repeated < SPINNING) return true
    thread.spinningSince = this.#epoch
    return false
  }

  clearTimer(handle: object): void {
    for (const thread of this.#threads) thread.timers.delete(handle)
  }

  /** A thread whose code has come to a stop turns to what else its event loop has. */
  #settleDown(thread: LogicalThread): void {
    for (
      let tasks = 0;
      this.failure === undefined &&
      thread.running === undefined &&
      thread.pending === undefined &&
      thread.asleep === undefined;
      tasks += 1
    ) {
      if (tasks > LONGEST_GLUE) {
        this.#fail('livelock', `thread ${thread.number} has no end of tasks, and none that others see`)
        return
      }
      const task = thread.tasks.shift()
      if (task !== undefined) {
        this.#on(thread, task)
        continue
      }
      const [next] = thread.immediates
      if (next === undefined) return
      const [handle, immediate] = next
      thread.immediates.delete(handle)
      this.#on(thread, immediate)
    }
  }

  /** Runs a coroutine to its end, without a switch. */
  direct(value: unknown): unknown {
    if (!(value instanceof GeneratorObject)) return value
    let given: unknown
    for (;;) {
      const next = value.next(given)
      if (next.done) return next.value
      const request = next.value
      if (request instanceof Await) {
        const { promise } = request
        given =
          this.current === undefined
            ? this.#outcome(promise, 'an await outside of the threads')
            : settledValue(promise.outcome, 'an await in a place that cannot wait')
      } else given = this.executeNow(request as Operation)
    }
  }

  executeNow(operation: Operation): unknown {
    const thread = this.current ?? this.#outside
    if (thread !== this.#outside && operation.visible) this.glued ??= operation.place
    this.#countGlue('operations', operation.place)
    if (operation.kind === 'wait')
      throw new Error(`Atomics.wait in a place that cannot wait: ${operation.place}`)
    return this.#execute(thread, operation)
  }

  #countGlue(what: string, place: string): void {
    this.#glue += 1
    if (this.#glue <= LONGEST_GLUE) return
    throw new NoEnd(`no end after ${LONGEST_GLUE} ${what} between two steps, at ${place}`)
  }

  #install(): void {
    useDirectRun(value => this.direct(value))
    useTasks((body, resolve, reject) => this.startTask(body, resolve, reject))
    useQueue({
      enqueue: reaction => (this.current ?? this.#outside).tasks.push(reaction),
      current: () => this.current ?? this.#outside,
      rejected: (promise, error) => this.#unhandled.set(promise, error),
      handled: promise => this.#unhandled.delete(promise),
      enqueueFor: (thread, reaction) => {
        if (thread instanceof LogicalThread) {
          thread.tasks.push(reaction)
          if (thread !== this.current && thread !== this.#outside) this.#settleDown(thread)
        } else reaction()
      },
    })
  }

  /**
   * An async function's call: its code runs within the caller up to its first await, as in JavaScript.
   * @returns what the caller is to run, which gives the promise
   */
  *spawn(coroutine: Coroutine): Coroutine {
    const { promise, resolve, reject } = LogicalPromise.withResolvers()
    let given: unknown
    let failed = false
    for (;;) {
      let next: IteratorResult<unknown, unknown>
      try {
        next = failed ? coroutine.throw(given) : coroutine.next(given)
      } catch (error) {
        reject(error)
        return promise
      }
      if (next.done) {
        resolve(next.value)
        return promise
      }
      failed = false
      if (next.value instanceof Await) {
        next.value.promise.react(outcome =>
          this.startTask(() => continued(coroutine, outcome), resolve, reject),
        )
        return promise
      }
      try {
        given = yield next.value
      } catch (error) {
        given = error
        failed = true
      }
    }
  }

  /** A plain access to an element. */
  touch(object: unknown, key: unknown, write: boolean, place: string): void {
    if (this.current === undefined || typeof key !== 'number') return
    if (!ArrayBuffer.isView(object) || !isShared(object)) return
    this.#countGlue('accesses', place)
    if (this.#races === undefined) return
    const bytes = (object as View).BYTES_PER_ELEMENT
    const address = this.#addresses.of(object, key, bytes)
    this.#race(this.#races.plain(this.current.number, address, bytes, write, place))
  }

  /** Some bytes are read or written plainly, through whatever. */
  touchBytes(view: ArrayBufferView, offset: number, bytes: number, write: boolean, place: string): void {
    const all = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    for (let at = offset; at < offset + bytes; at += 1) this.touch(all, at, write, place)
  }
}

/** Operations and tasks between two steps, after which a thread is taken to go on for ever without one. */
const LONGEST_GLUE = 100_000
class NoEnd extends Error {}
const NEVER = Number.POSITIVE_INFINITY

/** What has become of a promise where nothing can be waited for. */
function settledValue(outcome: Outcome | undefined, unsettled: string): unknown {
  if (outcome === undefined) throw new Error(unsettled)
  if (!outcome.ok) throw outcome.error
  return outcome.value
}

function* continued(
  coroutine: Coroutine,
  outcome: { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown },
): Coroutine {
  let next = outcome.ok ? coroutine.next(outcome.value) : coroutine.throw(outcome.error)
  while (!next.done) {
    let given: unknown
    try {
      given = yield next.value
    } catch (error) {
      next = coroutine.throw(error)
      continue
    }
    next = coroutine.next(given)
  }
  return next.value
}

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error))
