/**
 * Which accesses are ordered by atomic operations, and which are not: the happens-before of ECMAScript's memory model,
 * by vector clocks (FastTrack keeps them small; runs are short here, so they are whole).
 *
 * A store is seen by the loads that read it and by what comes after those; so a word carries the clock of the store that
 * it holds. A read-modify-write reads and stores. A notify comes before what it wakes. Two accesses of the same bytes, at
 * least one a write and at least one not atomic, with no order between them: a data race. Programs without one see their
 * memory operations in one order (sequential consistency for data-race-free programs; Watt, Pulte, Podkopaev, Barbier,
 * Dolan, Flur, Pichon-Pharabod, Guo: "Repairing and mechanising the JavaScript relaxed memory model", PLDI 2020), which is
 * why orders of atomic operations, and these reports, are all there is to look at.
 */
export type Clock = number[]

const join = (into: Clock, from: readonly number[]): void => {
  for (let thread = 0; thread < from.length; thread += 1) {
    const theirs = from[thread] ?? 0
    if (theirs > (into[thread] ?? 0)) into[thread] = theirs
  }
}

/** An access that a thread made. */
interface Access {
  readonly thread: number
  /** The thread's own clock at the time. */
  readonly time: number
  readonly write: boolean
  readonly atomic: boolean
  readonly place: string
}

interface Cell {
  /** The clock of the store that atomic loads read. */
  stored: Clock | undefined
  write: Access | undefined
  /** The last plain and the last atomic read of each thread, since the last write. */
  reads: Map<number, Access>
}

export interface RaceReport {
  readonly first: Access
  readonly second: Access
  readonly address: number
}

export class RaceDetector {
  readonly #clocks: Clock[]
  readonly #cells = new Map<number, Cell>()

  constructor(threads: number) {
    this.#clocks = Array.from({ length: threads }, (_, thread) => {
      const clock: Clock = new Array(threads).fill(0)
      clock[thread] = 1
      return clock
    })
  }

  clock(thread: number): Clock {
    const clock = this.#clocks[thread]
    if (clock === undefined) throw new RangeError(`no thread ${thread}`)
    return clock
  }

  /** @returns what this thread has done up to now, for `acquire` */
  release(thread: number): Clock {
    const released = [...this.clock(thread)]
    this.#tick(thread)
    return released
  }

  /** What was released happens before what this thread does from now on. */
  acquire(thread: number, released: Clock): void {
    join(this.clock(thread), released)
  }

  #tick(thread: number): void {
    const clock = this.clock(thread)
    clock[thread] = (clock[thread] ?? 0) + 1
  }

  /** A plain access to one byte or a whole element. @returns what it races with */
  plain(thread: number, address: number, write: boolean, place: string): RaceReport | undefined {
    return this.#access(thread, address, write, false, place)
  }

  /** An atomic access. @returns what it races with */
  atomic(
    thread: number,
    address: number,
    reads: boolean,
    writes: boolean,
    place: string,
  ): RaceReport | undefined {
    const race = this.#access(thread, address, writes, true, place)
    const cell = this.#cell(address)
    const clock = this.clock(thread)
    if (reads && cell.stored !== undefined) join(clock, cell.stored)
    if (writes) {
      cell.stored = [...clock]
      this.#tick(thread)
    }
    return race
  }

  #cell(address: number): Cell {
    let cell = this.#cells.get(address)
    if (cell === undefined) {
      cell = { stored: undefined, write: undefined, reads: new Map() }
      this.#cells.set(address, cell)
    }
    return cell
  }

  #access(
    thread: number,
    address: number,
    write: boolean,
    atomic: boolean,
    place: string,
  ): RaceReport | undefined {
    const cell = this.#cell(address)
    const clock = this.clock(thread)
    const second: Access = { thread, time: clock[thread] ?? 0, write, atomic, place }
    const races = (first: Access | undefined): first is Access =>
      first !== undefined &&
      first.thread !== thread &&
      !(first.atomic && atomic) &&
      first.time > (clock[first.thread] ?? 0)
    let first = races(cell.write) ? cell.write : undefined
    if (write && first === undefined) first = [...cell.reads.values()].find(races)
    if (write) {
      cell.write = second
      cell.reads.clear()
    } else cell.reads.set(thread * 2 + Number(atomic), second)
    return first && { first, second, address }
  }
}
