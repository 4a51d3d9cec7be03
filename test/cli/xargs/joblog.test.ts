import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { khelper, startKhelper } from '../../helpers/command.js'
import { alive, eventually } from '../../helpers/resources.js'
import { temporary } from '../../helpers/temporary.js'

const jobs = (path: string): string[][] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map(line => line.split('\t'))

test('the joblog has a line for each command, with its exit code and signal', () => {
  const log = temporary('joblog')
  const script = 'case $0 in 1) exit 3;; *) ;; esac'
  const { status } = khelper(['xargs', '-n1', '--joblog', log, 'sh', '-c', script], '0 1')
  assert.equal(status, 123)
  assert.deepEqual(
    jobs(log).map(columns => [columns[0], columns[6], columns[7], columns[8]]),
    [
      ['1', '0', '0', `sh -c '${script}' 0`],
      ['2', '3', '0', `sh -c '${script}' 1`],
    ],
  )
})

test('a command with newlines and tabs stays one line of the joblog, and is found again', () => {
  const log = temporary('joblog-newline')
  khelper(['xargs', '-0', '-n1', '--joblog', log, 'echo'], "a\nb\tc'\0")
  assert.equal(jobs(log).length, 1)
  const again = khelper(['xargs', '-0', '-n1', '--joblog', log, '--resume', 'echo'], "a\nb\tc'\0")
  assert.deepEqual([again.status, again.stdout], [0, ''])
})

test('a joblog that is there is not overwritten; --resume runs what has not finished', () => {
  const log = temporary('joblog-resume')
  assert.equal(khelper(['xargs', '-n1', '--joblog', log, 'echo'], '1 2').status, 0)
  const refused = khelper(['xargs', '-n1', '--joblog', log, 'echo'], '1 2')
  assert.equal(refused.status, 1)
  assert.match(refused.stderr, /--resume/)
  const resumed = khelper(['xargs', '-n1', '--joblog', log, '--resume', 'echo'], '1 2 3')
  assert.deepEqual([resumed.status, resumed.stdout], [0, '3\n'])
})

test('--resume with another input is an error that names both commands', () => {
  const log = temporary('joblog-other')
  khelper(['xargs', '-n1', '--joblog', log, 'echo'], '1 2')
  const { status, stderr } = khelper(['xargs', '-n1', '--joblog', log, '--resume', 'echo'], '1 9')
  assert.equal(status, 1)
  assert.match(stderr, /"echo 2".*"echo 9"/)
})

test('a last line that a crash has cut is run again, and leaves no trace', () => {
  const log = temporary('joblog-torn')
  khelper(['xargs', '-n1', '--joblog', log, 'echo'], '1 2')
  appendFileSync(log, '3\t:\t17')
  const { stdout } = khelper(['xargs', '-n1', '--joblog', log, '--resume', 'echo'], '1 2 3')
  assert.equal(stdout, '3\n')
  assert.deepEqual(
    jobs(log).map(columns => columns[0]),
    ['1', '2', '3'],
  )
})

test('a file that is no joblog is not touched', () => {
  const log = temporary('not-a-joblog')
  writeFileSync(log, 'precious\n')
  assert.equal(khelper(['xargs', '--joblog', log, '--resume', 'echo'], '1').status, 1)
  assert.equal(readFileSync(log, 'utf8'), 'precious\n')
})

test('khelper is killed in the middle: --resume completes, and nothing that finished runs twice', async () => {
  const log = temporary('joblog-killed')
  const done = temporary('done')
  writeFileSync(done, '')
  const input = Array.from({ length: 60 }, (_, index) => index).join('\n')
  const command = ['sh', '-c', 'sleep 0.01; echo $0 >> $1']
  const args = ['xargs', '-P4', '-I{}', '--joblog', log, '--resume', ...command, '{}', done]
  const first = startKhelper(args, { stdio: ['pipe', 'ignore', 'inherit'] })
  first.stdin?.end(input)
  await eventually('some have finished', () => existsSync(log) && jobs(log).length >= 5)
  first.kill('SIGKILL')
  await once(first, 'exit')
  const logged = new Set(jobs(log).map(columns => columns[0]))
  const { status } = khelper(args, input)
  assert.equal(status, 0)
  assert.equal(jobs(log).length, 60)
  const lines = readFileSync(done, 'utf8').trimEnd().split('\n')
  assert.equal(new Set(lines).size, 60)
  for (const sequence of logged) {
    assert.equal(lines.filter(line => line === String(Number(sequence) - 1)).length, 1)
  }
})

test('Ctrl-C on a terminal ends every command and leaves a whole joblog; the shell sees SIGINT', async () => {
  const log = temporary('joblog-interrupted')
  const pids = temporary('pids')
  writeFileSync(pids, '')
  // python3's pty gives the command a terminal of its own.
  const [node = '', main = ''] = startArguments()
  const command = [
    node,
    main,
    'xargs',
    '-P3',
    '-n1',
    '--joblog',
    log,
    'sh',
    '-c',
    `echo $$ >> ${pids}; sleep 60`,
  ]
  const script = `import pty, os, sys; status = pty.spawn(${JSON.stringify(command)}); sys.exit(200 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))`
  const terminal = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  let screen = ''
  terminal.stdout.on('data', chunk => {
    screen += chunk
  })
  terminal.stdin.write('1 2 3 4 5\n')
  const started = () => readFileSync(pids, 'utf8').trimEnd().split('\n').map(Number)
  await eventually('three commands run', () => started().length === 3)
  terminal.stdin.write('\x03')
  const [status] = await once(terminal, 'exit')
  assert.equal(status, 202)
  for (const pid of started()) assert.equal(alive(pid), false)
  assert.deepEqual(jobs(log), [])
  assert.match(screen, /done, .*running/, 'the progress bar is shown on a terminal')
})

function startArguments(): string[] {
  const probe = startKhelper(['--version'], { stdio: 'ignore' })
  return probe.spawnargs.slice(0, 2)
}

test('SIGTERM ends the commands too', async () => {
  const pids = temporary('pids-term')
  writeFileSync(pids, '')
  const child = startKhelper(['xargs', '-n1', 'sh', '-c', `echo $$ > ${pids}; sleep 60`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.stdin?.end('1 2')
  await eventually('a command runs', () => readFileSync(pids, 'utf8') !== '')
  child.kill('SIGTERM')
  const [, signal] = await once(child, 'exit')
  assert.equal(signal, 'SIGTERM')
  assert.equal(alive(Number(readFileSync(pids, 'utf8'))), false)
})

test('--retries runs a failing command again, and counts its last try', () => {
  const counter = temporary('tries')
  writeFileSync(counter, '')
  const script = `echo x >> ${counter}; test $(wc -l < ${counter}) -ge 3`
  assert.equal(khelper(['xargs', '--retries', '3', 'sh', '-c', script], 'a').status, 0)
  assert.equal(readFileSync(counter, 'utf8'), 'x\nx\nx\n')
})

test('--timeout ends a command, which counts as failed', () => {
  const { status, stderr } = khelper(['xargs', '-n1', '--timeout', '0.1', 'sleep'], '60')
  assert.equal(status, 123)
  assert.match(stderr, /sleep: timed out/)
})

test('nothing but the commands’ output where there is no terminal', () => {
  const { stdout, stderr } = khelper(['xargs', '-n1', '-P2', 'true'], '1 2 3')
  assert.deepEqual([stdout, stderr], ['', ''])
})

test('commands start before the input is over', async () => {
  const child = startKhelper(['xargs', '-n1', 'echo'], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin?.write('first second')
  const [output] = (await once(child.stdout ?? child, 'data')) as [Buffer]
  assert.equal(String(output), 'first\n')
  child.stdin?.end()
  await once(child, 'exit')
})

for (const [mistake, args, message] of [
  ['--resume without --joblog', ['--resume'], /--resume needs --joblog/],
  ['a joblog in a folder that is not there', ['--joblog', '/nowhere/log'], /\/nowhere\/log: No such file/],
  ['an argument file that is not there', ['-a', '/nowhere/args'], /\/nowhere\/args: No such file/],
  ['-n without a number', ['-n', 'many'], /--max-args/],
  ['-n 0', ['-n', '0'], /at least 1/],
  ['an option that does not exist', ['--bogus'], /--bogus/],
] as const) {
  test(`${mistake}: exit code 1 and what is wrong`, () => {
    const { status, stderr } = khelper(['xargs', ...args], 'a')
    assert.equal(status, 1)
    assert.match(stderr, message)
  })
}

test('input that is not text is refused before anything is made of it', () => {
  const { status, stderr, stdout } = khelper(['xargs', 'echo'], Buffer.from([0x61, 0xff, 0x0a]))
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(stderr, /not UTF-8/)
})
