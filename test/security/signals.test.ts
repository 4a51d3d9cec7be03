/**
 * Signals: a helper's user may signal its own helpers, and nothing of the service, at no moment of a launch.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attack, LONGEST, skipped, startService } from './scene.js'

const ROOTS = ['Gid 0 0 0 0', 'Uid 0 0 0 0']

/** Every thread of a process, with signals that stop, end and open it to debuggers; prints how often it was told what. */
const SIGNAL_THREADS = `
pid, seconds = int(sys.argv[1]), float(sys.argv[2])
signals = (signal.SIGUSR1, signal.SIGSTOP, signal.SIGKILL)
pidfd = os.pidfd_open(pid)
results = collections.Counter()
end = time.monotonic() + seconds
while time.monotonic() < end:
  for number in signals:
    for target in (pid, -pid):
      results[outcome(os.kill, target, number)] += 1
    results[outcome(signal.pidfd_send_signal, pidfd, number)] += 1
  try:
    threads = [int(name) for name in os.listdir(f'/proc/{pid}/task')]
  except OSError:
    # It has been ended.
    break
  for _ in range(100):
    for thread in threads:
      for number in signals:
        results[outcome(syscall, 'tgkill', pid, thread, number)] += 1
tell(results)
`

test('no signal reaches a thread of the service while it launches helpers of the user who sends them', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const service = await startService(`
    import { url } from 'node:inspector'
    let ended = false, launches = 0
    over.then(() => { ended = true })
    const users = new Set()
    const loop = async () => {
      while (!ended) {
        await kernel.run('true', [], OTHER)
        launches += 1
        for (const user of usersOfThreads()) users.add(user)
      }
    }
    const loops = [loop(), loop(), loop(), loop()]
    ready()
    await Promise.all(loops)
    tell({ launches, users: [...users].sort(), inspector: url() ?? 'closed' })`)
  const results = (await attack(SIGNAL_THREADS, [service.child.pid ?? 0, 2]).told()) as Record<string, number>
  const { told, signal } = await service.stop()
  const { launches, ...rest } = told as { launches: number }
  assert.equal(signal, null)
  assert.deepEqual(rest, { users: ROOTS, inspector: 'closed' })
  assert.ok(launches > 0)
  // A thread may have ended.
  const { EPERM = 0, ESRCH = 0, ...others } = results
  assert.deepEqual(others, {})
  assert.ok(EPERM > 1_000, JSON.stringify({ EPERM, ESRCH }))
})

/** Stops or kills whatever the service starts, as early as it is seen. */
const END_CHILDREN = `
pid, seconds = int(sys.argv[1]), float(sys.argv[2])
results = collections.Counter()
end = time.monotonic() + seconds
turn = 0
while time.monotonic() < end:
  threads = os.listdir(f'/proc/{pid}/task')
  for thread in threads * 20:
    try:
      with open(f'/proc/{pid}/task/{thread}/children') as file:
        children = file.read().split()
    except OSError:
      continue
    for child in children:
      turn += 1
      number = signal.SIGKILL if turn % 3 == 0 else signal.SIGSTOP
      results[outcome(os.kill, int(child), number)] += 1
tell(results)
`

test('helpers that are stopped and killed at any point: only their own calls suffer, and a timeout ends them', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const service = await startService(`
    let ended = false, others = 0, beats = 0
    over.then(() => { ended = true })
    const seen = {}, users = new Set()
    const attacked = async () => {
      while (!ended) {
        const options = { ...OTHER, reject: false, timeout: 300, forceKillAfter: 50, keys: new Keyring({ token: 'x' }) }
        const { retval, timedOut } = await kernel.run('true', [], options)
        const what = timedOut ? 'timed out' : String(retval)
        seen[what] = (seen[what] ?? 0) + 1
        for (const user of usersOfThreads()) users.add(user)
      }
    }
    const alone = async () => { while (!ended) { await kernel.run('true'); others += 1 } }
    setInterval(() => { beats += 1 }, 10)
    const loops = [attacked(), attacked(), attacked(), attacked(), alone()]
    ready()
    await Promise.all(loops)
    while (kernel.stats().processes > 0) await new Promise(resolve => setTimeout(resolve, 5))
    tell({ seen, users: [...users].sort(), others: others > 0, beats: beats > 0 })`)
  const results = (await attack(END_CHILDREN, [service.child.pid ?? 0, 2.5]).told()) as Record<string, number>
  const { told, signal } = await service.stop()
  const { seen, ...rest } = told as { seen: Record<string, number> }
  assert.equal(signal, null)
  assert.deepEqual(rest, { users: ROOTS, others: true, beats: true })
  // 9: SIGKILL's.
  const { 0: whole = 0, 9: killed = 0, 'timed out': stopped = 0, ...otherwise } = seen
  assert.deepEqual(otherwise, {})
  assert.ok(whole + killed + stopped > 0)
  assert.ok((results['done'] ?? 0) > 0, `the attack has met nothing: ${JSON.stringify(results)}`)
})

test('a helper that stops itself is ended by its timeout', { skip: skipped, timeout: LONGEST }, async () => {
  const service = await startService(`
    const stopped = kernel.run('sh', ['-c', 'kill -STOP $$'], { ...OTHER, timeout: 200, forceKillAfter: 50, reject: false })
    ready()
    const { timedOut, exitCode } = await stopped
    tell({ timedOut, exitCode })`)
  assert.deepEqual((await service.stop()).told, { timedOut: true, exitCode: null })
})
