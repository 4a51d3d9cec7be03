/**
 * The system calls that khelper needs, under Linux's names, each giving `-errno` where it fails.
 */
import { arch } from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { type Address, type Library, loadLibrary } from './library.js'

/** A file descriptor of this process, made here: to be closed by `Libc.close`, never by `node:fs`. */
export type Fd = number & { readonly __brand: 'fd' }

/** Node's `fs` closes what it opened; an fd that came from elsewhere is only borrowed. */
export const asFd = (fd: number): Fd => fd as Fd

const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const SYS_PIDFD_OPEN = 434
const SYS_PIDFD_SEND_SIGNAL = 424
const SYS_GETSOCKOPT = arch === 'x64' ? 55 : 209
const EPOLL_CLOEXEC = O_CLOEXEC
const EFD_CLOEXEC = O_CLOEXEC
const EFD_NONBLOCK = O_NONBLOCK
const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
const MFD_EXEC = 0x10
const F_ADD_SEALS = 1033
/** Neither shrunk, grown nor written any more, and no seal taken off. */
const ALL_SEALS = 0xf
const EINVAL = 22
const EIO = 5
const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_CLOEXEC = O_CLOEXEC
const SOCK_NONBLOCK = O_NONBLOCK
const F_GETFL = 3
const F_SETFL = 4
const F_DUPFD_CLOEXEC = 1030
const F_SETPIPE_SZ = 1031
const SOL_SOCKET = 1
const SO_PEERCRED = 17
/** struct ucred: pid, uid, gid. */
const UCRED_BYTES = 12
const SEEK_SET = 0
const SEEK_END = 2
const SPLICE_F_MOVE = 1
const SPLICE_F_NONBLOCK = 2

export const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x1000000
const P_PID = 1
/** struct siginfo, and where a child's pid stands in it on 64-bit Linux. */
const SIGINFO_BYTES = 128
const SIGINFO_PID_WORD = 4
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
export const EPOLLIN = 0x001
/** Reported once, then silent until re-armed: a vfork child's copy of a pidfd outlives our `close`. */
export const EPOLLONESHOT = 0x40000000

/** struct epoll_event is packed on x86-64 only; its 64 bits of data are ours, the low 32 are used. */
const EPOLL_EVENT_BYTES = arch === 'x64' ? 12 : 16
const EPOLL_DATA_OFFSET = arch === 'x64' ? 4 : 8

/** struct rusage: two timevals and fourteen longs. */
const RUSAGE_BYTES = 144

export interface WaitResult {
  /** The reaped pid, 0 if it still runs (WNOHANG), or `-errno`. */
  readonly pid: number
  readonly status: number
}

/** Room for what `epoll_wait` tells. */
export interface EpollEvents {
  readonly bytes: Uint8Array
  readonly view: DataView
}

export class Libc {
  readonly library: Library
  readonly #posixSpawn
  readonly #pipe2
  readonly #socketpair
  readonly #close
  readonly #read
  readonly #write
  readonly #fcntl
  readonly #eventfd
  readonly #memfdCreate
  readonly #epollCreate
  readonly #epollCtl
  readonly #epollWait
  readonly #syscall
  readonly #wait4
  readonly #waitid
  readonly #splice
  readonly #kill
  readonly #gettid
  readonly #lseek
  readonly #event = new Uint8Array(EPOLL_EVENT_BYTES)
  readonly #eventView = new DataView(this.#event.buffer)
  readonly #status = new Int32Array(1)
  readonly #siginfo = new Int32Array(SIGINFO_BYTES / 4)
  readonly #pair = new Int32Array(2)
  /** What the last `wait4` that reaped something told of it. */
  readonly rusage = new BigInt64Array(RUSAGE_BYTES / 8)

  constructor(library: Library) {
    this.library = library
    const { func } = library
    this.#posixSpawn = func(
      'int posix_spawn(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)',
    )
    this.#pipe2 = func('int pipe2(void *, int)')
    this.#socketpair = func('int socketpair(int, int, int, void *)')
    this.#close = func('int close(int)')
    this.#read = func('long read(int, void *, size_t)')
    this.#write = func('long write(int, void *, size_t)')
    this.#fcntl = func('int fcntl(int, int, int)')
    this.#eventfd = func('int eventfd(uint, int)')
    this.#memfdCreate = func('int memfd_create(const char *, uint)')
    this.#epollCreate = func('int epoll_create1(int)')
    this.#epollCtl = func('int epoll_ctl(int, int, int, void *)')
    this.#epollWait = func('int epoll_wait(int, void *, int, int)')
    // All seven, always: it reads the last one from the stack, which may end there where a call has fewer.
    this.#syscall = func('long syscall(long, long, long, long, long, long, long)')
    this.#wait4 = func('int wait4(int, void *, int, void *)')
    this.#waitid = func('int waitid(int, int, void *, int)')
    this.#splice = func('long splice(int, uintptr_t, int, uintptr_t, size_t, uint)')
    this.#kill = func('int kill(int, int)')
    this.#gettid = func('int gettid()')
    this.#lseek = func('long lseek(int, long, int)')
  }

  #result(value: number): number {
    return value < 0 ? -this.library.errno() : value
  }

  /** `posix_spawn(3)`: 0, or the positive error number of the step that failed, the exec's included. */
  posixSpawn(
    pid: Address,
    path: Address,
    actions: Address,
    attributes: Address,
    argv: Address,
    envp: Address,
  ): number {
    return this.#posixSpawn(pid, path, actions, attributes, argv, envp)
  }

  /** Makes a pipe, close-on-exec, into `ends` (read end, write end); `ends` may be shared memory. */
  pipeInto(ends: Int32Array): number {
    return this.#result(this.#pipe2(ends, O_CLOEXEC))
  }

  /** Makes a pair of connected stream sockets, close-on-exec, that do not block; `ends` may be shared memory. */
  socketpairInto(ends: Int32Array): number {
    return this.#result(this.#socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
  }

  /** Makes a pipe, close-on-exec; -errno if there is no fd left. */
  pipe(): { readonly read: Fd; readonly write: Fd } | number {
    const result = this.pipeInto(this.#pair)
    if (result < 0) return result
    return { read: asFd(this.#pair[0] ?? -1), write: asFd(this.#pair[1] ?? -1) }
  }

  /** A pair of connected stream sockets, close-on-exec; -errno if there is no fd left. */
  socketpair(): { readonly ours: Fd; readonly theirs: Fd } | number {
    const result = this.#result(this.#socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, this.#pair))
    if (result < 0) return result
    return { ours: asFd(this.#pair[0] ?? -1), theirs: asFd(this.#pair[1] ?? -1) }
  }

  close(fd: Fd): void {
    this.#close(fd)
  }

  read(fd: Fd, into: Uint8Array): number {
    return this.#result(this.#read(fd, into, into.byteLength))
  }

  write(fd: Fd, bytes: Uint8Array): number {
    return this.#result(this.#write(fd, bytes, bytes.byteLength))
  }

  setNonblocking(fd: Fd): number {
    return this.#result(this.#fcntl(fd, F_SETFL, O_NONBLOCK))
  }

  /** Lets whoever has this file open wait in `read` and `write`, as programs expect of their stdio. */
  setBlocking(fd: number): void {
    const flags = this.#fcntl(fd, F_GETFL, 0)
    if (flags >= 0 && (flags & O_NONBLOCK) !== 0) this.#fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
  }

  /** How much a pipe holds while its reader does not read. */
  setPipeSize(fd: Fd, bytes: number): number {
    return this.#result(this.#fcntl(fd, F_SETPIPE_SZ, bytes))
  }

  /** A close-on-exec copy of `fd`, numbered `atLeast` or above. */
  duplicateAbove(fd: number, atLeast: number): number {
    return this.#result(this.#fcntl(fd, F_DUPFD_CLOEXEC, atLeast))
  }

  eventfd(): number {
    return this.#result(this.#eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
  }

  /** A file in memory without a name, gone with its last fd. */
  memfd(name: string): number {
    return this.#result(this.#memfdCreate(name, MFD_CLOEXEC))
  }

  /**
   * A file in memory with these bytes, which nobody can change any more.
   * @param executable whether it is a program
   */
  sealedFile(name: string, bytes: Uint8Array, executable: boolean): Fd | number {
    const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING
    let fd = this.#result(this.#memfdCreate(name, executable ? flags | MFD_EXEC : flags))
    // Linux before 6.3 does not know the flag, and takes every such file for executable.
    if (fd === -EINVAL && executable) fd = this.#result(this.#memfdCreate(name, flags))
    if (fd < 0) return fd
    const written = this.write(asFd(fd), bytes)
    this.#lseek(fd, 0, SEEK_SET)
    const result = written < 0 ? written : this.#result(this.#fcntl(fd, F_ADD_SEALS, ALL_SEALS))
    if (result >= 0 && written === bytes.byteLength) return asFd(fd)
    this.close(asFd(fd))
    return result < 0 ? result : -EIO
  }

  /** How long a file is; moves its offset to the end. */
  fileSize(fd: Fd): number {
    return Math.max(0, this.#lseek(fd, 0, SEEK_END))
  }

  epollCreate(): number {
    return this.#result(this.#epollCreate(EPOLL_CLOEXEC))
  }

  epollAdd(epoll: Fd, fd: Fd, events: number, data: number): number {
    this.#eventView.setUint32(0, events >>> 0, true)
    this.#eventView.setInt32(EPOLL_DATA_OFFSET, data, true)
    return this.#result(this.#epollCtl(epoll, EPOLL_CTL_ADD, fd, this.#event))
  }

  epollDelete(epoll: Fd, fd: Fd): number {
    return this.#result(this.#epollCtl(epoll, EPOLL_CTL_DEL, fd, null))
  }

  /** Room for `count` events, for `epollWait`. */
  epollEvents(count: number): EpollEvents {
    const bytes = new Uint8Array(count * EPOLL_EVENT_BYTES)
    return { bytes, view: new DataView(bytes.buffer) }
  }

  /** @returns how many events were written; 0 after `timeout` milliseconds or a signal */
  epollWait(epoll: Fd, { bytes }: EpollEvents, timeout: number): number {
    return Math.max(0, this.#epollWait(epoll, bytes, bytes.byteLength / EPOLL_EVENT_BYTES, timeout))
  }

  epollEventData({ view }: EpollEvents, index: number): number {
    return view.getInt32(index * EPOLL_EVENT_BYTES + EPOLL_DATA_OFFSET, true)
  }

  epollEventFlags({ view }: EpollEvents, index: number): number {
    return view.getUint32(index * EPOLL_EVENT_BYTES, true)
  }

  /** A system call by its number, of the calling thread only. Addresses are numbers. */
  systemCall(number: number, first = 0, second = 0, third = 0, fourth = 0, fifth = 0): number {
    return this.#result(this.#syscall(number, first, second, third, fourth, fifth, 0))
  }

  pidfdOpen(pid: number): number {
    return this.systemCall(SYS_PIDFD_OPEN, pid)
  }

  /** Signals the process that a pidfd was opened for, and no other. */
  pidfdSendSignal(pidfd: Fd, signal: number): number {
    return this.systemCall(SYS_PIDFD_SEND_SIGNAL, pidfd, signal)
  }

  /** Reaps one child; its usage is then in `rusage`. Never called with -1: that would steal libuv's children. */
  wait4(pid: number, options: number): WaitResult {
    const result = this.#result(this.#wait4(pid, this.#status, options, this.rusage))
    return { pid: result, status: this.#status[0] ?? 0 }
  }

  /** Whether a child has exited; it is not reaped by the question. */
  hasExited(pid: number): boolean {
    this.#siginfo[SIGINFO_PID_WORD] = 0
    return (
      this.#waitid(P_PID, pid, this.#siginfo, WEXITED | WNOHANG | WNOWAIT) === 0 &&
      this.#siginfo[SIGINFO_PID_WORD] === pid
    )
  }

  /** Moves up to `length` bytes out of a pipe without their passing through this process. */
  splice(from: Fd, to: Fd, length: number): number {
    return this.#result(this.#splice(from, 0, to, 0, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK))
  }

  kill(pid: number, signal: number): number {
    return this.#result(this.#kill(pid, signal))
  }

  /**
   * Who is at the other end of a Unix socket: as whom it was connected, or, asked by who has connected, as whom it was
   * listened. -errno if it is none.
   */
  peerCredentials(
    socket: number,
  ): { readonly pid: number; readonly uid: number; readonly gid: number } | number {
    // Over buffers of their own: small arrays without one may be moved by the collector.
    const ucred = new Uint32Array(new ArrayBuffer(UCRED_BYTES))
    const length = new Uint32Array(new ArrayBuffer(Uint32Array.BYTES_PER_ELEMENT)).fill(UCRED_BYTES)
    const { addressOf } = this.library
    // By its number: a function for it would be made on every thread, or at a time when its thread may be ended.
    const result = this.systemCall(
      SYS_GETSOCKOPT,
      socket,
      SOL_SOCKET,
      SO_PEERCRED,
      addressOf(ucred),
      addressOf(length),
    )
    if (result < 0) return result
    const [pid = 0, uid = 0, gid = 0] = ucred
    return { pid, uid, gid }
  }

  gettid(): number {
    return this.#gettid()
  }
}

/** Where a thread has its own: the files that run on it are bundled one by one, and share nothing else. */
const OF_THIS_THREAD = Symbol.for('khelper.libc')
const threadGlobals = globalThis as { [OF_THIS_THREAD]?: Libc }

/**
 * Loads the C library and tries what launching needs of it: close-on-exec pipes, pidfds, epoll.
 * @throws Error that says in one sentence what is missing
 */
export function loadLibc(): Libc {
  const libc = new Libc(loadLibrary())
  const pidfd = libc.pidfdOpen(process.pid)
  if (pidfd < 0) throw new Error(`pidfd_open does not work here (error number ${-pidfd})`)
  libc.close(asFd(pidfd))
  threadGlobals[OF_THIS_THREAD] = libc
  return libc
}

/**
 * The C library that this thread has loaded. The main thread loads it if need be; others may be ended meanwhile, and take
 * the process along.
 * @returns undefined where it cannot be had
 */
export function libcOfThisThread(): Libc | undefined {
  const loaded = threadGlobals[OF_THIS_THREAD]
  if (loaded !== undefined || !isMainThread) return loaded
  try {
    return loadLibc()
  } catch {
    return undefined
  }
}
