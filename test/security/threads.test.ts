/**
 * The service's threads: none of them takes on anything of a helper's, at no launch of any kind. strace(1) has seen it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { temporary, write } from '../helpers/temporary.js'
import { HELPER, LONGEST, openFolder, withoutStrace } from './scene.js'

/** All by which a thread, or its process, becomes another. */
const CHANGES = [
  ...[
    'setuid',
    'setgid',
    'setreuid',
    'setregid',
    'setresuid',
    'setresgid',
    'setfsuid',
    'setfsgid',
    'setgroups',
  ],
  ...[
    'capset',
    'keyctl',
    'add_key',
    'request_key',
    'umask',
    'setpriority',
    'ioprio_set',
    'sched_setaffinity',
  ],
  ...[
    'sched_setscheduler',
    'sched_setparam',
    'sched_setattr',
    'unshare',
    'setns',
    'setsid',
    'setpgid',
    'chroot',
  ],
  ...['setrlimit', 'personality', 'prctl', 'seccomp', 'chdir', 'fchdir'],
]
/** A name; the mark by which descendants are found; what only asks. */
const HARMLESS = /^prctl\((PR_SET_NAME|PR_SET_TIMERSLACK|PR_SET_VMA|PR_GET_|PR_CAPBSET_READ|0x53564d41)/
/** What posix_spawn does in the child, for the child. */
const OF_A_CHILD = /^(setsid\(|setpgid\(0, 0\b|chdir\()/
const ROUNDS = 10

test('hundreds of launches of every kind: no thread of the service changes what it is', {
  skip: withoutStrace,
  timeout: LONGEST,
}, () => {
  const folder = openFolder(HELPER)
  const index = new URL('../../src/index.js', import.meta.url).href
  const service = write(
    'launches.mjs',
    `import { boot, Keyring } from '${index}'
     const kernel = boot({ khelpers: 4 })
     const other = { uid: ${HELPER}, gid: ${HELPER} }
     const keys = new Keyring({ token: 'x' })
     const file = '${folder}/log', its = '${folder}/its'
     const kinds = [
       {}, other, { uid: 'nobody' }, { ...other, groups: ['daemon', 4] }, { gid: 1, groups: [2] }, { uid: 0 },
       { umask: 0o77 }, { nice: 5 }, { affinity: [0] }, { noNewPrivs: true }, { rlimits: { nofile: 100, core: 0 } },
       { keys }, { ...other, keys }, { stdout: { file } }, { ...other, stdout: { file: its, append: true } },
       { ...other, cwd: '/usr' }, { cwd: '/usr' }, { detached: true }, { ...other, terminal: true }, { ...other, detached: true },
       { input: 'text' }, { ...other, input: 'text' },
       { ...other, keys, umask: 0, nice: 1, affinity: [0], noNewPrivs: true, rlimits: { core: 0 }, cwd: '/', stdout: { file: its } },
     ]
     let launches = 0
     const all = async () => {
       const codes = await Promise.all(kinds.map(options => kernel.run('true', [], options).then(() => 0, error => error.code)))
       launches += codes.filter(code => code === 0).length
       if (codes.some(code => code !== 0)) throw new Error(String(codes))
       for (const options of [{ ...other, cwd: '/no/such/folder' }, { ...other, stdout: { file: '/log' } }])
         await kernel.run('true', [], options).then(() => { throw new Error('started') }, () => {})
     }
     for (let round = 0; round < ${ROUNDS}; round += 1) {
       // For all that come, from some round on.
       if (round === ${ROUNDS - 2}) kernel.usermodehelperInheritable = 0n
       if (round === ${ROUNDS - 1}) kernel.usermodehelperBset = 2n ** 64n - 2n
       await all()
     }
     await kernel.shutdown()
     console.log(JSON.stringify([launches, kinds.length]))`,
  )
  const log = temporary('strace')
  const traced = spawnSync(
    'strace',
    [
      '-f',
      '-qq',
      '-e',
      'signal=none',
      '-e',
      `trace=execve,${CHANGES.map(name => `?${name}`).join(',')}`,
      '-o',
      log,
      process.execPath,
      service,
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  assert.equal(traced.status, 0)
  const [launches, kinds] = JSON.parse(traced.stdout)
  assert.equal(launches, kinds * ROUNDS)

  const { threads, children, steps, started } = readTrace(readFileSync(log, 'utf8'))
  assert.deepEqual(threads, [])
  assert.deepEqual(children, [])
  assert.ok(started >= launches, `${started} of ${launches} have been seen`)
  // That it is seen where it does happen.
  assert.ok((steps['setresuid'] ?? 0) >= 8 * ROUNDS, JSON.stringify(steps))
  for (const name of [
    'setgroups',
    'setresgid',
    'capset',
    'keyctl',
    'umask',
    'setpriority',
    'sched_setaffinity',
    'chdir',
  ]) {
    assert.ok((steps[name] ?? 0) > 0, name)
  }
})

interface Seen {
  /** Changes by the service's threads. */
  readonly threads: string[]
  /** By children that share its memory still. */
  readonly children: string[]
  /** By processes with memory of their own, by their names. */
  readonly steps: Record<string, number>
  /** How many have been started. */
  readonly started: number
}

function readTrace(text: string): Seen {
  const lines = text
    .split('\n')
    .map(line => /^(\d+) +([a-z].*)$/.exec(line))
    .flatMap(match => (match === null ? [] : [{ pid: match[1] ?? '', call: match[2] ?? '' }]))
  const main = lines[0]?.pid ?? ''
  const processes = new Set(
    lines.filter(({ call, pid }) => call.startsWith('execve(') && pid !== main).map(({ pid }) => pid),
  )
  const apart = new Set<string>()
  const seen = { threads: [] as string[], children: [] as string[], steps: {} as Record<string, number> }
  for (const { pid, call } of lines) {
    const name = call.slice(0, call.indexOf('('))
    if (name === 'execve') apart.add(pid)
    else if (!CHANGES.includes(name) || HARMLESS.test(call)) continue
    else if (!processes.has(pid)) seen.threads.push(call)
    else if (apart.has(pid)) seen.steps[name] = (seen.steps[name] ?? 0) + 1
    else if (!OF_A_CHILD.test(call)) seen.children.push(call)
  }
  return { ...seen, started: processes.size }
}
