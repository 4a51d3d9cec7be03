/**
 * Sessions: another user's helper has no terminal of the service's and cannot come into its process group.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { write } from '../helpers/temporary.js'
import { HELPER, LONGEST, python, skipped } from './scene.js'

/** Tries what can be done to whoever sits at the terminal, and to the service beside it. */
const PROBE = python(`
parent = os.getppid()
def tty():
  os.close(os.open('/dev/tty', os.O_RDWR))
def typed(number):
  fcntl.ioctl(number, termios.TIOCSTI, b'x')
def taken(number):
  fcntl.ioctl(number, termios.TIOCSCTTY, 1)
tell({
  'session': os.getsid(0) == os.getsid(parent),
  'open': outcome(tty),
  'typed': [outcome(typed, number) == 'done' for number in (0, 2)],
  'foreground': outcome(os.tcsetpgrp, 2, os.getpgid(0)) == 'done',
  'group': outcome(os.setpgid, 0, os.getpgid(parent)) == 'done',
  'continued': outcome(os.kill, parent, signal.SIGCONT),
})
`)

/** A terminal, with a program in it that prints what is written to it. */
const IN_TERMINAL = `import pty, sys; status = pty.spawn(sys.argv[1:]); sys.exit(status != 0)`

test('at a terminal: a session of its own, nothing typed, no group of the service’s, unless that is asked for', {
  skip: skipped,
  timeout: LONGEST,
}, async () => {
  const index = new URL('../../src/index.js', import.meta.url).href
  const file = write(
    'at-terminal.mjs',
    `import { boot } from '${index}'
     const kernel = boot({ khelpers: 1 })
     const options = { uid: ${HELPER}, gid: ${HELPER}, stderr: 'inherit', stdin: 'inherit', env: { PATH: '/usr/bin:/bin' } }
     const run = async more => JSON.parse((await kernel.run('python3', ['-c', ${JSON.stringify(PROBE)}], { ...options, ...more })).stdout)
     console.log('told:' + JSON.stringify([await run({}), await run({ stdin: 'ignore' }), await run({ detached: true }), await run({ terminal: true })]))
     await kernel.shutdown()`,
  )
  const terminal = spawn('python3', ['-c', IN_TERMINAL, process.execPath, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  after(() => void terminal.kill('SIGKILL'))
  let printed = ''
  terminal.stdout.setEncoding('utf8').on('data', text => {
    printed += text
  })
  await once(terminal, 'close')
  const told = JSON.parse(/told:(.*)/.exec(printed)?.[1] ?? printed)
  const kept = {
    session: false,
    open: 'ENXIO',
    typed: [false, false],
    foreground: false,
    group: false,
    continued: 'EPERM',
  }
  assert.deepEqual(told.slice(0, 3), [kept, kept, kept])
  // It shows that there is a terminal to be had.
  assert.equal(told[3].session, true)
  assert.equal(told[3].group, true)
})
