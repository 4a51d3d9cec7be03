/**
 * Memory and descriptors: a helper's user looks into no thread of the service, nor into the step between service and
 * helper, which has that user's number already when it opens the helper's files.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { boot, Keyring } from '../../src/index.js'
import { eventually } from '../helpers/resources.js'
import { AS_HELPER, attack, HELPER, LONGEST, openFolder, skipped, startService } from './scene.js'

/** All ways into a process, or one of its threads, as a function that gives what of them has worked. */
const LOOK = `
PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_DETACH = 16, 0x4206, 17
def opened(path, flags=os.O_RDONLY):
  file = os.open(path, flags)
  try:
    # /proc lets some be opened, and gives nothing.
    if flags == os.O_RDONLY and not os.read(file, 1):
      raise OSError(errno.EPERM, path)
  finally:
    os.close(file)
def traced(request, thread):
  syscall('ptrace', request, thread, 0, 0)
  os.waitpid(thread, 0x40000000) if request == PTRACE_ATTACH else None
  outcome(syscall, 'ptrace', PTRACE_DETACH, thread, 0, 0)
def copied(pid):
  buffer = ctypes.create_string_buffer(8)
  vector = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
  # An address where there is nothing: with the right to look it would be EFAULT.
  try:
    syscall('process_vm_readv', pid, vector, 1, (ctypes.c_ulong * 2)(4096, 8), 1, 0)
  except OSError as error:
    if error.errno != errno.EFAULT:
      raise
def taken(pid):
  pidfd = os.pidfd_open(pid)
  try:
    for number in range(16):
      try:
        os.close(syscall('pidfd_getfd', pidfd, number, 0))
        return
      except OSError as error:
        if error.errno != errno.EBADF:
          raise
  finally:
    os.close(pidfd)
LOOKS = {
  'attach': lambda pid, task: traced(PTRACE_ATTACH, task),
  'seize': lambda pid, task: traced(PTRACE_SEIZE, task),
  'mem': lambda pid, task: opened(f'/proc/{pid}/task/{task}/mem', os.O_RDWR),
  'read mem': lambda pid, task: os.close(os.open(f'/proc/{pid}/task/{task}/mem', os.O_RDONLY)),
  'maps': lambda pid, task: opened(f'/proc/{pid}/task/{task}/maps'),
  'environ': lambda pid, task: opened(f'/proc/{pid}/task/{task}/environ'),
  'auxv': lambda pid, task: opened(f'/proc/{pid}/task/{task}/auxv'),
  'descriptors': lambda pid, task: os.listdir(f'/proc/{pid}/task/{task}/fd'),
  'descriptor': lambda pid, task: os.close(os.open(f'/proc/{pid}/task/{task}/fd/1', os.O_RDWR)),
  'program': lambda pid, task: os.readlink(f'/proc/{pid}/task/{task}/exe'),
  'folder': lambda pid, task: os.listdir(f'/proc/{pid}/task/{task}/cwd/'),
  'process_vm_readv': lambda pid, task: copied(pid),
  'pidfd_getfd': lambda pid, task: taken(pid),
  'kcmp': lambda pid, task: syscall('kcmp', task, os.getpid(), 0, 0, 0),
}
def look(pid, task):
  return [name for name, attempt in LOOKS.items() if outcome(attempt, pid, task) == 'done']
`

const LOOK_AT_SERVICE = `${LOOK}
pid, seconds = int(sys.argv[1]), float(sys.argv[2])
def written(path):
  file = os.open(path, os.O_WRONLY)
  try:
    os.write(file, b'1000')
  finally:
    os.close(file)
CHANGES = {
  'niceness': lambda task: os.setpriority(os.PRIO_PROCESS, task, 19),
  'processors': lambda task: os.sched_setaffinity(task, [0]),
  'scheduler': lambda task: os.sched_setscheduler(task, os.SCHED_IDLE, os.sched_param(0)),
  'I/O priority': lambda task: syscall('ioprio_set', 1, task, 3 << 13),
  'group': lambda task: os.setpgid(task, os.getpgid(0)),
  'timer slack': lambda task: written(f'/proc/{task}/timerslack_ns'),
  'out of memory': lambda task: written(f'/proc/{pid}/oom_score_adj'),
}
rounds, done = 0, set()
end = time.monotonic() + seconds
while time.monotonic() < end:
  for task in os.listdir(f'/proc/{pid}/task'):
    done.update(look(pid, int(task)))
    done.update(name for name, attempt in CHANGES.items() if outcome(attempt, int(task)) == 'done')
    rounds += 1
tell({'rounds': rounds > 0, 'done': sorted(done)})
`

test('no thread of the service is traced, read or slowed down while it launches helpers of that user', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const service = await startService(`
    let ended = false
    over.then(() => { ended = true })
    const loop = async () => { while (!ended) await kernel.run('true', [], { ...OTHER, umask: 0o77 }) }
    const loops = [loop(), loop(), loop(), loop()]
    ready()
    await Promise.all(loops)
    tell('well')`)
  const told = await attack(LOOK_AT_SERVICE, [service.child.pid ?? 0, 1.5]).told()
  assert.deepEqual(told, { rounds: true, done: [] })
  assert.equal((await service.stop()).told, 'well')
})

/** That the looks find something where there is something to find. */
const LOOK_AT_ITSELF = `${LOOK}
child = os.fork()
if child == 0:
  time.sleep(600)
tell(look(child, child))
os.kill(child, signal.SIGKILL)
`

const LOOK_AT_STEP = `${LOOK}
pid = int(sys.argv[1])
tell({'done': look(pid, pid), 'named': open(f'/proc/{pid}/cmdline').read()})
sys.stdin.read()
os.kill(pid, signal.SIGSTOP)
tell('stopped')
`

/** A process of this one whose user is the helper's. */
function stepOf(user: number): number | undefined {
  for (const thread of readdirSync('/proc/self/task')) {
    for (const pid of readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean)) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      // Not the attacker, which is a child of this process, too.
      if (status.includes(`Uid:\t${user}\t`) && !status.startsWith('Name:\tpython3')) return Number(pid)
    }
  }
  return undefined
}

test('the step that is the helper’s user already cannot be looked into; one that is stopped there costs its call', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const usual = (await attack(LOOK_AT_ITSELF, []).told()) as string[]
  for (const name of ['attach', 'mem', 'environ', 'descriptors', 'process_vm_readv', 'pidfd_getfd']) {
    assert.ok(usual.includes(name), `${name} is among what is looked at: ${usual}`)
  }

  await using kernel = boot({ khelpers: 1 })
  const folder = openFolder(HELPER)
  const fifo = join(folder, 'fifo')
  spawnSync('mkfifo', [fifo])
  chownSync(fifo, HELPER, HELPER)
  const controller = new AbortController()
  // It hangs as it opens this.
  const call = kernel.run('true', [], {
    ...AS_HELPER,
    stdout: { file: fifo },
    keys: new Keyring({ token: 'secret of the service' }),
    signal: controller.signal,
    forceKillAfter: 50,
    reject: false,
  })
  await eventually('the step is the helper’s user', () => stepOf(HELPER) !== undefined)
  const attacker = attack(LOOK_AT_STEP, [stepOf(HELPER) ?? 0])
  assert.deepEqual(await attacker.told(), { done: [], named: 'true\0' })
  attacker.child.stdin?.end()
  assert.equal(await attacker.told(), 'stopped')
  // The thread that has started it is free.
  assert.equal((await kernel.run('echo', ['goes on'])).stdout, 'goes on\n')
  controller.abort()
  const { aborted, exitCode } = await call
  assert.deepEqual([aborted, exitCode], [true, null])
})
