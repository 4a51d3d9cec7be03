/**
 * A thread of a scenario: its coroutine, and the event loop that it stands for.
 */
import type { Operation } from './operations.js'

export type Coroutine = Generator<unknown, unknown, unknown>
export type Task = () => void

export interface Sleeper {
  readonly thread: LogicalThread
  readonly address: number
  readonly deadline: number
  /** For an event loop that awaits; undefined for a thread that blocks. */
  readonly resolve: ((outcome: string) => void) | undefined
}

interface Timer {
  readonly due: number
  readonly callback: Task
}

/** A step, as far as it tells whether a thread comes round again. */
export interface Round {
  readonly place: string
  readonly address: number
  readonly result: unknown
}

interface Look {
  readonly place: string
  readonly address: number
  readonly value: number | bigint
  times: number
}

export class LogicalThread {
  readonly number: number
  /** The coroutine that runs, and what it is at. */
  running:
    | {
        readonly coroutine: Coroutine
        readonly resolve: (value: unknown) => void
        readonly reject: (error: unknown) => void
      }
    | undefined
  pending: Operation | undefined
  /** What the pending operation's execution gives, where it was decided by another thread. */
  outcome: unknown
  asleep: Sleeper | undefined
  readonly tasks: Task[] = []
  readonly immediates = new Map<object, Task>()
  readonly timers = new Map<object, Timer>()
  mainDone = false
  /** Loads since anybody has written that gave the same as before: it looks again and again. */
  readonly seen: Look[] = []
  seenEpoch = -1
  repeated = 0
  /** Since when it does nothing but look; it goes on when somebody has written. */
  spinningSince = -1
  /** Its own time in milliseconds; see `Run.readClock`. */
  now: number
  /** Its steps. */
  readonly rounds: Round[] = []
  /** By the number of another thread: how many steps this one had made when that one made its last. */
  readonly roundsBefore: number[] = []
  /** It goes round in circles: these go first, each by a step. */
  readonly behind = new Set<LogicalThread>()

  constructor(number: number, now: number) {
    this.number = number
    this.now = now
  }
}
