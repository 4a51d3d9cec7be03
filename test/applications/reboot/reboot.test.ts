/**
 * The end of a service, as in Linux 6.17, kernel/reboot.c. Each is a process of its own.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { reboot } from '../../../src/applications/reboot/index.js'
import { boot } from '../../../src/index.js'
import { alive } from '../../helpers/resources.js'
import { inThreadHelper, temporary, write } from '../../helpers/temporary.js'

const KERNEL = new URL('../../../src/kernel/kernel.js', import.meta.url).href
const REBOOT = new URL('../../../src/applications/reboot/index.js', import.meta.url).href
/** An end that takes longer hangs; a prompt one is told by the order of things, not by the clock. */
const HANGS_MS = 60_000
/** A deadline that a test waits out, within which a busy machine still ends a process with many threads. */
const WAITED_OUT_MS = 2_000

let services = 0

/** Starts a service that holds its event loop open; `say` prints a line at once. */
function start(source: string): ChildProcess {
  services += 1
  const file = write(
    `service-${services}.mjs`,
    `import { writeSync } from 'node:fs'
     import { boot } from '${KERNEL}'
     import { reboot } from '${REBOOT}'
     const say = text => writeSync(1, text + '\\n')
     const kernel = boot({ khelpers: 1 })
     const sysctl = (name, value) => kernel.proc.write('/proc/sys/' + name, value)
     const open = setInterval(() => {}, 2 ** 30)
     // What a busy machine takes to start a program is not what these tests are about.
     reboot(kernel, { deadline: 30_000 })
     process.on('exit', code => say('exit ' + code))
     ${source}`,
  )
  return spawn(process.execPath, [file], { timeout: HANGS_MS, killSignal: 'SIGKILL' })
}

async function end(source: string | ChildProcess) {
  const child = typeof source === 'string' ? start(source) : source
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', chunk => {
    stdout += chunk
  })
  child.stderr?.on('data', chunk => {
    stderr += chunk
  })
  const [code, signal] = await once(child, 'close')
  return { code, signal, lines: stdout.trim().split('\n'), stderr }
}

/** Resolves when the service has printed a line. */
async function said(child: ChildProcess, line: string): Promise<void> {
  let text = ''
  for await (const [chunk] of on(child)) {
    text += chunk
    if (text.split('\n').includes(line)) return
  }
}
async function* on(child: ChildProcess): AsyncGenerator<[string]> {
  while (child.stdout !== null) yield (await once(child.stdout, 'data')) as [string]
}

describe('orderlyPoweroff', { concurrency: true }, () => {
  test('the drain, the command, the listeners by priority, the kernel’s shutdown, exit code 0', async () => {
    const out = temporary('order.out')
    const command = write('order.sh', `#!/bin/sh\n/bin/mv ${out} ${out}.seen\n`, 0o755)
    const { code, lines, stderr } = await end(`
      import { existsSync, writeFileSync } from 'node:fs'
      sysctl('kernel/poweroff_cmd', '${command}')
      reboot(kernel).registerRebootNotifier(() => say('default'))
      reboot(kernel).registerRebootNotifier(async ({ action, signal }) => {
        say('high ' + action + ' ' + signal.aborted)
        say('helper ' + await kernel.callUsermodehelper('/bin/true', ['true'], [], 2))
        // It has found what the helper that was in flight has left.
        while (!existsSync('${out}.seen')) await new Promise(setImmediate)
      }, { priority: 10 })
      reboot(kernel).registerRebootNotifier(() => say('default, later'))
      reboot(kernel).registerRebootNotifier(() => say('low'), { priority: -1 })
      reboot(kernel).registerRebootNotifier(() => say('taken back'))()
      kernel.onShutdown(async () => say('shutdown ' + await kernel.usermodehelperReadTrylock()))
      const script = ': > ${out}.begun; while ! [ -e ${out}.go ]; do /bin/sleep 0.01; done; : > ${out}'
      kernel.callUsermodehelper('/bin/sh', ['sh', '-c', script], [], 2).then(() => say('in flight'))
      while (!existsSync('${out}.begun')) await new Promise(setImmediate)
      reboot(kernel).orderlyPoweroff()
      setImmediate(() => writeFileSync('${out}.go', ''))`)
    assert.deepEqual(lines, [
      'in flight',
      'high poweroff false',
      'helper -16',
      'default',
      'default, later',
      'low',
      'shutdown -11',
      'exit 0',
    ])
    assert.deepEqual([code, stderr], [0, ''])
  })

  test('the command is split at white space without quoting and gets HOME and PATH', async () => {
    const out = temporary('poweroff.out')
    const script = write(
      'poweroff.sh',
      `#!/bin/sh\nfor word; do echo "[$word]"; done > ${out}\n/usr/bin/env | /bin/grep -vE '^(PWD|OLDPWD|_|SHLVL)=' | /usr/bin/sort >> ${out}\n/bin/touch ${out}.done\n`,
      0o755,
    )
    const { lines, code } = await end(`
      import { existsSync, readFileSync } from 'node:fs'
      sysctl('kernel/poweroff_cmd', '  ${script}\\t-a  "b c"  ')
      reboot(kernel).registerRebootNotifier(async () => {
        while (!existsSync('${out}.done')) await new Promise(resolve => setTimeout(resolve, 5))
        say(readFileSync('${out}', 'utf8').trim())
      })
      reboot(kernel).orderlyPoweroff()`)
    assert.equal(code, 0)
    assert.deepEqual(lines, [
      '[-a]',
      '["b]',
      '[c"]',
      'HOME=/',
      'PATH=/sbin:/bin:/usr/sbin:/usr/bin',
      'exit 0',
    ])
  })

  test('a command that starts and then fails is not detected', async () => {
    const { code, lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/bin/false')
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      reboot(kernel).orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [0, ['listener', 'exit 0']])
  })

  test('the command cannot be started, without force: nothing happens, the service goes on', async () => {
    const { code, lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      const error = await reboot(kernel).orderlyPoweroff()
      say(error.name + ' ' + error.code + ' ' + error.path)
      say('helper ' + await kernel.callUsermodehelper('/bin/true', ['true'], [], 2))
      clearInterval(open)`)
    assert.deepEqual([code, lines], [0, ['SystemError ENOENT /no/such/poweroff', 'helper 0', 'exit 0']])
  })

  test('orderly_poweroff(true), binary missing: forced power-off', async () => {
    const { code, lines, stderr } = await end(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      kernel.onShutdown(() => say('shutdown'))
      await reboot(kernel, { emergencyExitCode: 7 }).orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [7, ['exit 7']])
    assert.match(stderr, /khelper: ENOENT: kernel\/poweroff_cmd .*'\/no\/such\/poweroff'; ending at once/)
  })

  for (const command of ['', ' ', '\t \t']) {
    test(`an empty command (${JSON.stringify(command)}): EINVAL, and with force the forced power-off`, async () => {
      const { code, lines } = await end(`
        sysctl('kernel/poweroff_cmd', ${JSON.stringify(command)})
        say((await reboot(kernel).orderlyPoweroff(false)).code)
        await reboot(kernel).orderlyPoweroff(true)`)
      assert.deepEqual([code, lines], [1, ['EINVAL', 'exit 1']])
    })
  }

  test('a command of the folder that the service is in: refused where it is set, and EINVAL where it is used', async () => {
    const { code, lines } = await end(`
      for (const command of ['true', './true', ' bin/true now']) {
        try {
          sysctl('kernel/poweroff_cmd', command)
        } catch (error) {
          say(error.code)
        }
      }
      kernel.proc.define('/proc/sys/kernel/poweroff_cmd', { read: () => 'true\\n' })
      say((await reboot(kernel).orderlyPoweroff(false)).code)
      process.exit(0)`)
    assert.deepEqual([code, lines], [0, ['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'exit 0']])
  })

  test('orderly_poweroff(false) fails, then (true) fails: the second forces', async () => {
    const { code, lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      say((await reboot(kernel).orderlyPoweroff(false)).code)
      say((await reboot(kernel).orderlyPoweroff(false)).code)
      await reboot(kernel).orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [1, ['ENOENT', 'ENOENT', 'exit 1']])
  })

  test('force is sticky: a later (false) that fails forces, too', async () => {
    const { code, lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      const first = reboot(kernel).orderlyPoweroff(false)
      await Promise.resolve()
      say('begun')
      reboot(kernel).orderlyPoweroff(true)
      reboot(kernel).orderlyPoweroff(false)
      say((await first).code)`)
    assert.deepEqual([code, lines], [1, ['begun', 'ENOENT', 'exit 1']])
  })

  test('calls that come before it begins are one; one that comes while it runs is another', async () => {
    const { lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      const room = reboot(kernel)
      const [a, b, c] = [room.orderlyPoweroff(), room.orderlyPoweroff(), room.orderlyPoweroff()]
      say(a === b && b === c)
      await Promise.resolve()
      const d = room.orderlyPoweroff()
      say(a !== d)
      await Promise.all([a, d])
      clearInterval(open)`)
    assert.deepEqual(lines, ['true', 'true', 'exit 0'])
  })

  test('helpers had been disabled: the command cannot be started, EBUSY, and they stay so', async () => {
    const { lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/bin/true')
      await kernel.usermodehelperDisable()
      say((await reboot(kernel).orderlyPoweroff()).code)
      say(await kernel.usermodehelperReadTrylock())
      await kernel.usermodehelperEnable()
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual(lines, ['EBUSY', '-11', 'exit 0'])
  })

  test('the default command needs neither khelper nor helpers: a kernel that is shut down ends in order', async () => {
    const { lines } = await end(`
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      await kernel.shutdown()
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual(lines, ['listener', 'exit 0'])
  })

  test('the kernel has been shut down: not started; with force the process still ends', async () => {
    const { code, lines } = await end(`
      sysctl('kernel/poweroff_cmd', '/bin/true')
      const room = reboot(kernel)
      await kernel.shutdown()
      say((await room.orderlyPoweroff()).code)
      await room.orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [1, ['ECANCELED', 'exit 1']])
  })
})

describe('nothing is free for the command', { concurrency: true }, () => {
  /** A kernel whose one descriptor is taken for as long as the service lives, or until it is aborted. */
  const TAKEN = `
    const full = boot({ khelpers: 1, descriptors: 1 })
    const taken = new AbortController()
    const held = full.run('sleep', ['60'], { signal: taken.signal, killSignal: 'SIGKILL', reject: false })
    await Promise.all([kernel.ready, full.ready])
    const room = reboot(full, { deadline: ${WAITED_OUT_MS} })
    room.registerRebootNotifier(() => say('listener'))`

  test('the default command does not need it', async () => {
    const { code, lines } = await end(`${TAKEN}\nroom.orderlyPoweroff()`)
    assert.deepEqual([code, lines], [0, ['listener', 'exit 0']])
  })

  test('all khelpers are held by in-thread helpers: neither does it then', async () => {
    const endless = inThreadHelper('export default () => new Promise(() => {})')
    const { code, lines } = await end(`
      const room = reboot(kernel, { deadline: ${WAITED_OUT_MS} })
      room.registerRebootNotifier(() => say('listener'))
      for (let count = 0; count < 40; count += 1) kernel.run('${endless}').catch(() => {})
      room.orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [0, ['listener', 'exit 0']])
  })

  test('a command that is not started in time is withdrawn: without force the service goes on', async () => {
    const out = temporary('late.out')
    const command = write('late.sh', `#!/bin/sh\n: > ${out}\n`, 0o755)
    const { code, lines } = await end(`
      import { existsSync, readdirSync } from 'node:fs'
      ${TAKEN}
      full.proc.write('/proc/sys/kernel/poweroff_cmd', '${command}')
      const threads = () => readdirSync('/proc/self/task').length
      const before = threads()
      say((await room.orderlyPoweroff()).code)
      while (threads() > before) await new Promise(resolve => setTimeout(resolve, 5))
      say('the watchdog has gone')
      taken.abort()
      await held
      say('helper ' + await full.callUsermodehelper('/bin/true', ['true'], [], 2) + ' ' + existsSync('${out}'))
      process.exit()`)
    assert.deepEqual([code, lines], [0, ['ETIMEDOUT', 'the watchdog has gone', 'helper 0 false', 'exit 0']])
  })

  test('with force the process ends at once when the time is over', async () => {
    const { code, lines, stderr } = await end(`
      ${TAKEN}
      full.proc.write('/proc/sys/kernel/poweroff_cmd', '/bin/true')
      room.orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [1, ['exit 1']])
    assert.match(stderr, /ETIMEDOUT/)
  })

  test('a (true) that comes behind a (false) that waits forces', async () => {
    const { code, lines } = await end(`
      ${TAKEN}
      full.proc.write('/proc/sys/kernel/poweroff_cmd', '/bin/true')
      room.orderlyPoweroff(false).then(({ code }) => say(code))
      await Promise.resolve()
      room.orderlyPoweroff(true)`)
    assert.deepEqual([code, lines], [1, ['ETIMEDOUT', 'exit 1']])
  })

  test('somebody holds helpers enabled for ever: not longer than the deadline', async () => {
    const { code, lines } = await end(`
      say(await kernel.usermodehelperReadTrylock())
      reboot(kernel, { deadline: ${WAITED_OUT_MS} }).registerRebootNotifier(async () => {
        say('helper ' + await kernel.callUsermodehelper('/bin/true', ['true'], [], 2))
      })
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual([code, lines], [0, ['0', 'helper -16', 'exit 0']])
  })
})

describe('listeners', { concurrency: true }, () => {
  test('one that fails stops nothing and is told of', async () => {
    const { code, lines, stderr } = await end(`
      reboot(kernel).registerRebootNotifier(() => { throw new Error('at once') }, { priority: 2 })
      reboot(kernel).registerRebootNotifier(async () => { throw new Error('later') }, { priority: 1 })
      reboot(kernel).registerRebootNotifier(() => say('next'))
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual([code, lines], [0, ['next', 'exit 0']])
    assert.match(stderr, /at once/)
    assert.match(stderr, /later/)
  })

  test('one that never ends is left when the time is over; those after it are called, not waited for', async () => {
    const { code, lines } = await end(`
      reboot(kernel, { deadline: ${WAITED_OUT_MS} })
      reboot(kernel).registerRebootNotifier(({ signal }) => new Promise(() => {
        signal.addEventListener('abort', () => say('aborted ' + signal.reason.name))
      }), { priority: 1 })
      reboot(kernel).registerRebootNotifier(({ signal }) => {
        say('next ' + signal.aborted)
        return new Promise(() => {})
      })
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual([code, lines], [0, ['aborted TimeoutError', 'next true', 'exit 0']])
  })

  test('one that blocks the thread for ever: the process is killed', async () => {
    const { signal, lines } = await end(`
      // The drain and the shutdown are given their 10 s before that.
      reboot(kernel, { deadline: 0 }).registerRebootNotifier(() => { say('blocks'); for (;;); })
      reboot(kernel).orderlyPoweroff()`)
    assert.deepEqual([signal, lines], ['SIGKILL', ['blocks']])
  })

  test('a call that is in flight for long holds nothing up for ever, and its helper goes on', async () => {
    const { code, lines } = await end(`
      const helper = kernel.run('sleep', ['60'])
      helper.catch(() => {})
      say(helper.pid)
      reboot(kernel).orderlyPoweroff()`)
    const pid = Number(lines[0])
    assert.deepEqual([code, lines.at(-1)], [0, 'exit 0'])
    assert.ok(alive(pid))
    process.kill(pid, 'SIGKILL')
  })
})

describe('orderlyReboot', () => {
  test('exits with the code that a supervisor restarts', async () => {
    const { code, lines } = await end(`
      reboot(kernel).registerRebootNotifier(({ action }) => say(action))
      clearInterval(open)
      reboot(kernel).orderlyReboot()`)
    assert.deepEqual([code, lines], [133, ['reboot', 'exit 133']])
  })

  test('the code can be chosen; a command that cannot be started always forces', async () => {
    const { code, lines } = await end(`
      sysctl('khelper/reboot_cmd', '/no/such/reboot')
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      reboot(kernel, { rebootExitCode: 42 }).orderlyReboot()`)
    assert.deepEqual([code, lines], [42, ['exit 42']])
  })

  test('the default commands do nothing and are no programs of the system', async () => {
    const kernel = boot({ khelpers: 1 })
    after(() => kernel.shutdown())
    for (const name of ['kernel/poweroff_cmd', 'khelper/reboot_cmd']) {
      assert.match(kernel.proc.read(`/proc/sys/${name}`), /^file:.*workers\/poweroff\.js\n$/)
    }
  })

  test('beside a power-off: the first whose command has been started ends the process', async () => {
    const { code } = await end(`
      reboot(kernel).registerRebootNotifier(({ action }) => {
        say(action)
        if (action === 'poweroff') reboot(kernel).orderlyReboot()
      })
      reboot(kernel).orderlyPoweroff()`)
    assert.equal(code, 0)
  })
})

describe('signals', { concurrency: true }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} ends the service in order`, async () => {
      const child = start(`
        reboot(kernel).onSignals()
        reboot(kernel).registerRebootNotifier(() => say('listener'))
        say('up')`)
      const ended = end(child)
      await said(child, 'up')
      child.kill(signal)
      const { code, lines } = await ended
      assert.deepEqual([code, lines], [0, ['up', 'listener', 'exit 0']])
    })
  }

  test('a second signal ends it at once, with 128 and its number', async () => {
    const child = start(`
      reboot(kernel).onSignals()
      reboot(kernel).registerRebootNotifier(() => { say('listener'); return new Promise(() => {}) })
      say('up')`)
    const ended = end(child)
    await said(child, 'up')
    child.kill('SIGTERM')
    await said(child, 'listener')
    child.kill('SIGINT')
    const { code, lines } = await ended
    assert.deepEqual([code, lines], [130, ['up', 'listener', 'exit 130']])
  })

  test('listened to more than once, the first is still in order', async () => {
    const child = start(`
      reboot(kernel).onSignals()
      reboot(kernel).onSignals(['SIGTERM', 'SIGTERM'])()
      reboot(kernel).onSignals(['SIGTERM', 'SIGTERM'])
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      say('up ' + process.listenerCount('SIGTERM'))`)
    const ended = end(child)
    await said(child, 'up 1')
    child.kill('SIGTERM')
    const { code, lines } = await ended
    assert.deepEqual([code, lines], [0, ['up 1', 'listener', 'exit 0']])
  })

  for (const [step, reached] of [
    ['drain', "kernel.run('sh', ['-c', 'sleep 0.5']).catch(() => {})\nreboot(kernel).orderlyReboot()"],
    [
      'shutdown',
      `kernel.onShutdown(() => new Promise(resolve => setTimeout(resolve, 500)))
       reboot(kernel).orderlyReboot()`,
    ],
  ] as const) {
    test(`a first signal during the ${step} of a reboot changes nothing`, async () => {
      const { code, stderr } = await end(`
        reboot(kernel).onSignals()
        ${step === 'drain' ? '' : "kernel.onShutdown(() => process.kill(process.pid, 'SIGTERM'))"}
        process.on('SIGTERM', () => say('heard'))
        ${reached}
        ${step === 'drain' ? "setImmediate(() => process.kill(process.pid, 'SIGTERM'))" : ''}`)
      assert.deepEqual([code, stderr], [133, ''])
    })
  }

  for (const [action, exitCode] of [
    ['poweroff', 0],
    ['reboot', 133],
  ] as const) {
    test(`a timer that runs helpers until the last moment does not change the exit code of a ${action}`, async () => {
      const child = start(`
        reboot(kernel).onSignals()
        process.on('SIGUSR2', () => reboot(kernel).orderlyReboot())
        const refused = new Promise(resolve => {
          setInterval(() => {
            kernel.run('true').catch(({ code }) => code === 'ERR_KHELPER_SHUT_DOWN' && resolve())
          }, 1)
        })
        kernel.onShutdown(() => refused)
        say('up')`)
      const ended = end(child)
      await said(child, 'up')
      child.kill(action === 'poweroff' ? 'SIGTERM' : 'SIGUSR2')
      const { code, stderr } = await ended
      assert.deepEqual([code, stderr], [exitCode, ''])
    })
  }

  test('two kernels: neither takes the process from the other’s listeners', async () => {
    const child = start(`
      const other = boot({ khelpers: 1 })
      reboot(kernel).onSignals()
      reboot(other).onSignals()
      reboot(other).registerRebootNotifier(async () => {
        // The first has come to its end by then.
        while (!gone) await new Promise(setImmediate)
        await new Promise(resolve => setTimeout(resolve, 50))
        say('listener')
      })
      let gone = false
      const { shutdown } = kernel
      kernel.shutdown = () => shutdown.call(kernel).finally(() => { gone = true })
      say('up')`)
    const ended = end(child)
    await said(child, 'up')
    child.kill('SIGTERM')
    const { code, lines } = await ended
    assert.deepEqual([code, lines], [0, ['up', 'listener', 'exit 0']])
  })

  test('a first signal with a command that cannot be started ends it by force', async () => {
    const child = start(`
      sysctl('kernel/poweroff_cmd', '/no/such/poweroff')
      reboot(kernel).onSignals(['SIGUSR2'])
      say('up')`)
    const ended = end(child)
    await said(child, 'up')
    child.kill('SIGUSR2')
    assert.equal((await ended).code, 1)
  })

  test('given back, and when somebody else has shut the kernel down, they are Node’s again', async () => {
    for (const giveBack of ['off()', 'await kernel.shutdown()']) {
      const child = start(`
        const off = reboot(kernel).onSignals()
        ${giveBack}
        say('up')`)
      const ended = end(child)
      await said(child, 'up')
      child.kill('SIGTERM')
      assert.equal((await ended).signal, 'SIGTERM')
    }
  })

  test('they keep no process alive', async () => {
    const { code } = await end('reboot(kernel).onSignals(); clearInterval(open)')
    assert.equal(code, 0)
  })
})

describe('emergency', { concurrency: true }, () => {
  test('exits with the code given, and no listener gets a turn', async () => {
    const { code, lines } = await end(`
      reboot(kernel).registerRebootNotifier(() => say('listener'))
      kernel.onShutdown(() => say('shutdown'))
      reboot(kernel).emergency(9)`)
    assert.deepEqual([code, lines], [9, ['exit 9']])
  })

  test('an exit listener that hangs: the process is killed', async () => {
    const { signal, lines } = await end(`
      process.on('exit', () => { say('hangs'); for (;;); })
      reboot(kernel, { deadline: 50 }).emergency()`)
    assert.deepEqual([signal, lines], ['SIGKILL', ['exit 1', 'hangs']])
  })

  test('with in-thread helpers that never end', async () => {
    const endless = inThreadHelper('export default () => { for (;;); }')
    const { code } = await end(`
      kernel.run('${endless}').catch(() => {})
      reboot(kernel).emergency(3)`)
    assert.equal(code, 3)
  })
})

describe('hwProtection', { concurrency: true }, () => {
  test('only the first call proceeds', async () => {
    const { code, lines, stderr } = await end(`
      reboot(kernel).registerRebootNotifier(({ action }) => say(action))
      say(reboot(kernel).hwProtectionShutdown('too hot', 0))
      say(reboot(kernel).hwProtectionShutdown('hotter', 0))
      say(reboot(kernel).hwProtectionReboot('hottest', 0))`)
    assert.deepEqual([code, lines], [0, ['true', 'false', 'false', 'poweroff', 'exit 0']])
    assert.match(stderr, /too hot/)
    assert.doesNotMatch(stderr, /hotter|hottest/)
  })

  test('reboot', async () => {
    const { code, lines } = await end(`
      reboot(kernel).registerRebootNotifier(({ action }) => say(action))
      reboot(kernel).hwProtectionReboot('too hot', 0)`)
    assert.deepEqual([code, lines], [133, ['reboot', 'exit 133']])
  })

  test('by force when the order takes longer than the time given', async () => {
    const { code, lines } = await end(`
      reboot(kernel).registerRebootNotifier(() => { say('listener'); return new Promise(() => {}) })
      reboot(kernel).hwProtectionShutdown('too hot', 300)`)
    assert.equal(code, 1)
    assert.equal(lines.at(-1), 'exit 1')
  })

  test('by force even while a listener blocks the thread', async () => {
    const { signal } = await end(`
      reboot(kernel, { deadline: 0 }).registerRebootNotifier(() => {
        reboot(kernel).hwProtectionShutdown('too hot', 100)
        for (;;);
      })
      reboot(kernel).orderlyPoweroff()`)
    assert.equal(signal, 'SIGKILL')
  })
})

test('on a worker thread there is no end of the service to be had', async () => {
  const { code, lines } = await end(`
    import { Worker } from 'node:worker_threads'
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
      import { boot } from '${KERNEL}'
      import { reboot } from '${REBOOT}'
      import { parentPort } from 'node:worker_threads'
      const kernel = boot({ khelpers: 1 })
      try { reboot(kernel) } catch (error) { parentPort.postMessage(error.code) }
      await kernel.shutdown()
    \`)))
    worker.on('message', code => say(code))
    worker.on('exit', () => clearInterval(open))`)
  assert.deepEqual([code, lines], [0, ['ERR_KHELPER_UNSUPPORTED', 'exit 0']])
})

test('what cannot be is refused at once, and nothing ends', async () => {
  const kernel = boot({ khelpers: 1 })
  const room = reboot(kernel)
  const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
  const range = { code: 'ERR_OUT_OF_RANGE' }
  assert.equal(reboot(kernel), room)
  assert.throws(() => room.orderlyPoweroff('yes' as never), wrong)
  assert.throws(() => room.registerRebootNotifier(1 as never), wrong)
  assert.throws(() => room.registerRebootNotifier(() => {}, null as never), wrong)
  assert.throws(() => room.registerRebootNotifier(() => {}, { priority: 1.5 }), wrong)
  assert.throws(() => room.hwProtectionShutdown(1 as never, 0), wrong)
  assert.throws(() => room.hwProtectionShutdown('x', -1), range)
  assert.throws(() => room.hwProtectionShutdown('x', 2 ** 31), range)
  assert.throws(() => room.emergency(256), range)
  assert.throws(() => room.emergency(-1), range)
  assert.throws(() => room.onSignals('SIGTERM' as never), wrong)
  assert.throws(() => room.onSignals(['SIGNONE' as never]), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.throws(() => room.onSignals(['SIGTERM', 'SIGKILL']), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.equal(process.listenerCount('SIGTERM'), 0)
  assert.throws(() => reboot(kernel, null as never), wrong)
  for (const name of ['deadline', 'rebootExitCode', 'emergencyExitCode'] as const) {
    assert.throws(() => reboot(kernel, { [name]: '1' as never }), wrong)
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ max: -1 }), fc.integer({ min: 2 ** 30 + 1 }), fc.constant(0.5)),
        value => {
          assert.throws(() => reboot(kernel, { [name]: value }), range)
        },
      ),
    )
  }
  await kernel.shutdown()
})
