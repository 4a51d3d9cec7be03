/**
 * Everything that a kernel and its threads share: one SharedArrayBuffer, cut into rooms.
 *
 *   control      the words below, once
 *   owners       a row for each thread that makes calls: its list of completed calls, its doorbell
 *   khelpers     a row for each khelper thread: what it is working on
 *   slots        the descriptor slab and its rows: one SubprocessInfo each, with a short payload inside
 *   pages        the page slab, its links and the 4 KiB pages: payloads that are longer, interned strings
 *   interned     the slab of interned strings (environments, paths), written once and then named by number
 *   processes    the slab of processes started by posix_spawn and not yet reaped
 *   khelper_wq   the queue of slot numbers and its wait queue
 *   deferred     the queue of in-thread calls that the khelper for programs has left to the others
 *   launches     the queue of slots whose program the wait_for_helper thread starts (launcher child_process)
 *
 * The buffer is large and mostly never touched; untouched memory costs nothing.
 *
 * Who may write what: a slot belongs to its owner thread in states FREE and SETUP; to whoever popped it
 * while EXECUTING; to the wait_for_helper thread while RUNNING; and to its owner again from DONE. Each
 * hand-over is an atomic operation on another word (the queue's stamp, the epoll set, the completion
 * or the list's head), and that operation orders the plain words before it.
 */
import { LockFreeList, MpmcQueue, Slab, WaitQueue } from '../atomics-sync/index.js'

declare const brand: unique symbol
/** The number of a descriptor slot. */
export type SlotIndex = number & { readonly [brand]: 'slot' }
/** The number of a thread that makes calls. */
export type OwnerIndex = number & { readonly [brand]: 'owner' }
/** The number of a khelper thread; its replacement after a death has the same. */
export type KhelperIndex = number & { readonly [brand]: 'khelper' }
/** The number of a row in the table of processes. */
export type ProcessIndex = number & { readonly [brand]: 'process' }

const CACHE_LINE = 64
const WORD = 4

/** Words of the control block. */
export const Control = {
  /** Sizes, so that an attaching thread computes the same layout. */
  DESCRIPTORS: 0,
  PAGES: 1,
  KHELPERS: 2,
  /** One of `RunState`. */
  RUN_STATE: 3,
  /** The epoll set of the wait_for_helper thread and the eventfd that wakes it; 0 without posix_spawn. */
  EPOLL_FD: 4,
  EVENT_FD: 5,
  /** One of `Launcher`. */
  LAUNCHER: 6,
  /** Processes that are being started, or are started and not yet reaped. */
  PROCESSES: 8,
  /** The doorbell of the wait_for_helper thread, which sleeps while there is no process. */
  REAPER_DOORBELL: 10,
  /** The usermodehelper state: one of UMH_ENABLED, UMH_FREEZING, UMH_DISABLED. */
  DISABLE_DEPTH: 16,
  /** Threads that hold the usermodehelper lock for reading; -1 while a writer holds it. */
  READERS: 17,
  /** Raised on every change that a waiter on the lock or the state could be waiting for. */
  CHANGED: 18,
  /** Callers inside exec. */
  RUNNING: 32,
  /** Raised, with a notify, when RUNNING falls to 0. */
  IDLE: 33,
  /** Threads inside flush: khelpers notify FLUSHED only if there is one. */
  FLUSHERS: 34,
  FLUSHED: 35,
  /** Threads other than the kernel's own that make calls. */
  ATTACHED: 48,
  /** Raised for each KILL_REQUEST, taken to 0 by the kernel's thread. */
  KILL_REQUESTS: 49,
  /** Threads that wait for a descriptor to become free. */
  SLOT_WAITERS: 50,
  /** Raised with each descriptor that is freed while somebody waits for one. */
  SLOTS_FREED: 52,
  /** Capabilities that no helper has any more in its bounding set, in its inheritable set: 64 bits each. */
  BSET_LOST: 53,
  INHERITABLE_LOST: 55,
  /** Raised with every launch: what its processes are marked with comes from it. */
  LAUNCH_SERIAL: 57,
  /** The pipe to the process that ends helpers when the service dies, plus one; 0: none. */
  WATCHER_FD: 58,
  /** 1: somebody wants to hear of what in-thread helpers throw. */
  THROWN_HEARD: 59,
  /** Threads that are loading native code and must not be ended meanwhile; notified when one is done. */
  LOADING: 51,
  /** The file in memory with the exec step, plus one; 0: no launch has needed it. Closed with the kernel. */
  EXEC_STEP_FD: 60,
  WORDS: 64,
} as const

export const RunState = {
  RUNNING: 0,
  /** No new calls; those in flight are brought to their end. */
  STOPPING: 1,
  /** No call in flight: khelpers leave, wait_for_helper stays while a process is left. */
  STOPPED: 2,
  /** The service is going: every thread leaves at once. */
  EXITING: 3,
} as const
export const Launcher = { POSIX_SPAWN: 1, CHILD_PROCESS: 2 } as const

/** Words of an owner's row: one cache line. */
export const Owner = {
  /** One of `OwnerState`. */
  STATE: 0,
  /** Head of the list of this owner's completed calls. */
  COMPLETED: 1,
  /** Its event loop's doorbell. */
  DOORBELL: 2,
  /** Linux's number of the thread, 0 elsewhere. */
  THREAD_ID: 3,
  /** Its part of Control.RUNNING; written by this thread only. */
  RUNNING: 4,
  WORDS: 16,
} as const
export const OwnerState = { FREE: 0, LIVE: 1 } as const

/** Words of a khelper's row: one cache line. */
export const Khelper = {
  /**
   * One of `KhelperState`, and above it the serial number of the thread whose row this is: a thread that comes up when
   * it has been given up finds another number, and must not touch the row.
   */
  STATE: 0,
  /**
   * The slot it works on, plus one; 0: none. Negated by whoever is about to end the thread for the sake
   * of that slot: the khelper, whose compare-exchange to 0 then fails, takes no other call.
   */
  CURRENT: 1,
  /** Linux's number of the thread, 0 elsewhere or while it starts. */
  THREAD_ID: 2,
  /** A signal for the in-thread helper that it runs; taken by exchange. */
  SIGNAL: 3,
  /** 1 while the in-thread helper handles signals (it has asked for `context.signal`). */
  HANDLES_SIGNALS: 4,
  /** The row of the process that it is starting, plus one; 0: none. */
  STARTING: 5,
  /** The doorbell that announces SIGNAL. */
  SIGNAL_DOORBELL: 7,
  /** Raised with every call taken up: a row that stands still under a full queue is stuck. */
  TAKEN: 6,
  /** The descriptor that it holds in reserve, plus one; 0: none. Taken by exchange: by itself, or by who buries it. */
  RESERVE: 8,
  /**
   * 1 while it reads an in-thread helper's modules: set before CURRENT is looked at once more, and looked at by whoever
   * has negated CURRENT. One of both sees the other.
   */
  IMPORTING: 9,
  /** 1 while an in-thread helper holds it that nobody waits for, and whose slot is another's already. */
  DETACHED: 10,
  /** Raised with each exception of an in-thread helper that is told, before its call ends. */
  THROWN: 11,
  WORDS: 16,
} as const
/**
 * STARTING → LOADING is a compare-exchange by the thread, STARTING → NONE one by who gives it up: one of both has it.
 * What comes behind is the thread's own, until it is DEAD or gone.
 */
export const KhelperState = {
  NONE: 0,
  STARTING: 1,
  LOADING: 2,
  RUNNING: 3,
  DEAD: 4,
  /** Its end is certain, and will be told of; it may still have to end the call that it holds. */
  LEAVING: 5,
} as const
const KHELPER_STATES = 8
/** What stands in STATE for a thread of this number; numbers come again after some hundred million threads. */
export const khelperState = (state: number, serial: number): number => ((serial * KHELPER_STATES) | 0) + state
/** The `KhelperState` in what stands in STATE. */
export const stateOfKhelper = (word: number): number => word & (KHELPER_STATES - 1)

/** Words of a descriptor slot. */
export const Slot = {
  // The first cache line: all that a plain in-thread call needs.
  /** One of `SlotState`. */
  STATE: 0,
  /** Link in its owner's list of completed calls. */
  NEXT: 1,
  OWNER: 2,
  /** The completion pointer of Linux, one of `Waiter`: swapped for NONE by whoever ends the call. */
  WAITER: 3,
  /** A `Completion`, for a thread that blocks. */
  COMPLETION: 4,
  /** The wait mode and its flags. */
  WAIT: 6,
  /** 0, -errno or the raw wait status. */
  RETVAL: 7,
  /** One of `ExecState`; notified when it leaves AWAITED. */
  EXEC: 8,
  /** Bits of `SlotFlag`. */
  FLAGS: 9,
  ARGC: 10,
  /** The interned environment's number plus one; 0: it stands in the payload after argv. */
  ENVIRONMENT: 11,
  /** The interned path's number plus one (in-thread helpers); 0: it stands in the payload. */
  PROGRAM: 12,
  /** Bytes of the payload. */
  LENGTH: 13,
  /** The payload's first page plus one; 0: it stands in the slot. */
  PAGE: 14,
  /** The khelper that took it up, plus one. */
  KHELPER: 15,
  // From here the words are cleared only after a call that has USED_ALL of them: a cache line that nobody writes
  // stays with every processor.
  REST: 16,
  /** Stored when the process can be signalled: whoever finds it finds PROCESS and PROCESS_GENERATION, too. */
  PID: 16,
  /** One of `Stdio` for each of descriptor 0, 1, 2; and its number where it has one. */
  STDIO: 17,
  STDIO_FD: 20,
  /** After the end: the file that holds captured stdout, stderr; plus one, 0: nothing was captured. */
  CAPTURED: 23,
  /** 1 where a captured stream was cut at MAX_OUTPUT. */
  TRUNCATED: 25,
  ENVC: 27,
  /** The row in the table of processes plus one, and that row's GENERATION. */
  PROCESS: 28,
  PROCESS_GENERATION: 29,
  /** Sent when MAX_OUTPUT is exceeded, and the milliseconds from it to SIGKILL (-1: never). */
  KILL_SIGNAL: 30,
  GRACE: 31,
  /** Somebody has signalled the helper to end it: its captured streams are not waited for after its exit. */
  KILLED: 32,
  /**
   * A signal that somebody else is to deliver, 0: none. For an in-thread helper, by the kernel's thread; for a program
   * that has no process yet, by its khelper as soon as it has one (`pending-signal.ts`).
   */
  KILL_REQUEST: 33,
  /** Doubles from here: bytes that may be captured, then the fields of `Rusage` in its order. */
  MAX_OUTPUT: 34,
  RUSAGE: 36,
  /** One of `Step`: what failed, if RETVAL is negative. */
  FAILED_STEP: 54,
  /** Raised with each use: tells a flusher whether the slot still holds the call it saw. */
  GENERATION: 55,
  WORDS: 56,
  RUSAGE_FIELDS: 9,
} as const

export const SlotState = {
  FREE: 0,
  /** Set up by its owner, not queued. */
  SETUP: 1,
  /** On khelper_wq. */
  QUEUED: 2,
  /** Taken up by a khelper. */
  EXECUTING: 3,
  /** Its program runs and is waited for. */
  RUNNING: 4,
  /** Ended; on its owner's list, or about to be freed by the thread that blocked on it. */
  DONE: 5,
  /** Withdrawn by its owner while on khelper_wq. */
  CANCELLED: 6,
} as const

export const Waiter = { NONE: 0, ASYNC: 1, SYNC: 2 } as const
export const ExecState = {
  PENDING: 0,
  /** Somebody sleeps until it is over. */
  AWAITED: 1,
  STARTED: 2,
  FAILED: 3,
} as const

export const SlotFlag = {
  /** The path is the URL of an in-thread helper. */
  IN_THREAD: 1,
  /** The path is a name to look up in the PATH that follows it. */
  SEARCH: 2,
  /** The payload has a working directory. */
  CWD: 4,
  /** A session of its own. */
  DETACHED: 8,
  /** Stays in the service's process group. */
  FOREGROUND: 16,
  /** RUSAGE was filled in. */
  RUSAGE: 32,
  /** Its strings are beyond anything the system takes: E2BIG, and nothing is queued. */
  TOO_BIG: 128,
  /** Captured output stands in files that have a name, not in memfds. */
  CAPTURED_BY_NAME: 64,
  /** Words behind the first line are in use. */
  USED_ALL: 256,
  /** The payload has `LaunchSettings`, as JSON. */
  SETTINGS: 512,
  /** Its owner's event loop wants to hear of the exec, not only of the end. */
  TELL_EXEC: 1024,
  /** Signals are for the process alone, although it leads a group. */
  ALONE: 2048,
  /** No program: the khelper ends another call's helper with all its descendants. */
  TREE: 4096,
  /** The process that ends helpers when the service dies is not told of this one, which is itself. */
  UNLISTED: 8192,
  /** Another user's: a session of its own, without the service's terminal. */
  SESSION: 16_384,
} as const

/** What a helper's descriptor is: a number in STDIO_FD, or something the khelper opens. */
export const Stdio = {
  IGNORE: 0,
  /** A descriptor of the service, left open. */
  FD: 1,
  /** A descriptor made for this helper: closed by the khelper after the launch. */
  OWNED_FD: 2,
  CAPTURE: 3,
  /** A file, whose path is in the payload: read, written from its start, or appended to. */
  READ_FILE: 4,
  WRITE_FILE: 5,
  APPEND_FILE: 6,
  /** A socket to connect to, whose path is in the payload (launcher child_process). */
  SOCKET: 7,
} as const
export type Stdio = (typeof Stdio)[keyof typeof Stdio]

/** The stdio kinds whose path stands in the payload. */
export const stdioHasPath = (kind: number): boolean => kind >= Stdio.READ_FILE

/** What was being done when a launch failed. */
export const Step = {
  NONE: 0,
  EXECVE: 1,
  CHDIR: 2,
  STDIN: 3,
  STDOUT: 4,
  STDERR: 5,
  FORK: 6,
  PIPE: 7,
  IMPORT: 8,
  KHELPER: 9,
  SETUID: 10,
  SETGID: 11,
  SETGROUPS: 12,
  UMASK: 13,
  NICE: 14,
  NO_NEW_PRIVS: 15,
  AFFINITY: 16,
  CAPABILITIES: 17,
  /** The kernel's own table of processes is full. */
  PROCESS_TABLE: 18,
  /** Its secrets could not be written, or read again. */
  KEYS: 19,
  /** A session keyring of its own. */
  KEYRING: 20,
  CGROUP: 21,
  RLIMITS: 22,
  /** The exec step itself cannot run here. */
  EXEC_STEP: 23,
} as const

/** Words of a row in the table of processes. */
export const Process = {
  /** One of `ProcessState`. */
  STATE: 0,
  /** Written by posix_spawn itself, so that a khelper that dies right after it has still told. */
  PID: 1,
  /** Its pidfd plus one, 0: none. */
  PIDFD: 2,
  /** The slot that waits for its exit, plus one; 0: nobody does. */
  SLOT: 3,
  /** 1: the pid is also a process group's number. */
  GROUP: 4,
  /** Raised at every start: tells a handle whether the row is still its process. */
  GENERATION: 5,
  /** Pipes of captured stdout and stderr, read end and write end each; plus nothing: 0 means none. */
  OUT_PIPE: 6,
  ERR_PIPE: 8,
  /** 1: its khelper has handed it over; from here the wait_for_helper thread may reap it. */
  HANDED_OVER: 10,
  /** What its descendants are known by (`process-tree.ts`). */
  MARK: 11,
  /** With an exec step: our end and its end of the socket that tells how it went; 0: none. */
  STEP_SOCKET: 12,
  /** The slot whose exec step is under way, plus one; 0: none is. */
  STEP_SLOT: 14,
  WORDS: 16,
} as const
export const ProcessState = {
  FREE: 0,
  /** A khelper is about to start it. */
  STARTING: 1,
  LIVE: 2,
  /** Somebody is sending it a signal: it must not be reaped meanwhile. */
  SIGNALLING: 3,
  REAPED: 4,
} as const

/** Words of an interned list of strings: an environment, or the path of an in-thread helper. */
export const Interned = {
  GENERATION: 0,
  COUNT: 1,
  LENGTH: 2,
  /** Its first page plus one. */
  PAGE: 3,
  OWNER: 4,
  /** 1 while the row is in use. */
  LIVE: 5,
  WORDS: 8,
} as const

const SLOT_BYTES = 512
const SLOT_HEADER_BYTES = Slot.WORDS * WORD
/** Bytes of payload that fit into the slot itself. */
export const INLINE_BYTES = SLOT_BYTES - SLOT_HEADER_BYTES
export const PAGE_BYTES = 4096
/** Linux takes at most 6 MiB of arguments and environment; what is longer is E2BIG without a try. */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
const OWNERS = 256
const INTERNED = 1024

export interface MemorySize {
  readonly descriptors: number
  readonly pages: number
  readonly khelpers: number
}

const align = (offset: number): number => Math.ceil(offset / CACHE_LINE) * CACHE_LINE
const powerOfTwoAbove = (count: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, count)))

function layOut({ descriptors, pages, khelpers }: MemorySize) {
  let end = 0
  const room = (bytes: number): number => {
    const start = end
    end = align(start + bytes)
    return start
  }
  return {
    control: room(Control.WORDS * WORD),
    owners: room(OWNERS * Owner.WORDS * WORD),
    khelpers: room(khelpers * Khelper.WORDS * WORD),
    slotSlab: room(Slab.byteLength(descriptors)),
    slots: room(descriptors * SLOT_BYTES),
    pageSlab: room(Slab.byteLength(pages)),
    pageLinks: room(pages * WORD),
    pages: room(pages * PAGE_BYTES),
    internedSlab: room(Slab.byteLength(INTERNED)),
    interned: room(INTERNED * Interned.WORDS * WORD),
    processSlab: room(Slab.byteLength(descriptors)),
    processes: room(descriptors * Process.WORDS * WORD),
    queue: room(MpmcQueue.byteLength(powerOfTwoAbove(descriptors))),
    idleKhelpers: room(WaitQueue.byteLength(khelpers)),
    launches: room(MpmcQueue.byteLength(powerOfTwoAbove(descriptors))),
    deferred: room(MpmcQueue.byteLength(powerOfTwoAbove(descriptors))),
    bytes: end,
  }
}

/** The views of one thread on the shared memory. */
export class Memory {
  readonly buffer: SharedArrayBuffer
  readonly size: MemorySize
  readonly words: Int32Array
  readonly doubles: Float64Array
  readonly bytes: Buffer
  readonly slots: Slab
  readonly pages: Slab
  readonly interned: Slab
  readonly processes: Slab
  readonly queue: MpmcQueue
  readonly idleKhelpers: WaitQueue
  readonly launches: MpmcQueue
  readonly deferred: MpmcQueue
  readonly #layout: ReturnType<typeof layOut>

  private constructor(buffer: SharedArrayBuffer, size: MemorySize) {
    const layout = layOut(size)
    this.buffer = buffer
    this.size = size
    this.#layout = layout
    this.words = new Int32Array(buffer)
    this.doubles = new Float64Array(buffer)
    this.bytes = Buffer.from(buffer)
    this.slots = new Slab(buffer, layout.slotSlab, size.descriptors)
    this.pages = new Slab(buffer, layout.pageSlab, size.pages)
    this.interned = new Slab(buffer, layout.internedSlab, INTERNED)
    this.processes = new Slab(buffer, layout.processSlab, size.descriptors)
    this.queue = new MpmcQueue(buffer, layout.queue, powerOfTwoAbove(size.descriptors))
    this.idleKhelpers = new WaitQueue(buffer, layout.idleKhelpers, size.khelpers)
    this.launches = new MpmcQueue(buffer, layout.launches, powerOfTwoAbove(size.descriptors))
    this.deferred = new MpmcQueue(buffer, layout.deferred, powerOfTwoAbove(size.descriptors))
  }

  /** @throws RangeError if there is no memory of that size */
  static create(size: MemorySize): Memory {
    const memory = new Memory(new SharedArrayBuffer(layOut(size).bytes), size)
    memory.words[Control.DESCRIPTORS] = size.descriptors
    memory.words[Control.PAGES] = size.pages
    memory.words[Control.KHELPERS] = size.khelpers
    return memory
  }

  /** Another thread's view of a memory that `create` has made. */
  static attach(buffer: SharedArrayBuffer): Memory {
    const words = new Int32Array(buffer, 0, Control.WORDS)
    return new Memory(buffer, {
      descriptors: words[Control.DESCRIPTORS] ?? 0,
      pages: words[Control.PAGES] ?? 0,
      khelpers: words[Control.KHELPERS] ?? 0,
    })
  }

  /** Index in `words` of a word of the control block: the block stands at the very start. */
  control(word: number): number {
    return this.#layout.control / WORD + word
  }

  get owners(): number {
    return OWNERS
  }

  owner(owner: OwnerIndex): number {
    return this.#layout.owners / WORD + owner * Owner.WORDS
  }

  khelper(khelper: KhelperIndex): number {
    return this.#layout.khelpers / WORD + khelper * Khelper.WORDS
  }

  /** The last khelper takes programs only: in-thread helpers that hold all the others hold no program up. */
  get khelperForPrograms(): KhelperIndex {
    return (this.size.khelpers - 1) as KhelperIndex
  }

  /** Calls that no khelper has taken up. */
  get waiting(): number {
    return this.queue.size + this.deferred.size
  }

  /** Index in `words` of a slot's first word. */
  slot(slot: SlotIndex): number {
    return (this.#layout.slots + slot * SLOT_BYTES) / WORD
  }

  /** Index in `bytes` of a slot's own room for a payload. */
  inlinePayload(slot: SlotIndex): number {
    return this.#layout.slots + slot * SLOT_BYTES + SLOT_HEADER_BYTES
  }

  process(process: ProcessIndex): number {
    return this.#layout.processes / WORD + process * Process.WORDS
  }

  internedRow(id: number): number {
    return this.#layout.interned / WORD + id * Interned.WORDS
  }

  /** Index in `words` of a page's link: the next page plus one, 0 at the end. */
  pageLink(page: number): number {
    return this.#layout.pageLinks / WORD + page
  }

  /** Index in `bytes` of a page. */
  page(page: number): number {
    return this.#layout.pages + page * PAGE_BYTES
  }

  /** The list of an owner's completed calls, linked through the slots. */
  completedOf(owner: OwnerIndex): LockFreeList {
    return new LockFreeList(
      this.buffer,
      (this.owner(owner) + Owner.COMPLETED) * WORD,
      this.#layout.slots + Slot.NEXT * WORD,
      SLOT_BYTES,
    )
  }

  /** Byte offset of a word, for the structures that are attached to one. */
  byteOffset(word: number): number {
    return word * WORD
  }
}
