/**
 * `node --import khelper/register`: the drop-in under a whole process, as applications and libraries meet it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const REGISTER = new URL('../../src/register.js', import.meta.url).href
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const folder = mkdtempSync(join(ROOT, 'node_modules', '.khelper-register-'))
const scratch = mkdtempSync(join(tmpdir(), 'khelper-register-'))
after(() => {
  rmSync(folder, { recursive: true, force: true })
  rmSync(scratch, { recursive: true, force: true })
})

/** Runs a program under khelper/register, and gives what it prints. */
function run(name: string, source: string, env: Record<string, string> = {}): string {
  const file = join(folder, name)
  writeFileSync(file, source)
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', REGISTER, file], {
    encoding: 'utf8',
    cwd: scratch,
    env: { ...process.env, NODE_NO_WARNINGS: '1', ...env },
    timeout: 60_000,
  })
  assert.equal(status, 0, stderr)
  assert.equal(stderr, '')
  return stdout.trim()
}

/** Counts the children that khelper has started: those whose handle is ours. */
const COUNTING = `
  import childProcess from 'node:child_process'
  let started = 0
  let others = 0
  const { prototype } = childProcess.ChildProcess
  const { spawn: inner } = prototype
  prototype.spawn = function (options) {
    const result = inner.call(this, options)
    if (this._handle?.constructor.name === 'HelperHandle') started += 1
    else others += 1
    return result
  }
`

test('CommonJS and ESM importers alike, whatever they hold of the module', () => {
  assert.equal(
    run(
      'importers.mjs',
      `${COUNTING}
       import { createRequire } from 'node:module'
       import { execFile, exec } from 'node:child_process'
       import { promisify } from 'node:util'
       const required = createRequire(import.meta.url)('child_process')
       const { stdout } = await promisify(execFile)('echo', ['one'])
       const { stdout: two } = await promisify(exec)('echo two')
       const { stdout: three } = await promisify(required.execFile)('echo', ['three'])
       console.log(stdout.trim(), two.trim(), three.trim(), required.spawnSync('echo', ['four']).stdout.toString().trim(), started, others)`,
    ),
    'one two three four 3 0',
  )
})

test('KHELPER_DISABLE=1 turns it off', () => {
  const source = `${COUNTING}
    childProcess.spawn('true').on('exit', () => console.log(started, others))`
  assert.equal(run('disabled.mjs', source, { KHELPER_DISABLE: '1' }), '0 1')
  assert.equal(run('enabled.mjs', source), '1 0')
})

test('a child that is spawned right before the process exits is started', () => {
  const marker = join(scratch, 'marker')
  run(
    'exits.mjs',
    `import { spawn } from 'node:child_process'
     spawn('touch', [${JSON.stringify(marker)}], { detached: true, stdio: 'ignore' }).unref()
     process.exit(0)`,
  )
  const { status } = spawnSync('sh', [
    '-c',
    `for i in $(seq 500); do test -e '${marker}' && exit 0; sleep 0.01; done; exit 1`,
  ])
  assert.equal(status, 0)
})

test('an unreferenced child does not keep the process', () => {
  const start = Date.now()
  run(
    'unref.mjs',
    `import { spawn } from 'node:child_process'
     const child = spawn('sleep', ['30'], { stdio: 'ignore' })
     child.unref()
     child.ref()
     child.unref()
     process.on('exit', () => process.kill(child.pid))`,
  )
  assert.ok(Date.now() - start < 20_000)
})

test('what a caller closes, leaves or changes right after spawn makes no difference', () => {
  assert.equal(
    run(
      'after.mjs',
      `import { spawn } from 'node:child_process'
       import { closeSync, mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs'
       import { once } from 'node:events'
       mkdirSync('elsewhere', { recursive: true })
       const before = realpathSync('.')
       const fd = openSync('log', 'w')
       const args = ['-c', 'pwd; echo $VARIABLE $1', 'sh', 'one']
       process.env.VARIABLE = 'as it was'
       const child = spawn('sh', args, { stdio: ['ignore', fd, 'inherit'] })
       closeSync(fd)
       process.env.VARIABLE = 'changed'
       args[3] = 'changed'
       process.chdir('elsewhere')
       await once(child, 'exit')
       console.log(readFileSync('../log', 'utf8') === before + '\\nas it was one\\n')`,
    ),
    'true',
  )
})

test('pid, once asked for, is that of the running child; a listener that throws is the process’s', () => {
  assert.equal(
    run(
      'pid.mjs',
      `import { spawn } from 'node:child_process'
       import { readFileSync } from 'node:fs'
       const child = spawn('sleep', ['30'])
       const parent = readFileSync('/proc/' + child.pid + '/stat', 'latin1').split(') ')[1].split(' ')[1]
       process.on('uncaughtException', error => console.log(Number(parent) === process.pid, error.message))
       child.on('exit', (code, signal) => { throw new Error(signal) })
       child.kill('SIGINT')`,
    ),
    'true SIGINT',
  )
})

test('spawnSync whose time is over before the first khelper is up', () => {
  assert.equal(
    run(
      'timeout.mjs',
      `import { spawnSync } from 'node:child_process'
       const { error, signal, status } = spawnSync('sleep', ['60'], { timeout: 1 })
       console.log(error.code, signal, status)`,
    ),
    'ETIMEDOUT SIGTERM null',
  )
})

test('asynchronous context: AsyncLocalStorage reaches the events', () => {
  assert.equal(
    run(
      'context.mjs',
      `import { spawn } from 'node:child_process'
       import { AsyncLocalStorage } from 'node:async_hooks'
       const storage = new AsyncLocalStorage()
       storage.run('request 1', () => {
         spawn('true').on('spawn', () => console.log(storage.getStore())).on('exit', () => console.log(storage.getStore()))
       })`,
    ),
    'request 1\nrequest 1',
  )
})

test('fork: IPC both ways, both serialisations, a socket handed over, disconnect', () => {
  writeFileSync(
    join(folder, 'forked.cjs'),
    `process.on('message', (message, socket) => {
       if (socket) { socket.end('from the child'); process.disconnect() }
       else process.send({ message, isMap: message instanceof Map })
     })`,
  )
  assert.equal(
    run(
      'fork.mjs',
      `${COUNTING}
       import { fork } from 'node:child_process'
       import { once } from 'node:events'
       import { connect, createServer } from 'node:net'
       for (const serialization of ['json', 'advanced']) {
         const child = fork(new URL('forked.cjs', import.meta.url), { serialization })
         child.send(serialization === 'json' ? { text: 'hello' } : new Map([[1, 2]]))
         const [answer] = await once(child, 'message')
         const server = createServer(socket => { child.send('socket', socket); server.close() })
         server.listen(0)
         const client = connect(server.address().port)
         let text = ''
         for await (const chunk of client) text += chunk
         const [code] = await once(child, 'exit')
         console.log(answer.isMap, text, code, child.connected)
       }
       console.log(started, others)`,
    ),
    'false from the child 0 false\ntrue from the child 0 false\n2 0',
  )
})

test('cluster: workers share a port, and are khelper’s', () => {
  assert.equal(
    run(
      'cluster.mjs',
      `${COUNTING}
       import cluster from 'node:cluster'
       import { createServer, get } from 'node:http'
       import { once } from 'node:events'
       if (cluster.isPrimary) {
         const workers = [cluster.fork(), cluster.fork()]
         const ports = await Promise.all(workers.map(async worker => (await once(worker, 'listening'))[0].port))
         const seen = new Set()
         for (let request = 0; request < 8; request += 1) {
           const [response] = await once(get({ port: ports[0], agent: false }), 'response')
           for await (const chunk of response) seen.add(String(chunk))
         }
         const exits = workers.map(worker => once(worker, 'exit'))
         cluster.disconnect()
         await Promise.all(exits)
         console.log(ports[0] === ports[1], seen.size, started, others)
       } else createServer((request, response) => response.end(String(process.pid))).listen(0)`,
    ),
    'true 2 2 0',
  )
})

describe('libraries over child_process, unmodified', () => {
  for (const [library, source, expected] of [
    [
      'execa',
      `import { execa } from 'execa'
       const { stdout } = await execa({ input: 'b\\na\\n' })\`sort\`
       const piped = await execa('printf', ['x y z']).pipe('wc', ['-w'])
       const failed = await execa('sh', ['-c', 'echo so far; exit 7'], { reject: false })
       const late = await execa('sleep', ['30'], { timeout: 50, reject: false })
       console.log(stdout.replace('\\n', ','), piped.stdout.trim(), failed.exitCode, failed.stdout, late.timedOut)`,
      'a,b 3 7 so far true',
    ],
    [
      'tinyexec',
      `import { x } from 'tinyexec'
       const { stdout, exitCode } = await x('sh', ['-c', 'echo out; exit 3'])
       let lines = 0
       for await (const line of x('seq', ['100'])) lines += 1
       console.log(stdout.trim(), exitCode, lines)`,
      'out 3 100',
    ],
    [
      'cross-spawn',
      `import spawn from 'cross-spawn'
       const child = spawn('cat', [], { stdio: ['pipe', 'pipe', 'inherit'] })
       child.stdin.end('through cat')
       let text = ''
       for await (const chunk of child.stdout) text += chunk
       const missing = await new Promise(resolve => spawn('no-such-program').on('error', resolve))
       console.log(text, missing.code, spawn.sync('echo', ['sync']).stdout.toString().trim())`,
      'through cat ENOENT sync',
    ],
    [
      'simple-git',
      `import { simpleGit } from 'simple-git'
       import { mkdtempSync, writeFileSync } from 'node:fs'
       const git = simpleGit(mkdtempSync('repository-'))
       await git.init(['--initial-branch=main'])
       await git.addConfig('user.name', 'A')
       await git.addConfig('user.email', 'a@example.com')
       const folder = await git.revparse(['--show-toplevel'])
       writeFileSync(folder + '/file', 'content')
       await git.add('file').commit('first')
       const { total, latest } = await git.log()
       const { current, files } = await git.status()
       console.log(total, latest.message, current, files.length)`,
      '1 first main 0',
    ],
    [
      'zx',
      `import { $ } from 'zx'
       $.verbose = false
       const name = 'a; name'
       const { stdout } = await $\`echo \${name} | tr a-z A-Z\`
       const failed = await $\`exit 9\`.nothrow()
       const [one, two] = await Promise.all([$\`sleep 0.01; echo 1\`, $\`echo 2\`])
       console.log(stdout.trim(), failed.exitCode, one.stdout.trim(), two.stdout.trim())`,
      'A; NAME 9 1 2',
    ],
  ] as const) {
    test(library, () => {
      const printed = run(`${library}.mjs`, `${COUNTING}\n${source}\nconsole.log(started > 0, others)`)
      assert.equal(printed, `${expected}\ntrue 0`)
    })
  }
})
