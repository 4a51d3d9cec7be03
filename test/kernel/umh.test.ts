/**
 * The helper core, as in Linux 6.17, kernel/umh.c. What cannot exist outside Linux is listed in
 * ARCHITECTURE.md with the reason.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import {
  boot,
  GFP_ATOMIC,
  GFP_KERNEL,
  type SetupOptions,
  type SubprocessInfo,
  UMH_FREEZABLE,
  UMH_KILLABLE,
  UMH_NO_WAIT,
  UMH_WAIT_EXEC,
  UMH_WAIT_PROC,
} from '../../src/index.js'
import { errno } from '../../src/libc/index.js'
import { alive, eventually } from '../helpers/resources.js'
import { inThreadHelper, temporary, write } from '../helpers/temporary.js'

const SIGKILL = 9
const SIGSEGV = 11
const CORE_DUMPED = 0x80
const EXIT = 256

for (const launcher of ['posix_spawn', 'child_process'] as const) {
  describe(`call_usermodehelper, launcher ${launcher}`, () => {
    const kernel = boot({ khelpers: 2, launcher })
    after(() => kernel.shutdown())
    const sh = (script: string, wait: number, envp: readonly string[] = ['PATH=/bin:/usr/bin']) =>
      kernel.callUsermodehelper('/bin/sh', ['sh', '-c', script], envp, wait)
    const setup = (script: string, options: SetupOptions = {}) => {
      const info = kernel.callUsermodehelperSetup(
        '/bin/sh',
        ['sh', '-c', script],
        ['PATH=/bin'],
        GFP_ATOMIC,
        options,
      )
      assert.ok(info)
      return info
    }
    /** Reads a file that a helper writes, once it is complete. */
    const report = async (name: string): Promise<string> => {
      const path = temporary(name)
      await eventually(`${name} is written`, () => existsWithEnd(path))
      return readFileSync(path, 'utf8').slice(0, -'END\n'.length)
    }

    describe('results', () => {
      test('WAIT_PROC: exit 0 gives 0, exit 1 gives 256, exit 255 gives 65280', async () => {
        assert.equal(await sh('exit 0', UMH_WAIT_PROC), 0)
        assert.equal(await sh('exit 1', UMH_WAIT_PROC), EXIT)
        assert.equal(await sh('exit 255', UMH_WAIT_PROC), 255 * EXIT)
      })

      test('WAIT_PROC: a helper killed by SIGKILL gives 9', async () => {
        assert.equal(await sh('kill -9 $$', UMH_WAIT_PROC), SIGKILL)
      })

      test('WAIT_PROC: a core dump adds 0x80', { skip: launcher === 'child_process' }, async () => {
        const retval = await sh(`cd ${temporary('')} && ulimit -c unlimited && kill -SEGV $$`, UMH_WAIT_PROC)
        assert.ok([SIGSEGV, SIGSEGV | CORE_DUMPED].includes(retval), `${retval}`)
      })

      test('WAIT_EXEC: 0 once the program has started, however it exits', async () => {
        assert.equal(await sh('exit 3', UMH_WAIT_EXEC), 0)
      })

      test('WAIT_EXEC does not wait for the exit', async () => {
        const info = setup('sleep 60')
        assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_EXEC), 0)
        assert.ok(info.pid !== undefined && alive(info.pid))
        process.kill(info.pid, 'SIGKILL')
      })

      for (const [mode, wait] of [
        ['WAIT_EXEC', UMH_WAIT_EXEC],
        ['WAIT_PROC', UMH_WAIT_PROC],
      ] as const) {
        const call = (path: string) => kernel.callUsermodehelper(path, [path], [], wait)

        test(`${mode}: a path that is missing gives -ENOENT`, async () => {
          assert.equal(await call('/no/such/program'), -errno('ENOENT'))
        })

        test(`${mode}: a file without execute permission gives -EACCES`, async () => {
          assert.equal(await call(write('plain', '#!/bin/sh\n')), -errno('EACCES'))
        })

        test(`${mode}: a folder gives -EACCES, a file below a file -ENOTDIR`, async () => {
          assert.equal(await call('/usr'), -errno('EACCES'))
          assert.equal(await call('/etc/passwd/x'), -errno('ENOTDIR'))
        })

        test(`${mode}: an executable that is no program gives -ENOEXEC`, async () => {
          assert.equal(await call(write('text', 'just text\n', 0o755)), -errno('ENOEXEC'))
        })

        test(`${mode}: a script whose interpreter is missing gives -ENOENT`, async () => {
          assert.equal(await call(write('orphan', '#!/no/such/interpreter\n', 0o755)), -errno('ENOENT'))
        })
      }

      test('NO_WAIT: 0 at once, a failed exec included', async () => {
        assert.equal(await sh('exit 3', UMH_NO_WAIT), 0)
        assert.equal(await kernel.callUsermodehelper('/no/such', ['x'], [], UMH_NO_WAIT), 0)
      })

      test('KILLABLE alone is WAIT_EXEC with KILLABLE; FREEZABLE changes no result', async () => {
        assert.equal(await sh('exit 3', UMH_KILLABLE), 0)
        assert.equal(await sh('exit 3', UMH_WAIT_PROC | UMH_FREEZABLE), 3 * EXIT)
        assert.equal(await sh('exit 3', UMH_WAIT_EXEC | UMH_KILLABLE | UMH_FREEZABLE), 0)
      })

      test('the blocking forms give the same', () => {
        const call = (script: string, wait: number) =>
          kernel.callUsermodehelperSync('/bin/sh', ['sh', '-c', script], [], wait)
        assert.equal(call('exit 7', UMH_WAIT_PROC), 7 * EXIT)
        assert.equal(call('exit 7', UMH_WAIT_EXEC), 0)
        assert.equal(call('exit 7', UMH_NO_WAIT), 0)
        assert.equal(kernel.callUsermodehelperSync('/no/such', ['x'], [], UMH_WAIT_PROC), -errno('ENOENT'))
        assert.equal(kernel.callUsermodehelperExecSync(setup('exit 8'), UMH_WAIT_PROC), 8 * EXIT)
      })

      test('retval and pid stand in the SubprocessInfo afterwards', async () => {
        const info = setup('exit 5')
        assert.deepEqual([info.retval, info.pid], [undefined, undefined])
        await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC)
        assert.equal(info.retval, 5 * EXIT)
        assert.ok(Number(info.pid) > 0)
      })
    })

    describe('order of checks', () => {
      test('path NULL: -EINVAL, cleanup once, nothing queued, not even counted while disabled', async () => {
        let cleanups = 0
        const make = () =>
          kernel.callUsermodehelperSetup(null, [], [], GFP_ATOMIC, {
            cleanup: () => {
              cleanups += 1
            },
          })
        const info = make()
        assert.ok(info)
        assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), -errno('EINVAL'))
        assert.equal(cleanups, 1)
        await kernel.usermodehelperDisable()
        const disabled = make()
        assert.ok(disabled)
        assert.equal(await kernel.callUsermodehelperExec(disabled, UMH_NO_WAIT), -errno('EINVAL'))
        await kernel.usermodehelperEnable()
        assert.equal(cleanups, 2)
      })

      test('an empty path: 0, and nothing runs; while disabled -EBUSY', async () => {
        let cleanups = 0
        const make = () => {
          const info = kernel.callUsermodehelperSetup('', ['x'], [], GFP_ATOMIC, {
            init: () => assert.fail('nothing is to run'),
            cleanup: () => {
              cleanups += 1
            },
          })
          assert.ok(info)
          return info
        }
        assert.equal(await kernel.callUsermodehelperExec(make(), UMH_WAIT_PROC), 0)
        await kernel.usermodehelperDisable()
        assert.equal(await kernel.callUsermodehelperExec(make(), UMH_WAIT_PROC), -errno('EBUSY'))
        await kernel.usermodehelperEnable()
        assert.equal(cleanups, 2)
      })

      test('an argv without a string: -EINVAL', async () => {
        assert.equal(await kernel.callUsermodehelper('/bin/true', [], [], UMH_WAIT_PROC), -errno('EINVAL'))
      })

      test('a call before helpers are enabled at boot: -EBUSY', async () => {
        await using early = boot({ khelpers: 1, launcher, enabled: false })
        assert.equal(
          await early.callUsermodehelper('/bin/true', ['true'], [], UMH_WAIT_PROC),
          -errno('EBUSY'),
        )
        await early.usermodehelperEnable()
        assert.equal(await early.callUsermodehelper('/bin/true', ['true'], [], UMH_WAIT_PROC), 0)
      })
    })

    describe('init and cleanup', () => {
      test('a value that init returns ends the call with it, unchanged; nothing is started', async () => {
        const marker = temporary(`init-${launcher}`)
        const info = setup(`touch ${marker}`, { init: () => 7 })
        assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_EXEC), 7)
        assert.throws(() => readFileSync(marker))
      })

      test('init runs just before the call is queued, with its data; cleanup after the end', async () => {
        const order: string[] = []
        const info = kernel.callUsermodehelperSetup<string>('/bin/true', ['true'], [], GFP_ATOMIC, {
          data: 'mine',
          init: info => {
            order.push(`init ${info.data}`)
          },
          cleanup: info => {
            order.push(`cleanup ${info.data} ${info.retval}`)
          },
        })
        assert.ok(info)
        assert.equal(order.length, 0)
        const ended = kernel
          .callUsermodehelperExec(info, UMH_WAIT_PROC)
          .then(retval => order.push(`exec ${retval}`))
        assert.deepEqual(order, ['init mine'])
        await ended
        assert.deepEqual(order, ['init mine', 'cleanup mine 0', 'exec 0'])
      })

      test('the cleanup has run when a blocking exec returns', () => {
        let cleanups = 0
        const info = setup('exit 1', {
          cleanup: () => {
            cleanups += 1
          },
        })
        kernel.callUsermodehelperExecSync(info, UMH_WAIT_PROC)
        assert.equal(cleanups, 1)
      })

      for (const [situation, path, wait] of [
        ['NO_WAIT', '/bin/true', UMH_NO_WAIT],
        ['NO_WAIT with a failed exec', '/no/such', UMH_NO_WAIT],
        ['WAIT_EXEC', '/bin/true', UMH_WAIT_EXEC],
        ['WAIT_EXEC with a failed exec', '/no/such', UMH_WAIT_EXEC],
        ['WAIT_PROC', '/bin/true', UMH_WAIT_PROC],
        ['WAIT_PROC with a failed exec', '/no/such', UMH_WAIT_PROC],
      ] as const) {
        test(`${situation}: the cleanup runs exactly once`, async () => {
          let cleanups = 0
          const info = await kernel.callUsermodehelperSetup(path, ['x'], [], GFP_KERNEL)
          kernel.callUsermodehelperSetcleanup(info, () => {
            cleanups += 1
          })
          await kernel.callUsermodehelperExec(info, wait)
          await eventually('the cleanup has run', () => cleanups > 0)
          await eventually('nothing is in flight', () => kernel.stats().inFlight === 0)
          assert.equal(cleanups, 1)
        })
      }

      test('NO_WAIT: the cleanup runs after exec has returned', async () => {
        let cleanups = 0
        const info = setup('exit 0', {
          cleanup: () => {
            cleanups += 1
          },
        })
        const returned = kernel.callUsermodehelperExec(info, UMH_NO_WAIT)
        assert.equal(cleanups, 0)
        await returned
        await eventually('the cleanup has run', () => cleanups === 1)
      })

      test('freeinfo of a call that is not executed runs the cleanup and gives the descriptor back', () => {
        let cleanups = 0
        const before = kernel.stats().descriptors.available
        const info = setup('exit 0', {
          cleanup: () => {
            cleanups += 1
          },
        })
        assert.equal(kernel.stats().descriptors.available, before - 1)
        kernel.callUsermodehelperFreeinfo(info)
        assert.deepEqual([cleanups, kernel.stats().descriptors.available], [1, before])
        assert.throws(() => kernel.callUsermodehelperFreeinfo(info), { code: 'ERR_KHELPER_INFO_USED' })
      })

      test('an init that throws: the error comes through, the cleanup runs', async () => {
        let cleanups = 0
        const info = setup('exit 0', {
          init: () => {
            throw new Error('from init')
          },
          cleanup: () => {
            cleanups += 1
          },
        })
        await assert.rejects(kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), /from init/)
        assert.equal(cleanups, 1)
        assert.equal(kernel.stats().running, 0)
      })
    })

    describe('killable waits', () => {
      test('a fatal signal: -ERESTARTSYS promptly, the helper goes on, the cleanup comes later and once', async () => {
        const marker = temporary(`killable-${launcher}`)
        let cleanups = 0
        const controller = new AbortController()
        const info = setup(`echo $$ > ${marker}; read line < ${temporary('fifo')} ; echo END > ${marker}`, {
          cleanup: () => {
            cleanups += 1
          },
        })
        await kernel.callUsermodehelper('/usr/bin/mkfifo', ['mkfifo', temporary('fifo')], [], UMH_WAIT_PROC)
        const waiting = kernel.callUsermodehelperExec(info, UMH_WAIT_PROC | UMH_KILLABLE, {
          signal: controller.signal,
        })
        await eventually('the helper runs', () => exists(marker))
        controller.abort()
        assert.equal(await waiting, -errno('ERESTARTSYS'))
        assert.equal(cleanups, 0)
        assert.equal(kernel.stats().running, 0)
        await kernel.callUsermodehelper(
          '/bin/sh',
          ['sh', '-c', `echo > ${temporary('fifo')}; rm ${temporary('fifo')}`],
          [],
          UMH_WAIT_PROC,
        )
        await eventually('the cleanup has run', () => cleanups === 1)
        assert.equal(readFileSync(marker, 'utf8'), 'END\n')
      })

      test('without KILLABLE the signal changes nothing', async () => {
        assert.equal(
          await kernel.callUsermodehelperExec(setup('exit 2'), UMH_WAIT_PROC, {
            signal: AbortSignal.abort(),
          }),
          2 * EXIT,
        )
      })

      test('a signal that is aborted before: -ERESTARTSYS, and the helper runs all the same', async () => {
        const [marker, go] = [temporary(`killable-before-${launcher}`), temporary(`killable-go-${launcher}`)]
        // A helper that has ended already gives what it ended with, so this one waits for a word.
        await kernel.callUsermodehelper('/usr/bin/mkfifo', ['mkfifo', go], [], UMH_WAIT_PROC)
        const retval = await kernel.callUsermodehelperExec(
          setup(`read line < ${go}; touch ${marker}`),
          UMH_WAIT_PROC | UMH_KILLABLE,
          { signal: AbortSignal.abort() },
        )
        assert.equal(retval, -errno('ERESTARTSYS'))
        await sh(`echo > ${go}`, UMH_WAIT_PROC)
        await eventually('the helper has run', () => exists(marker))
      })
    })

    describe('what the helper is given', () => {
      test('argv and envp are copied at setup: later changes are not seen', async () => {
        const path = temporary(`copied-${launcher}`)
        const argv = ['sh', '-c', `echo "$0 $A" > ${path}`, 'before']
        const envp = ['A=before']
        const info = kernel.callUsermodehelperSetup('/bin/sh', argv, envp, GFP_ATOMIC)
        assert.ok(info)
        argv[3] = 'after'
        envp[0] = 'A=after'
        await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC)
        assert.equal(readFileSync(path, 'utf8'), 'before before\n')
      })

      test('envp null is an empty environment; an object is taken too', async () => {
        const path = temporary(`environment-${launcher}`)
        const env = async (envp: null | Record<string, string | undefined>) => {
          await kernel.callUsermodehelper(
            '/bin/sh',
            ['sh', '-c', `/usr/bin/env > ${path}; echo END >> ${path}`],
            envp,
            UMH_WAIT_PROC,
          )
          return readFileSync(path, 'utf8')
            .split('\n')
            .filter(line => !/^(PWD|_|SHLVL|OLDPWD)=|^END$|^$/.test(line))
            .toSorted()
        }
        assert.deepEqual(await env(null), [])
        assert.deepEqual(await env({ A: '1', B: undefined, C: 'x=y' }), ['A=1', 'C=x=y'])
      })

      test('PATH is not searched', async () => {
        const retval = await kernel.callUsermodehelper('true', ['true'], ['PATH=/bin'], UMH_WAIT_PROC)
        assert.equal(retval, -errno('ENOENT'))
      })

      test('stdio is /dev/null', async () => {
        const path = temporary(`stdio-${launcher}`)
        // The shell redirects itself before it runs a command: it is asked before that.
        const links = '/proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2'
        await sh(`links=$(readlink ${links}); echo "$links" > ${path}`, UMH_WAIT_PROC)
        assert.equal(readFileSync(path, 'utf8'), '/dev/null\n/dev/null\n/dev/null\n')
      })

      test('of the service’s descriptors none is passed on', {
        skip: launcher === 'child_process',
      }, async () => {
        // One above the others is the folder that ls reads.
        assert.equal((await kernel.run('ls', ['/proc/self/fd'])).stdout, '0\n1\n2\n3\n')
      })

      test('no signal is blocked or ignored; the helper leads a process group', async () => {
        const path = temporary(`signals-${launcher}`)
        const script = `grep -E "^Sig(Blk|Ign)" /proc/self/status > ${path}; cut -d" " -f5 /proc/$$/stat >> ${path}; echo $$ >> ${path}; echo END >> ${path}`
        await sh(script, UMH_WAIT_PROC)
        const [blocked, ignored, group, pid] = (await report(`signals-${launcher}`)).split('\n')
        assert.match(blocked ?? '', /SigBlk:\s+0+$/)
        assert.match(ignored ?? '', /SigIgn:\s+0+$/)
        assert.equal(group, pid)
      })

      test('stdinpipe: what is written arrives, closing it is the end of input', async () => {
        if (launcher === 'child_process') {
          assert.throws(() => kernel.callUsermodehelperStdinpipe(setup('true')), {
            code: 'ERR_KHELPER_UNSUPPORTED',
          })
          return
        }
        const path = temporary('stdinpipe')
        const info = setup(`cat > ${path}`)
        const stdin = kernel.callUsermodehelperStdinpipe(info)
        stdin.end('through the pipe')
        assert.equal(await kernel.callUsermodehelperExec(info, UMH_WAIT_PROC), 0)
        assert.equal(readFileSync(path, 'utf8'), 'through the pipe')
      })

      test('callUsermodehelperPipe waits for the exec and gives the stream', async t => {
        if (launcher === 'child_process') return t.skip('needs posix_spawn')
        const path = temporary('pipe')
        const { retval, stdin } = await kernel.callUsermodehelperPipe(
          '/bin/sh',
          ['sh', '-c', `cat > ${path}; echo END >> ${path}`],
          ['PATH=/bin'],
        )
        assert.equal(retval, 0)
        stdin.end('line\n')
        assert.equal(await report('pipe'), 'line\n')
        const failed = await kernel.callUsermodehelperPipe('/no/such', ['x'], [])
        assert.equal(failed.retval, -errno('ENOENT'))
        assert.equal(failed.stdin.destroyed, true)
      })
    })

    describe('concurrency', () => {
      test('100 sleeping WAIT_PROC helpers: a later WAIT_EXEC still starts', async () => {
        // Not by way of a shell, which might not be `sleep` yet when pkill looks for it.
        const sleepers = Array.from({ length: 100 }, () => {
          const info = kernel.callUsermodehelperSetup('/bin/sleep', ['sleep', '60'], [], GFP_ATOMIC)
          assert.ok(info)
          return info
        })
        const waiting = sleepers.map(info => kernel.callUsermodehelperExec(info, UMH_WAIT_PROC))
        assert.equal(await sh('exit 0', UMH_WAIT_EXEC), 0)
        await kernel.flush()
        const runs = kernel.run('pkill', ['-9', '-P', String(process.pid), '-x', 'sleep'], { reject: false })
        await runs
        assert.deepEqual(new Set(await Promise.all(waiting)), new Set([SIGKILL]))
      })

      test('a helper that itself makes a waiting helper call', async () => {
        const url = inThreadHelper(`
          import { workerData } from 'node:worker_threads'
          import { attach } from '${new URL('../../src/index.js', import.meta.url).href}'
          export default async ([, handle]) => {
            const kernel = attach(globalThis.kernelHandle ?? { memory: workerData.buffer, launcher: { name: '${launcher}' }, scratch: workerData.scratch })
            const retval = kernel.callUsermodehelperSync('/bin/sh', ['sh', '-c', 'exit 6'], [], ${UMH_WAIT_PROC})
            await kernel.shutdown()
            return retval >> 8
          }`)
        assert.equal(await kernel.callUsermodehelper(url, ['helper'], [], UMH_WAIT_PROC), 6 * EXIT)
      })
    })
  })
}

test('the descriptors are all in use: GFP_ATOMIC gives null, GFP_KERNEL waits its turn', async () => {
  await using kernel = boot({ khelpers: 1, descriptors: 2 })
  const make = () => kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_ATOMIC)
  const [first, second] = [make(), make()]
  assert.ok(first && second)
  assert.equal(make(), null)
  assert.equal(kernel.callUsermodehelperSync('/bin/true', ['true'], [], UMH_NO_WAIT), -errno('ENOMEM'))
  const order: number[] = []
  const waiting = [0, 1, 2].map(async number => {
    const info: SubprocessInfo = await kernel.callUsermodehelperSetup('/bin/true', ['true'], [], GFP_KERNEL)
    order.push(number)
    kernel.callUsermodehelperFreeinfo(info)
  })
  kernel.callUsermodehelperFreeinfo(first)
  await Promise.all(waiting)
  assert.deepEqual(order, [0, 1, 2])
  kernel.callUsermodehelperFreeinfo(second)
  assert.equal(kernel.stats().descriptors.available, 2)
})

test('a hundred times more calls than descriptors all run', async () => {
  await using kernel = boot({ khelpers: 2, descriptors: 4 })
  const calls = Array.from({ length: 400 }, () =>
    kernel.callUsermodehelper('/bin/true', ['true'], [], UMH_WAIT_PROC),
  )
  assert.deepEqual(new Set(await Promise.all(calls)), new Set([0]))
})

function exists(path: string): boolean {
  try {
    return readFileSync(path, 'utf8') !== undefined
  } catch {
    return false
  }
}

function existsWithEnd(path: string): boolean {
  return exists(path) && readFileSync(path, 'utf8').endsWith('END\n')
}
