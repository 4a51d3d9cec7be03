/**
 * Ends helpers when the service dies, however it dies: `boot({ onServiceDeath: 'kill' })`.
 *
 * A watcher, awk(1) in a session of its own, reads from a pipe whose other end only the service has. Khelpers write the
 * pid of what they start into it, wait_for_helper the pids of what it is about to reap; the pipe's end is the service's
 * end, and what runs then is killed. PR_SET_PDEATHSIG is no use: it fires when the *thread* dies that started a helper.
 */
import { asFd, errnoName, type Fd, type Libc } from '../libc/index.js'
import type { CallSpec } from './call-spec.js'
import { unsupported } from './errors.js'
import { Control, type Memory, SlotFlag, Stdio } from './memory.js'
import { findProgram } from './path-search.js'

const SEARCH = '/usr/bin:/bin:/usr/local/bin'
const PIPE_BYTES = 2 ** 20
const QUIT = Buffer.from('q\n')
const SCRIPT = `
/^[+]/ { running[substr($0, 2)] = 1 }
/^-/ { delete running[substr($0, 2)] }
/^q/ { quit = 1; exit }
END {
  if (quit) exit
  for (pid in running) list = list " -" pid " " pid
  if (list) system("kill -9" list " 2>/dev/null")
}`

export class ServiceDeath {
  readonly #memory: Memory
  readonly #libc: Libc
  readonly #pipe: Fd
  /** What starts the watcher. */
  readonly spec: CallSpec

  /** @throws where there is no awk(1), or no pipe can be made */
  constructor(memory: Memory, libc: Libc) {
    this.#memory = memory
    this.#libc = libc
    const awk = findProgram('awk', SEARCH, undefined)
    if (typeof awk === 'number') throw unsupported("onServiceDeath: 'kill' needs awk(1)")
    const pipe = libc.pipe()
    if (typeof pipe === 'number') {
      throw Object.assign(new Error(`${errnoName(pipe)}: no pipe to the watcher could be made`), {
        code: errnoName(pipe),
        errno: pipe,
        syscall: 'pipe2',
      })
    }
    libc.setPipeSize(pipe.write, PIPE_BYTES)
    this.#pipe = pipe.write
    memory.words[memory.control(Control.WATCHER_FD)] = pipe.write + 1
    this.spec = {
      path: awk,
      argv: ['awk', SCRIPT],
      envp: [],
      flags: SlotFlag.DETACHED | SlotFlag.UNLISTED,
      stdio: [
        { kind: Stdio.OWNED_FD, fd: pipe.read },
        { kind: Stdio.IGNORE, fd: 0 },
        { kind: Stdio.IGNORE, fd: 0 },
      ],
    }
  }

  /** The kernel shuts down: what still runs goes on. */
  close(): void {
    Atomics.store(this.#memory.words, this.#memory.control(Control.WATCHER_FD), 0)
    this.#libc.write(this.#pipe, QUIT)
    this.#libc.close(this.#pipe)
  }
}

/** Tells the watcher, where there is one, of a helper that has been started, or is about to be reaped. */
export function tellWatcher(memory: Memory, libc: Libc, what: '+' | '-', pid: number): void {
  const fd = Atomics.load(memory.words, memory.control(Control.WATCHER_FD)) - 1
  if (fd >= 0) libc.write(asFd(fd), Buffer.from(`${what}${pid}\n`))
}
