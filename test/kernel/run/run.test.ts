import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { boot, HelperError, UMH_NO_WAIT, UMH_WAIT_EXEC } from '../../../src/index.js'
import { alive, eventually, openFds } from '../../helpers/resources.js'
import { endlessHelper, temporary, write } from '../../helpers/temporary.js'

const sh = (script: string): [string, string[]] => ['sh', ['-c', script]]

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  describe(`run, launcher ${launcher}`, () => {
    const kernel = boot({ khelpers: 2, launcher })
    after(() => kernel.shutdown())

    test('gives exit code, captured output and pid', async () => {
      const result = await kernel.run(...sh('echo out; echo err >&2; exit 4'), { reject: false })
      assert.equal(result.exitCode, 4)
      assert.equal(result.retval, 4 << 8)
      assert.equal(result.signalCode, null)
      assert.equal(result.stdout, 'out\n')
      assert.equal(result.stderr, 'err\n')
      assert.ok(Number(result.pid) > 0)
    })

    test('finds the program in the PATH of the env option, and runs it with that environment only', async () => {
      const folder = temporary('')
      write('only-here', '#!/bin/sh\necho "$GREETING"\n', 0o755)
      const env = { PATH: `/nowhere:${folder}`, GREETING: 'hello', UNSET: undefined }
      assert.equal((await kernel.run('only-here', [], { env })).stdout, 'hello\n')
    })

    test('a program that is in no PATH folder: ENOENT with the name that was looked for', async () => {
      await assert.rejects(kernel.run('no-such-program-anywhere'), {
        code: 'ENOENT',
        errno: -2,
        syscall: 'execve',
        path: 'no-such-program-anywhere',
      })
    })

    test('a program in PATH that may not be executed: EACCES', async () => {
      write('not-executable', '#!/bin/sh\n', 0o644)
      await assert.rejects(kernel.run('not-executable', [], { env: { PATH: temporary('') } }), {
        code: 'EACCES',
      })
    })

    test('cwd is where the helper starts; one that is missing is named in the error', async () => {
      assert.equal((await kernel.run('pwd', [], { cwd: '/usr' })).stdout, '/usr\n')
      await assert.rejects(kernel.run('pwd', [], { cwd: '/nowhere' }), (error: HelperError) => {
        assert.equal(error.code, 'ENOENT')
        assert.equal(error.syscall, 'chdir')
        assert.match(error.message, /\/nowhere/)
        return true
      })
    })

    test('argv0 is what the helper sees as its name', async () => {
      const { stdout } = await kernel.run('sh', ['-c', 'echo $0'], { argv0: 'renamed' })
      assert.equal(stdout, 'renamed\n')
    })

    test('a small input, a large one, bytes and a stream arrive whole', async () => {
      const large = 'x'.repeat(3_000_000)
      assert.equal((await kernel.run('cat', [], { input: '' })).stdout, '')
      assert.equal((await kernel.run('cat', [], { input: 'grüße\n' })).stdout, 'grüße\n')
      assert.equal((await kernel.run('cat', [], { input: large })).stdout, large)
      assert.equal((await kernel.run('cat', [], { input: Buffer.from([104, 105]) })).stdout, 'hi')
      assert.equal((await kernel.run('cat', [], { input: Readable.from(['a', 'b', 'c']) })).stdout, 'abc')
    })

    test('a helper that does not read its input is no failure', async () => {
      await kernel.run('true', [], { input: 'x'.repeat(1_000_000) })
    })

    test('an input that fails: the helper is ended, and the call rejects with that error', async () => {
      const broken = (async function* () {
        yield 'a part of it'
        throw new Error('the rest is lost')
      })()
      await assert.rejects(kernel.run('cat', [], { input: broken }), /the rest is lost/)
    })

    test('after a kill a descendant that keeps the output open is not waited for', async () => {
      const script = 'setsid sleep 30 & echo $!; wait'
      const result = await kernel.run(...sh(script), { timeout: 300, reject: false })
      assert.equal(result.timedOut, true)
      await kernel.run('kill', ['-9', result.stdout.trim()], { reject: false })
      const left = await kernel.run(...sh('setsid sleep 30 & echo $!'), { timeout: 300, reject: false })
      assert.equal(left.timedOut, true)
      await kernel.run('kill', ['-9', left.stdout.trim()], { reject: false })
    })

    test('stdin as a pipe, stdout as a stream', async () => {
      const helper = kernel.run('tr', ['a-z', 'A-Z'], { stdin: 'pipe', stdout: 'pipe' })
      helper.stdin?.end('shout')
      assert.ok(helper.stdout)
      assert.equal(await text(helper.stdout), 'SHOUT')
      assert.equal((await helper).exitCode, 0)
    })

    test('files for all three descriptors, one appended to', async () => {
      const input = write('input', 'one\ntwo\n')
      const output = write('output', 'before\n')
      await kernel.run('cat', [], { stdin: { file: input }, stdout: { file: output, append: true } })
      assert.equal(readFileSync(output, 'utf8'), 'before\none\ntwo\n')
      await kernel.run('cat', [], { stdin: { file: input }, stdout: { file: output } })
      assert.equal(readFileSync(output, 'utf8'), 'one\ntwo\n')
      await assert.rejects(kernel.run('cat', [], { stdin: { file: temporary('missing') } }), {
        code: 'ENOENT',
      })
    })

    test('a descriptor of the service is left open; stdout and stderr may be swapped', async () => {
      const path = temporary('by-descriptor')
      const fd = openSync(path, 'w')
      await kernel.run(...sh('echo one'), { stdout: fd })
      await kernel.run(...sh('echo two >&2'), { stderr: fd })
      closeSync(fd)
      assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n')
    })

    test('encoding: buffer gives bytes, base64 gives base64', async () => {
      const bytes = await kernel.run('printf', ['\\377\\000a'], { encoding: 'buffer' })
      assert.deepEqual(bytes.stdout, Buffer.from([255, 0, 97]))
      assert.equal((await kernel.run('printf', ['abc'], { encoding: 'base64' })).stdout, 'YWJj')
    })

    // node:child_process gives its children sockets, which cannot be opened by name.
    const byName = { skip: launcher === 'child_process' }
    test('writes to /dev/stdout and /dev/stderr by name are captured in their place', byName, async () => {
      const { stdout, stderr } = await kernel.run(
        ...sh('echo a; echo b >/dev/stdout; echo c; echo d >/dev/stderr'),
      )
      assert.equal(stdout, 'a\nb\nc\n')
      assert.equal(stderr, 'd\n')
    })

    test('what a background child still writes after the exit is waited for', async () => {
      const { stdout } = await kernel.run(...sh('(sleep 0.2; echo late) & echo early'))
      assert.equal(stdout, 'early\nlate\n')
    })

    test('ten megabytes are captured whole', async () => {
      const { stdout } = await kernel.run(...sh('head -c 10000000 /dev/zero'), { encoding: 'buffer' })
      assert.equal(stdout.byteLength, 10_000_000)
    })

    test('maxOutput: the helper is killed, the output so far kept', async () => {
      const error = await kernel.run('yes', [], { maxOutput: 1000 }).then(
        () => assert.fail('should reject'),
        (error: HelperError) => error,
      )
      assert.equal(error.code, 'ERR_HELPER_MAX_OUTPUT')
      assert.equal(error.stdout.length, 1000)
      assert.equal(error.outputTruncated, true)
    })

    test('output of exactly maxOutput bytes is no overflow', async () => {
      const { stdout } = await kernel.run('printf', ['12345'], { maxOutput: 5 })
      assert.equal(stdout, '12345')
    })

    test('timeout: killed with killSignal', async () => {
      const error = await kernel.run('sleep', ['60'], { timeout: 50, killSignal: 'SIGINT' }).then(
        () => assert.fail('should reject'),
        (error: HelperError) => error,
      )
      assert.equal(error.code, 'ETIMEDOUT')
      assert.equal(error.signalCode, 'SIGINT')
      assert.equal(error.timedOut, true)
    })

    test('a helper that ignores killSignal gets SIGKILL after the grace period', async () => {
      const script = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
      const helper = kernel.run(...sh(script), { stdout: 'pipe', forceKillAfter: 100, reject: false })
      assert.ok(helper.stdout)
      for await (const _ of helper.stdout) break
      const stopped = kernel.run('true')
      await stopped
      helper.kill('SIGTERM')
      helper.kill('SIGKILL')
      assert.equal((await helper).signalCode, 'SIGKILL')
      const timed = await kernel.run(...sh(script), { timeout: 1_000, forceKillAfter: 100, reject: false })
      assert.equal(timed.signalCode, 'SIGKILL')
      assert.equal(timed.timedOut, true)
    })

    test('a kill reaches the whole process group', async () => {
      const helper = kernel.run(...sh('sleep 60 & echo $!; wait'), { stdout: 'pipe', reject: false })
      assert.ok(helper.stdout)
      let child = 0
      for await (const line of helper.stdout) {
        child = Number(String(line))
        break
      }
      assert.ok(alive(child))
      helper.kill()
      await helper
      await eventually('the grandchild is gone', () => !alive(child))
    })

    test('a call that waits in the queue is ended at once, not when a khelper finds it there', async () => {
      await using own = boot({ khelpers: 1, launcher })
      const holds = endlessHelper()
      const held = own.run(holds.url, [], { reject: false })
      await eventually('the khelper is held', holds.begun)
      // Nothing can take it up in this turn of the event loop.
      const helper = own.run('sleep', ['60'], { stdin: 'pipe', stdout: 'pipe', reject: false })
      assert.equal(helper.kill('SIGINT'), true)
      assert.equal(own.stats().queued, 1)
      const { signalCode, retval, pid } = await helper
      assert.deepEqual([signalCode, retval, pid], ['SIGINT', 2, undefined])
      assert.equal(helper.kill(), false)
      assert.ok(helper.stdout)
      assert.equal(await text(helper.stdout), '')
      held.kill('SIGKILL')
      await held
      await eventually('its descriptor is back', () => {
        const { available, capacity } = own.stats().descriptors
        return available === capacity
      })
    })

    test('an abort kills the helper and rejects with AbortError and its reason', async () => {
      const controller = new AbortController()
      const helper = kernel.run('sleep', ['60'], { signal: controller.signal })
      assert.ok(helper.pid)
      controller.abort(new Error('enough'))
      await assert.rejects(helper, (error: HelperError) => {
        assert.equal(error.name, 'AbortError')
        assert.equal(error.code, 'ABORT_ERR')
        assert.equal((error.cause as Error).message, 'enough')
        assert.equal(error.signalCode, 'SIGTERM')
        return true
      })
    })

    test('an aborted signal: nothing is started', async () => {
      const marker = temporary(`never-${launcher}`)
      await assert.rejects(kernel.run('touch', [marker], { signal: AbortSignal.abort() }), {
        code: 'ABORT_ERR',
      })
      assert.throws(() => readFileSync(marker), { code: 'ENOENT' })
    })

    test('reading pid before the exec waits for it; undefined if the exec fails', async () => {
      const helper = kernel.run('sleep', ['60'], { reject: false })
      const { pid } = helper
      assert.ok(pid !== undefined && alive(pid))
      assert.equal(helper.kill('SIGKILL'), true)
      assert.equal((await helper).pid, pid)
      assert.equal(helper.kill(), false)
      assert.equal(kernel.run('/no/such', [], { reject: false }).pid, undefined)
    })

    test('UMH_WAIT_EXEC resolves at the exec; the helper can still be killed', async () => {
      const helper = kernel.run('sleep', ['60'], { wait: UMH_WAIT_EXEC })
      const { pid, exitCode } = await helper
      assert.equal(exitCode, null)
      assert.ok(pid !== undefined && alive(pid))
      if (launcher === 'child_process') process.kill(pid, 'SIGKILL')
      else assert.equal(helper.kill('SIGKILL'), true)
      await eventually('it is gone', () => !alive(pid))
    })

    test('UMH_NO_WAIT resolves at once', async () => {
      const marker = temporary(`no-wait-${launcher}`)
      const { retval } = await kernel.run('touch', [marker], { wait: UMH_NO_WAIT })
      assert.equal(retval, 0)
      await eventually('it has run', () => openable(marker))
    })

    test('detached: a session of its own', async () => {
      const { stdout } = await kernel.run(...sh('echo $$; cut -d" " -f6 /proc/$$/stat'), { detached: true })
      const [pid, session] = stdout.trim().split('\n')
      assert.equal(session, pid)
    })

    test('reject: the error carries everything, but never the environment', async () => {
      const env = { PATH: process.env['PATH'], SECRET: 'hunter2' }
      const error = await kernel.run(...sh('echo partial; exit 3'), { env }).then(
        () => assert.fail('should reject'),
        (error: HelperError) => error,
      )
      assert.ok(error instanceof HelperError)
      assert.equal(error.code, 'ERR_HELPER_EXIT')
      assert.equal(error.exitCode, 3)
      assert.equal(error.stdout, 'partial\n')
      assert.doesNotMatch(JSON.stringify(error) + error.stack, /hunter2/)
      await assert.rejects(kernel.run(...sh('kill -9 $$')), {
        code: 'ERR_HELPER_SIGNAL',
        signalCode: 'SIGKILL',
      })
    })

    test('disabled helpers: EBUSY', async () => {
      assert.equal(await kernel.usermodehelperDisable(), 0)
      await assert.rejects(kernel.run('true'), { code: 'EBUSY' })
      await kernel.usermodehelperEnable()
      await kernel.run('true')
    })

    test('any argument and any environment value arrives as it is', async () => {
      const anything = fc
        .string({ unit: 'grapheme', maxLength: 40 })
        .filter(string => !string.includes('\0') && Buffer.from(string).toString() === string)
      await fc.assert(
        fc.asyncProperty(fc.array(anything, { maxLength: 20 }), anything, async (args, value) => {
          const script = 'for a in "$@"; do printf "%s\\0" "$a"; done; printf "%s" "$VALUE"'
          const { stdout } = await kernel.run('/bin/sh', ['-c', script, 'sh', ...args], {
            env: { VALUE: value },
          })
          assert.deepEqual(stdout.split('\0'), [...args, value])
        }),
        { numRuns: 40 },
      )
    })

    test('nothing is left open', async () => {
      // Each khelper's event loop opens its own descriptors with its first child.
      await Promise.all(Array.from({ length: 100 }, () => kernel.run('true')))
      const before = openFds()
      const calls = [
        kernel.run('true', [], { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' }),
        kernel.run('/no/such', [], { stdin: 'pipe', stdout: 'pipe', reject: false }),
        kernel.run('cat', [], { input: 'x'.repeat(100_000) }),
        kernel.run('yes', [], { maxOutput: 10, reject: false }),
        kernel.run('true', [], { input: 'x', cwd: '/nowhere', reject: false }),
        kernel.run('sleep', ['60'], { timeout: 20, reject: false }),
      ]
      for (const call of calls) {
        call.stdout?.resume()
        call.stderr?.resume()
      }
      calls[0]?.stdin?.end()
      await Promise.all(calls)
      await eventually('every descriptor is closed', () => openFds() <= before)
      const { descriptors, inFlight, running } = kernel.stats()
      assert.equal(descriptors.available, descriptors.capacity)
      assert.deepEqual({ inFlight, running }, { inFlight: 0, running: 0 })
    })
  })
}

function openable(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'))
    return true
  } catch {
    return false
  }
}

test('as many helpers run as there are descriptors: the error says whose limit that is', async () => {
  const kernel = boot({ khelpers: 1, descriptors: 2, launcher: 'posix_spawn' })
  const helpers = [1, 2].map(() => kernel.run('cat', [], { stdin: 'pipe', wait: UMH_WAIT_EXEC }))
  await Promise.all(helpers)
  await assert.rejects(kernel.run('true'), {
    code: 'EAGAIN',
    syscall: 'khelper',
    message: /none is left for true; boot\(\{ descriptors \}\)/,
  })
  for (const helper of helpers) helper.stdin?.end()
  await kernel.shutdown()
})
