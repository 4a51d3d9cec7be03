/**
 * A dump to a program's standard input: through a pipe while the service goes on, through a file without a name when
 * the service is dying and its event loop will not turn again.
 */
import { closeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { UMH_WAIT_EXEC, UMH_WAIT_PROC } from '../../kernel/constants.js'
import { SystemError } from '../../kernel/errors.js'
import { Folder } from '../../kernel/folder.js'
import type { Kernel } from '../../kernel/kernel.js'
import type { Helper, RunOptions } from '../../kernel/run/types.js'
import { temporaryPlace } from '../../kernel/safe-places.js'
import { makeServiceFolder, removeFolder, removeLeftFolders } from '../../kernel/service-folders.js'
import { type ErrnoName, errnoName } from '../../libc/errno.js'

/** How often a dying service looks whether the program has ended. */
const LOOK_MS = 5
const FILE = 'core'
const READABLE = 0o400

/** @param waits whether the program's end is waited for, and not only its exec */
const options = (argv: readonly string[], waits: boolean): RunOptions => ({
  argv0: argv[0] ?? '',
  // Linux gives these programs an empty environment.
  env: [],
  stdout: 'ignore',
  stderr: 'ignore',
  reject: false,
  wait: waits ? UMH_WAIT_PROC : UMH_WAIT_EXEC,
})

/**
 * @param late aborted when it has taken too long: what is not started is withdrawn, the pipe is closed, and a program
 *   whose end is waited for is ended
 * @throws SystemError what stood in the way of the exec, or of the last byte; ETIMEDOUT if it took too long
 */
export async function pipeCore(
  kernel: Kernel,
  argv: readonly string[],
  bytes: Uint8Array,
  waits: boolean,
  late: AbortSignal,
): Promise<void> {
  const helper = kernel.runAtEnd(
    argv[0] ?? '',
    argv.slice(1),
    { ...options(argv, waits), stdin: 'pipe', signal: late },
    false,
  )
  const giveUp = () => helper.stdin?.destroy()
  late.addEventListener('abort', giveUp, { once: true })
  try {
    const [{ retval }] = await Promise.all([
      helper,
      written(helper.stdin, bytes).catch(async error => {
        // Why it was not started says more than that nobody reads.
        const { retval } = await helper
        throw retval < 0 ? notStarted(retval, argv) : error
      }),
    ])
    if (retval < 0) throw notStarted(retval, argv)
  } catch (error) {
    throw late.aborted ? notEnded(argv) : error
  } finally {
    late.removeEventListener('abort', giveUp)
  }
  if (late.aborted) throw notEnded(argv)
}

/**
 * The same, but blocks this thread.
 * @param longest milliseconds from the call to the exec, and to the program's end where that is waited for, too
 * @throws SystemError as above; ETIMEDOUT if it took longer
 */
export function pipeCoreSync(
  kernel: Kernel,
  argv: readonly string[],
  bytes: Uint8Array,
  waits: boolean,
  longest: number,
): void {
  const deadline = performance.now() + longest
  const stdin = filledFile(bytes)
  let helper: Helper<string | Buffer>
  try {
    const started = kernel.runAtEnd(argv[0] ?? '', argv.slice(1), { ...options(argv, waits), stdin }, false)
    helper = started
    helper.catch(() => {})
    const retval = started.startedBy(deadline)
    if (retval < 0) throw notStarted(retval, argv)
  } finally {
    closeSync(stdin)
  }
  if (!waits) return
  const word = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  while (helper.kill(0)) {
    const left = deadline - performance.now()
    if (left <= 0) throw notEnded(argv)
    Atomics.wait(word, 0, 0, Math.min(LOOK_MS, left))
  }
}

const notStarted = (retval: number, [path = '']: readonly string[]) =>
  new SystemError(errnoName(retval) as ErrnoName, 'the program of kernel.core_pattern could not be started', {
    syscall: 'execve',
    path,
  })

const notEnded = ([path = '']: readonly string[]) =>
  new SystemError('ETIMEDOUT', 'the program of kernel.core_pattern was not done in time', {
    syscall: 'wait4',
    path,
  })

/** @throws EPIPE if nobody reads to the end */
function written(stdin: Writable | null, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    // There was no pipe to be had: what the call gives says so.
    if (stdin === null) {
      resolve()
      return
    }
    stdin.on('error', reject)
    stdin.on('close', () =>
      reject(new SystemError('EPIPE', 'the program did not read it', { syscall: 'write' })),
    )
    stdin.end(bytes, (error?: Error | null) => (error ? reject(error) : resolve()))
  })
}

/** A file that has lost its name, to be read from its start. */
function filledFile(bytes: Uint8Array): number {
  const place = temporaryPlace()
  removeLeftFolders(place, 'core')
  const path = makeServiceFolder(place, 'core')
  try {
    const folder = Folder.open(path)
    try {
      folder.write(FILE, bytes, READABLE)
      return folder.openFile(FILE)
    } finally {
      folder.close()
    }
  } finally {
    removeFolder(path, [FILE])
  }
}
