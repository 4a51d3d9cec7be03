/**
 * Launches that hang, in a file system that never answers (FUSE, whose server reads nothing) and in a FIFO that nobody
 * opens: their calls end all the same, nobody waits for them, and the process can end.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { boot, type RunOptions } from '../../src/index.js'
import { temporary, write } from '../helpers/temporary.js'

const INDEX = new URL('../../src/index.js', import.meta.url).href
const HANGS_MS = 60_000
const HUNG = temporary('hung')

/** Mounts it in a namespace of its own and becomes Node; the file system goes with the process. */
const MOUNT = `
import ctypes, os, sys
fuse = os.open('/dev/fuse', os.O_RDWR)
os.set_inheritable(fuse, True)
options = ('fd=%d,rootmode=40000,user_id=0,group_id=0' % fuse).encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'hung', sys.argv[1].encode(), b'fuse', 0, options) != 0: sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])`

const mounting = (command: readonly string[]): string[] => ['-m', 'python3', '-c', MOUNT, HUNG, ...command]
mkdirSync(HUNG)
const skip =
  (process.getuid?.() !== 0 || !existsSync('/dev/fuse')
    ? 'needs root and FUSE'
    : spawnSync('unshare', mounting(['/bin/true'])).status !== 0) && 'needs root, unshare, python3 and FUSE'

/**
 * Runs a module's text beside a file system that hangs.
 * @returns the JSON that it printed; it may kill itself then
 */
async function beside(source: string): Promise<unknown> {
  const file = write(`hung-${Math.random()}.mjs`, `import { boot } from '${INDEX}'\n${source}`)
  const limits = { timeout: HANGS_MS, killSignal: 'SIGKILL' } as const
  const command = mounting([process.execPath, file])
  const { stdout } = await promisify(execFile)('unshare', command, limits).catch(error => {
    if (error.stdout === '') throw error
    return error
  })
  return JSON.parse(stdout)
}

const OUTCOMES = `
  const kernel = boot()
  await kernel.run('true')
  let beats = 0
  setInterval(() => { beats += 1 }, 5).unref()
  const outcome = async (file, options) => {
    const before = beats
    const { code, timedOut } = await kernel.run(file, [], { timeout: 100, ...options }).catch(error => error)
    return [code, timedOut, beats > before]
  }`

for (const [situation, file, options] of [
  ['a program', `${HUNG}/program`, {}],
  ['a program, and no SIGKILL is to be sent', `${HUNG}/program`, { forceKillAfter: false }],
  ['a program behind an exec step', `${HUNG}/program`, { umask: 0 }],
  ['a working directory', 'true', { cwd: HUNG }],
  ['a working directory behind an exec step', 'true', { cwd: HUNG, umask: 0 }],
  ['a file for its output', 'true', { stdout: { file: `${HUNG}/file` } }],
  ['a folder in PATH', 'program', { env: { PATH: HUNG } }],
] as const) {
  test(`${situation} that hangs: the timeout holds, the event loop and other calls go on`, {
    skip,
  }, async () => {
    const given = { forceKillAfter: 50, ...options }
    const outcome = await beside(`${OUTCOMES}
      const hung = await outcome(${JSON.stringify(file)}, ${JSON.stringify(given)})
      const other = await kernel.run('echo', ['other'])
      console.log(JSON.stringify([...hung, other.stdout]))
      // A khelper that hangs while it looks for a program in PATH cannot be ended but with the process.
      process.kill(process.pid, 'SIGKILL')`)
    assert.deepEqual(outcome, ['ETIMEDOUT', true, true, 'other\n'])
  })
}

test('the pid of a launch that hangs is not waited for without end; kill ends it', { skip }, async () => {
  const ended = await beside(`
    const kernel = boot()
    const helper = kernel.run('${HUNG}/program', [], { reject: false })
    const { pid } = helper
    const sent = helper.kill('SIGKILL')
    const { signalCode } = await helper
    await kernel.shutdown()
    console.log(JSON.stringify([pid ?? null, sent, signalCode]))`)
  assert.deepEqual(ended, [null, true, 'SIGKILL'])
})

test('a process that ends while a launch hangs does end', { skip }, async () => {
  const code = await beside(`
    const kernel = boot()
    await kernel.run('true')
    void kernel.run('${HUNG}/program').catch(() => {})
    setTimeout(() => { console.log('"at its end"'); process.exit() }, 50)`)
  assert.equal(code, 'at its end')
})

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  test(`a FIFO that nobody opens, with the launcher ${launcher}: the timeout holds, and others go on`, async () => {
    await using kernel = boot({ launcher })
    for (const stream of ['stdin', 'stdout'] as const) {
      const fifo = temporary(`fifo-${launcher}-${stream}`)
      spawnSync('mkfifo', [fifo])
      const options: RunOptions = { [stream]: { file: fifo }, timeout: 100, forceKillAfter: 100 }
      const rejected = assert.rejects(kernel.run('cat', [], options), { code: 'ETIMEDOUT', timedOut: true })
      assert.equal((await kernel.run('echo', ['other'])).stdout, 'other\n')
      await rejected
      // With child_process a thread of the pool still waits to open it: it is let go.
      closeSync(openSync(fifo, constants.O_RDWR))
    }
    const fifo = temporary(`fifo-${launcher}`)
    spawnSync('mkfifo', [fifo])
    const writer = kernel.run('sh', ['-c', `echo through > ${fifo}`])
    assert.equal((await kernel.run('cat', [], { stdin: { file: fifo } })).stdout, 'through\n')
    await writer
  })
}
