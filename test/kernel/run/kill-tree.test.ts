/**
 * The whole tree dies: descendants that left the group, the session, their parents, or ignore what they are sent.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { boot } from '../../../src/index.js'
import { alive, eventually } from '../../helpers/resources.js'

const folder = mkdtempSync(join(tmpdir(), 'khelper-tree-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let number = 0
/** Each process of the tree writes its pid here. */
function pidFile(): { readonly path: string; pids(): number[] } {
  number += 1
  const path = join(folder, `pids-${number}`)
  return {
    path,
    pids: () => {
      try {
        return readFileSync(path, 'utf8').trim().split('\n').filter(Boolean).map(Number)
      } catch {
        return []
      }
    },
  }
}

/** Scripts that start other processes; each process adds its pid to "$1". */
const TREES: readonly (readonly [string, number, string])[] = [
  ['a child in the same group', 2, 'echo $$ >>"$1"; sh -c "echo \\$\\$ >>$1; sleep 600" & wait'],
  [
    'a child in a session of its own',
    2,
    'echo $$ >>"$1"; setsid sh -c "echo \\$\\$ >>$1; exec sleep 600" & wait',
  ],
  [
    'a daemon: in a session of its own, its parents gone',
    2,
    'echo $$ >>"$1"; (setsid sh -c "(echo \\$\\$ >/dev/null; exec sh -c \'echo \\$\\$ >>$1; exec sleep 600\') & exit" &) ; exec sleep 600',
  ],
  [
    'a daemon with an empty environment and another name',
    2,
    'echo $$ >>"$1"; (setsid env -i sh -c "echo \\$\\$ >>$1; exec sleep 600" </dev/null >/dev/null 2>&1 &) ; exec sleep 600',
  ],
  [
    'three generations, each in another session',
    3,
    'echo $$ >>"$1"; setsid sh -c "echo \\$\\$ >>$1; setsid sh -c \'echo \\$\\$ >>$1; exec sleep 600\' & wait" & wait',
  ],
]

for (const [situation, count, script] of TREES) {
  test(`kill({ tree: true }): ${situation}`, async () => {
    await using kernel = boot({ khelpers: 1 })
    const file = pidFile()
    const helper = kernel.run('sh', ['-c', script, 'sh', file.path], { reject: false })
    await eventually('all of the tree is there', () => file.pids().length === count)
    assert.equal(helper.kill({ tree: true, signal: 'SIGKILL' }), true)
    assert.equal((await helper).signalCode, 'SIGKILL')
    await eventually('all of it has gone', () => file.pids().every(pid => !alive(pid)))
  })
}

test('on timeout and on abort by default, within the grace period by the kill signal', async () => {
  await using kernel = boot({ khelpers: 2 })
  const [, count, script] = TREES[2] ?? ['', 0, '']
  for (const end of ['timeout', 'abort'] as const) {
    const file = pidFile()
    const controller = new AbortController()
    const helper = kernel.run('sh', ['-c', script, 'sh', file.path], {
      reject: false,
      signal: controller.signal,
      // Long enough for a loaded machine to have the tree there.
      ...(end === 'timeout' && { timeout: 2_000 }),
    })
    await eventually('all of the tree is there', () => file.pids().length === count)
    if (end === 'abort') controller.abort()
    const { timedOut, aborted } = await helper
    assert.deepEqual([timedOut, aborted], [end === 'timeout', end === 'abort'])
    await eventually('all of it has gone', () => file.pids().every(pid => !alive(pid)))
  }
})

test('on maxOutput by default', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = pidFile()
  const script =
    'echo $$ >>"$1"; setsid sh -c "echo \\$\\$ >>$1; exec sleep 600" & while [ $(wc -l <"$1") -lt 2 ]; do sleep 0.01; done; exec yes'
  const { outputTruncated } = await kernel.run('sh', ['-c', script, 'sh', file.path], {
    reject: false,
    maxOutput: 1_000,
  })
  assert.equal(outputTruncated, true)
  await eventually(
    'all of it has gone',
    () => file.pids().length === 2 && file.pids().every(pid => !alive(pid)),
  )
})

test('a descendant that ignores the signal is killed when the grace period is over, though the helper has ended', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = pidFile()
  const script =
    'echo $$ >>"$1"; setsid sh -c "trap \'\' TERM; echo \\$\\$ >>$1; while :; do sleep 0.05; done" & wait'
  const abort = new AbortController()
  const helper = kernel.run('sh', ['-c', script, 'sh', file.path], {
    reject: false,
    signal: abort.signal,
    forceKillAfter: 200,
  })
  await eventually('all of the tree is there', () => file.pids().length === 2)
  abort.abort()
  assert.equal((await helper).aborted, true)
  await eventually('all of it has gone', () => file.pids().every(pid => !alive(pid)))
})

test('a tree that forks all the time dies, too', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = pidFile()
  const script = `forker() { while :; do (sleep 0.01; setsid sh -c 'echo $$ >>"$0"; sleep 1' "$1") & sleep 0.005; done; }; forker "$1"`
  const helper = kernel.run('sh', ['-c', script, 'sh', file.path], { reject: false })
  await eventually('it forks', () => file.pids().length > 20)
  helper.kill({ tree: true, signal: 'SIGKILL' })
  await helper
  await eventually('all of it has gone', () => file.pids().every(pid => !alive(pid)))
  const { length } = file.pids()
  await kernel.run('sleep', ['0.2'])
  assert.equal(file.pids().length, length)
})

test('a signal that is not SIGKILL is seen by all, and stops nobody for good', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = pidFile()
  const script =
    'trap "echo parent; wait; exit 3" USR1; (trap "echo child; exit" USR1; echo $$ >>"$1"; while :; do sleep 0.01; done) & while :; do sleep 0.01; done'
  const helper = kernel.run('sh', ['-c', script, 'sh', file.path], { reject: false })
  await eventually('the child is there', () => file.pids().length === 1)
  helper.kill({ tree: true, signal: 'SIGUSR1' })
  const { exitCode, stdout } = await helper
  assert.equal(exitCode, 3)
  assert.deepEqual(stdout.trim().split('\n').toSorted(), ['child', 'parent'])
})

test('other helpers, and what earlier ones have left behind, are not touched', async () => {
  await using kernel = boot({ khelpers: 1 })
  const file = pidFile()
  await kernel.run('sh', [
    '-c',
    'setsid sh -c "echo \\$\\$ >>$1; exec sleep 600" </dev/null >/dev/null 2>&1 &',
    'sh',
    file.path,
  ])
  await eventually('it has been left behind', () => file.pids().length === 1)
  const other = kernel.run('sleep', ['600'], { reject: false })
  const helper = kernel.run('sleep', ['600'], { reject: false })
  assert.ok(helper.pid !== undefined && other.pid !== undefined)
  helper.kill({ tree: true })
  assert.equal((await helper).signalCode, 'SIGTERM')
  assert.deepEqual([alive(other.pid), ...file.pids().map(alive)], [true, true])
  other.kill()
  await other
  for (const pid of file.pids()) process.kill(pid)
})

/** Becomes a sleep that has another process's timer slack; or starts one, and stays. */
const MARKED = `import ctypes, os, sys
if os.fork() == 0 or sys.argv[2] == 'alone':
    ctypes.CDLL(None).prctl(29, int(sys.argv[1]), 0, 0, 0)
    os.execvp('sleep', ['sleep', '600'])
os.wait()`

test('what has the same mark and is another’s is not touched: of this process, of another service', async () => {
  await using kernel = boot({ khelpers: 1 })
  const helper = kernel.run('sh', ['-c', 'sleep 600 & wait'], { reject: false })
  const mark = readFileSync(`/proc/${helper.pid}/timerslack_ns`, 'utf8').trim()
  const others = ['alone', 'with a child'].map(how =>
    spawn('python3', ['-c', MARKED, mark, how], { stdio: 'ignore' }),
  )
  const childrenOf = (pid: number | undefined): number[] => {
    const text = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' }).stdout
    return text.trim().split('\n').filter(Boolean).map(Number)
  }
  const hasMark = (pid: number | undefined) =>
    pid !== undefined && readFileSync(`/proc/${pid}/timerslack_ns`, 'utf8').trim() === mark
  const innocent = () => [others[0]?.pid, ...others.flatMap(({ pid }) => childrenOf(pid))]
  await eventually('both have the mark', () => innocent().length === 3 && innocent().every(hasMark))
  const pids = innocent()
  helper.kill({ signal: 'SIGKILL', tree: true })
  await helper
  await eventually('the tree has gone', () => !alive(helper.pid ?? 0))
  for (const pid of pids) assert.ok(alive(pid ?? 0))
  for (const pid of pids) process.kill(pid ?? 0, 'SIGKILL')
})

test('kill takes options of the right kind only', async () => {
  await using kernel = boot({ khelpers: 1 })
  const helper = kernel.run('sleep', ['600'], { reject: false })
  assert.throws(() => helper.kill({ tree: 'yes' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => helper.kill({ signal: 'SIGNOTHING' as never, tree: true }), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
  helper.kill({})
  assert.equal((await helper).signalCode, 'SIGTERM')
})

test('kill() reaches a helper that has joined the service’s process group, and what it left in its own', async () => {
  await using kernel = boot({ khelpers: 1 })
  const pids = pidFile()
  const script = `import os, subprocess, sys, time
child = subprocess.Popen(['sleep', '600'])
os.setpgid(0, os.getpgid(os.getppid()))
with open(sys.argv[1], 'a') as file: print(os.getpid(), child.pid, sep='\\n', file=file)
time.sleep(600)`
  const helper = kernel.run('python3', ['-c', script, pids.path], {
    reject: false,
    stdout: 'ignore',
    stderr: 'ignore',
  })
  await eventually('it has joined', () => pids.pids().length === 2)
  assert.equal(helper.kill('SIGKILL'), true)
  assert.equal((await helper).signalCode, 'SIGKILL')
  await eventually('both have gone', () => !pids.pids().some(alive))
})
