import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { khelper, startKhelper } from '../../helpers/command.js'

test('input and output pass through', () => {
  assert.equal(khelper(['run', '--', 'tr', 'a-z', 'A-Z'], 'shout').stdout, 'SHOUT')
})

for (const [situation, args, status] of [
  ['the program’s own exit code', ['sh', '-c', 'exit 42'], 42],
  ['128 + the signal that killed it', ['sh', '-c', 'kill -9 $$'], 137],
  ['126 for what cannot be executed', ['/etc/passwd'], 126],
  ['126 for a folder', ['/etc'], 126],
  ['127 for what is not found', ['no-such-program'], 127],
  ['options behind the program are the program’s', ['sh', '-c', 'test "$1" = --json', 'sh', '--json'], 0],
] as const) {
  test(`exits with ${situation}`, () => {
    assert.equal(khelper(['run', ...args]).status, status)
    assert.equal(khelper(['run', '--launcher', 'child_process', '--', ...args]).status, status)
  })
}

test('--json prints the result with its resource usage', () => {
  const { stdout, status } = khelper(['run', '--json', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])
  const result = JSON.parse(stdout)
  assert.equal(status, 3)
  assert.deepEqual([result.exitCode, result.stdout, result.stderr], [3, 'out\n', 'err\n'])
  assert.equal(typeof result.rusage.userCPUTime, 'number')
  assert.equal(result.error.code, 'ERR_HELPER_EXIT')
  assert.equal(JSON.parse(khelper(['run', '--json', 'no-such-program']).stdout).error.code, 'ENOENT')
})

test('--timeout, --cwd and --env', () => {
  const timed = khelper(['run', '--timeout', '0.1', '--', 'sleep', '60'])
  assert.equal(timed.status, 143)
  assert.match(timed.stderr, /Timed out/)
  assert.equal(khelper(['run', '--cwd', '/usr', 'pwd']).stdout, '/usr\n')
  assert.equal(khelper(['run', '--env', 'A=1', '--env', 'B=2', '--', 'sh', '-c', 'echo $A$B']).stdout, '12\n')
  assert.match(khelper(['run', '--cwd', '/nowhere', 'pwd']).stderr, /\/nowhere/)
})

test('a signal to khelper reaches the program, whose end is khelper’s', async () => {
  const child = startKhelper(
    ['run', '--', 'sh', '-c', 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await once(child.stdout ?? child, 'data')
  child.kill('SIGTERM')
  const [status] = await once(child, 'exit')
  assert.equal(status, 9)
})
