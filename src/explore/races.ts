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
import { cellOf, overlap } from './operations.js'

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
  readonly address: number
  readonly bytes: number
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
  /** By the block of eight bytes that they are in. */
  readonly #blocks = new Map<number, Cell[]>()

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
  plain(
    thread: number,
    address: number,
    bytes: number,
    write: boolean,
    place: string,
  ): RaceReport | undefined {
    return this.#access(thread, this.#cell(address, bytes), write, false, place)
  }

  /** An atomic access. @returns what it races with */
  atomic(
    thread: number,
    address: number,
    bytes: number,
    reads: boolean,
    writes: boolean,
    place: string,
  ): RaceReport | undefined {
    const cell = this.#cell(address, bytes)
    const race = this.#access(thread, cell, writes, true, place)
    const clock = this.clock(thread)
    if (reads && cell.stored !== undefined) join(clock, cell.stored)
    if (writes) {
      cell.stored = [...clock]
      this.#tick(thread)
    }
    return race
  }

  #block(address: number): Cell[] {
    const number = cellOf(address)
    let block = this.#blocks.get(number)
    if (block === undefined) {
      block = []
      this.#blocks.set(number, block)
    }
    return block
  }

  #cell(address: number, bytes: number): Cell {
    const block = this.#block(address)
    let cell = block.find(each => each.address === address && each.bytes === bytes)
    if (cell === undefined) {
      cell = { address, bytes, stored: undefined, write: undefined, reads: new Map() }
      block.push(cell)
    }
    return cell
  }

  #access(
    thread: number,
    cell: Cell,
    write: boolean,
    atomic: boolean,
    place: string,
  ): RaceReport | undefined {
    const { address } = cell
    const clock = this.clock(thread)
    const second: Access = { thread, time: clock[thread] ?? 0, write, atomic, place }
    let first: Access | undefined
    for (const other of this.#block(address)) {
      if (!overlap(other, cell)) continue
      // Two atomic accesses order each other only if they are to the same bytes, all of them.
      const ordered = other === cell && atomic
      const races = (access: Access | undefined): access is Access =>
        access !== undefined &&
        access.thread !== thread &&
        !(access.atomic && ordered) &&
        access.time > (clock[access.thread] ?? 0)
      if (races(other.write)) first ??= other.write
      if (write) first ??= [...other.reads.values()].find(races)
    }
    if (write) {
      cell.write = second
      cell.reads.clear()
    } else cell.reads.set(thread * 2 + Number(atomic), second)
    return first && { first, second, address }
  }
}
