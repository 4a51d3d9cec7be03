import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { FAULTS } from '../../../src/cli/stress/faults/index.js'
import { OPERATIONS } from '../../../src/cli/stress/operations/index.js'
import type { StressReport } from '../../../src/cli/stress/report.js'
import { khelper, startKhelper } from '../../helpers/command.js'
import { withoutNamespaces } from '../../helpers/namespaces.js'
import { eventually } from '../../helpers/resources.js'
import { temporary } from '../../helpers/temporary.js'

/** Who holds the full disk, where there is one. */
const HOLDER = withoutNamespaces ? [] : ['-x', 'cat']
/** Twice the pack of operations and of faults. */
const STEPS = '600'

for (const launcher of ['posix_spawn', 'child_process']) {
  test(`khelper stress, launcher ${launcher}: all operations and faults, nothing wrong, nothing left`, () => {
    const args = ['stress', '--count', STEPS, '--seed', '3', '--json', '--launcher', launcher]
    const { stdout, stderr, status } = khelper(args)
    // Newer Nodes tell here of a thread's heap that has run out.
    assert.doesNotMatch(stderr, /^khelper: /m)
    const report = JSON.parse(stdout) as StressReport
    const { problems, leaks, hang, operations, faults, seed } = report
    assert.deepEqual({ problems, leaks, hang }, { problems: [], leaks: [], hang: [] })
    assert.equal(status, 0)
    assert.deepEqual(Object.keys(operations), OPERATIONS.map(({ name }) => name).sort())
    assert.deepEqual(Object.keys(faults), FAULTS.map(({ name }) => name).sort())
    for (const { injected, survived } of Object.values(faults)) assert.equal(survived, injected)
    assert.deepEqual([seed, report.steps, report.launcher], [3, Number(STEPS), launcher])
    assert.match(report.replay, /^khelper stress --seed 3 --count 600 /)
  })
}

test('khelper stress: tables for people, the seed at both ends', () => {
  const { stdout, status } = khelper([
    'stress',
    '--count',
    '40',
    '--seed',
    '5',
    '--only',
    'completion,run/output,clock',
  ])
  assert.equal(status, 0, stdout)
  assert.match(stdout, /^seed 5\n/)
  assert.match(stdout, /completion\/tokens +\d+ +done \d+/)
  assert.match(stdout, /clock +\d+ +\d+ survived/)
  assert.match(stdout, /leaked: nothing/)
  assert.match(stdout, /again: khelper stress --seed 5 --count 40 .*--only completion,run\/output,clock\n$/)
})

test('khelper stress: --seconds ends it', () => {
  const { stdout, status } = khelper(['stress', '--seconds', '0.5', '--only', 'in-thread/return', '--json'])
  assert.equal(status, 0)
  assert.ok((JSON.parse(stdout) as StressReport).calls > 0)
})

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`khelper stress: ${signal} ends it early, with its report and without its files`, async () => {
    const TMPDIR = temporary(`tmp-${signal}`)
    mkdirSync(TMPDIR)
    const stress = startKhelper(['stress', '--seed', '6', '--seconds', '600'], {
      env: { ...process.env, TMPDIR },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    assert.ok(stress.stdout !== null)
    const exited = once(stress, 'exit')
    assert.ok(stress.pid !== undefined)
    await once(stress.stdout, 'readable')
    await eventually(
      'it is under way',
      () => spawnSync('pgrep', ['-P', `${stress.pid}`, ...HOLDER]).status === 0,
    )
    // As a terminal does it: to all that are in the foreground.
    process.kill(-stress.pid, signal)
    assert.match(
      await text(stress.stdout),
      new RegExp(`^seed 6\n[^]*interrupted by ${signal}\n[^]*leaked: nothing`),
    )
    assert.deepEqual(await exited, [exitCode, null])
    assert.deepEqual(readdirSync(TMPDIR), [])
  })
}

for (const [situation, args, message] of [
  ['a kind that does not exist', ['--only', 'nonsense'], /no operation and no fault is called nonsense/],
  ['a skipped kind that does not exist', ['--skip', 'run/nothing'], /is called run\/nothing/],
  ['nothing left to do', ['--only', 'clock', '--skip', 'clock'], /leave nothing to do/],
  ['no number of seconds', ['--seconds', 'long'], /--seconds.*number of seconds/],
  ['no count', ['--count', '0'], /--count.*whole number from 1/],
  ['a seed that is none', ['--seed', '-1'], /--seed.*whole number from 0/],
  ['nothing in flight', ['--in-flight', '0'], /--in-flight.*whole number from 1/],
  ['too many khelpers', ['--khelpers', '5000'], /--khelpers.*to 1024/],
  ['an unknown launcher', ['--launcher', 'vfork'], /--launcher/],
  ['an empty name', ['--only', 'run,,'], /--only.*names with commas/],
] as const) {
  test(`khelper stress with ${situation} is refused in one line`, () => {
    const { stderr, status } = khelper(['stress', ...args])
    assert.equal(status, 1)
    assert.match(stderr, message)
    assert.equal(stderr.trim().split('\n').length, 1)
  })
}
