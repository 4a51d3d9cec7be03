/**
 * Capabilities: another user's helper has none, of whatever kind the service has them, and gets none.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LONGEST, python, SERVICE, serve, withoutSetpriv } from './scene.js'

/** What a helper has, and what of root's it can do. */
const PROBE = python(`
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
tell({
  'sets': [int(status[name], 16) for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb')],
  'ids': [status['Uid'].split(), status['Gid'].split(), status['Groups'].split()],
  'can': [name for name, attempt in {
    'become root': lambda: os.setresuid(0, 0, 0),
    'become the service’s user': lambda: os.setresuid(int(sys.argv[1]), -1, -1),
    'take root’s group': lambda: os.setresgid(0, 0, 0),
    'take groups': lambda: os.setgroups([0]),
    'read shadow': lambda: open('/etc/shadow').close(),
  }.items() if outcome(attempt) == 'done'],
})`)

/** The same helper again behind another exec, where ambient and inheritable sets show. */
const SOURCE = `
  const probe = ${JSON.stringify(PROBE)}
  const told = []
  for (const options of [{}, { nice: 5, umask: 0o77 }, { keys: new Keyring({ token: 'x' }) }, { groups: [1] }]) {
    const { stdout } = await kernel.run('sh', ['-c', 'exec "$@"', 'sh', 'python3', '-c', probe, '${SERVICE}'], { ...OTHER, ...options })
    const { sets, ids, can } = JSON.parse(stdout)
    told.push([sets, [...new Set(ids[0])], [...new Set(ids[1])], ids[2], can])
  }
  // That a helper of the same user has them shows that the service has.
  const { stdout } = await kernel.run('cat', ['/proc/self/status'])
  tell({ told, own: /CapAmb:\\t(.*)/.exec(stdout)[1], helper: String(OTHER.uid) })`

for (const [situation, options] of [
  [
    'root’s, with ambient ones',
    ['--inh-caps=+sys_admin,+dac_override', '--ambient-caps=+sys_admin,+dac_override'],
  ],
  [
    'another user’s, that has been given those to change users',
    [
      ...[`--reuid=${SERVICE}`, `--regid=${SERVICE}`, '--clear-groups'],
      // Its own files may lie where only root may look.
      ...[
        '--inh-caps=+setuid,+setgid,+chown,+dac_read_search',
        '--ambient-caps=+setuid,+setgid,+chown,+dac_read_search',
      ],
    ],
  ],
  [
    'root’s, whose capabilities stay with a change of users',
    [
      '--securebits=+no_setuid_fixup',
      ...['--inh-caps=+setuid,+chown,+dac_override', '--ambient-caps=+setuid,+chown,+dac_override'],
    ],
  ],
] as const) {
  test(`a service of ${situation}: its other users’ helpers have none and become nobody`, {
    skip: withoutSetpriv,
    timeout: LONGEST,
  }, async () => {
    const { told } = await serve(SOURCE, ['setpriv', ...options])
    const { told: helpers, own, helper } = told as { told: unknown[]; own: string; helper: string }
    assert.notEqual(BigInt(`0x${own}`), 0n)
    const expected = [[], [], [], ['1']].map(groups => [[0, 0, 0, 0], [helper], [helper], groups, []])
    assert.deepEqual(helpers, expected)
  })
}
