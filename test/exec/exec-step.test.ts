/**
 * The exec step by itself: started with descriptions of our own, on this machine's architecture, and by qemu-user on the
 * others.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { arch } from 'node:process'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import {
  Description,
  describe as describeHelper,
  Operation,
  STEP_DESCRIPTORS,
} from '../../src/exec/exec-step.js'
import { EXEC_STEP_IMAGES } from '../../src/exec/exec-step-images.js'
import { NO_LIMITS } from '../../src/kernel/capability-masks.js'
import { Step } from '../../src/kernel/memory.js'
import { errno } from '../../src/libc/index.js'
import { temporary, write } from '../helpers/temporary.js'

const folder = temporary('exec-step')
mkdirSync(folder)
const needsRoot = process.getuid?.() !== 0 && 'needs root'
const QEMU: Readonly<Record<string, string>> = {
  x64: 'qemu-x86_64-static',
  arm64: 'qemu-aarch64-static',
  riscv64: 'qemu-riscv64-static',
  loong64: 'qemu-loongarch64-static',
}

interface Ran {
  readonly stdout: string
  /** What the step told: which of them failed, and the error number; undefined: the exec succeeded. */
  readonly failure: readonly [step: number, error: number] | undefined
  readonly code: number | null
}

type Run = (description: Uint8Array, argv?: readonly string[]) => Promise<Ran>

let files = 0

/** Starts the step of an architecture, with `stdout` in the helper's descriptor 1. */
function runner(architecture: string): Run {
  const program = `${folder}/${architecture}`
  writeFileSync(program, Buffer.from(EXEC_STEP_IMAGES[architecture] ?? '', 'base64'), { mode: 0o755 })
  const emulator = architecture === arch ? [] : [QEMU[architecture] ?? '']
  return async (description, argv = ['sh']) => {
    files += 1
    const path = `${folder}/description-${files}`
    writeFileSync(path, description)
    const orders = openSync(path, 'r')
    try {
      const [file = '', ...args] = [...emulator, program, ...argv.slice(1)]
      const child = spawn(file, args, {
        stdio: [orders, 'pipe', 'ignore', 'pipe', 'inherit', 'ignore'],
        env: { GIVEN: 'environment', PATH: process.env['PATH'] },
        ...(emulator.length === 0 && { argv0: argv[0] }),
      })
      const ended = new Promise<number | null>(resolve => child.once('close', resolve))
      const [told, stdout] = await Promise.all([
        text(child.stdout as NodeJS.ReadableStream),
        text(child.stdio[3] as NodeJS.ReadableStream),
      ])
      const words = Buffer.from(told, 'latin1')
      const failure =
        words.byteLength === 0 ? undefined : ([words.readUInt32LE(0), words.readUInt32LE(4)] as const)
      return { stdout, failure, code: await ended }
    } finally {
      closeSync(orders)
    }
  }
}

const bytes = (string: string): Buffer => Buffer.from(`${string}\0`)
/** Descriptors 0, 1 and 2, and a program. */
const three = (): Description => new Description(3)
const shell = (description: Description): Buffer =>
  description.add(Operation.EXEC, Step.EXECVE, 0, bytes('/bin/sh')).bytes

for (const architecture of Object.keys(EXEC_STEP_IMAGES)) {
  const emulated = architecture !== arch
  const noEmulator = emulated && spawnSync(QEMU[architecture] ?? '', ['--version']).error !== undefined
  describe(`the exec step on ${architecture}`, { skip: noEmulator && `needs ${QEMU[architecture]}` }, () => {
    const run = runner(architecture)

    test('descriptors, arguments and environment come through; what tells of it is closed by the exec', async () => {
      const script = 'echo "$GIVEN $1"; ls /proc/self/fd | tr "\\n" " "'
      const { stdout, failure } = await run(shell(three()), ['sh', '-c', script, 'x', 'one argument'])
      assert.equal(failure, undefined)
      // What ls has opened itself is the next one.
      assert.equal(stdout, 'environment one argument\n0 1 2 3 ')
    })

    test('umask, niceness, folder and processors', async () => {
      const description = three()
        .add(Operation.NICE, Step.NICE, 7)
        .add(Operation.AFFINITY, Step.AFFINITY, 0, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]))
        .add(Operation.UMASK, Step.UMASK, 0o027)
        .add(Operation.DIRECTORY, Step.CHDIR, 0, bytes('/usr'))
      const script = 'umask; nice; pwd; grep Cpus_allowed_list /proc/self/status'
      const { stdout } = await run(shell(description), ['sh', '-c', script])
      assert.equal(stdout, '0027\n7\n/usr\nCpus_allowed_list:\t0\n')
    })

    test('scheduler and I/O priority', { skip: needsRoot }, async () => {
      const description = three()
        .add(Operation.IO_PRIORITY, Step.NICE, (3 << 13) | 0)
        .add(Operation.SCHEDULER, Step.NICE, 3, new Uint8Array(4))
      const { stdout, failure } = await run(shell(description), ['sh', '-c', 'ionice; chrt -p $$'])
      assert.equal(failure, undefined)
      assert.match(stdout, /^idle\n/)
      assert.match(stdout, /SCHED_BATCH/)
    })

    test('another user, without capabilities and without new privileges', { skip: needsRoot }, async () => {
      const description = describeHelper({
        descriptors: 3,
        settings: {
          credentials: { uid: 1_234, gid: 1_235, groups: [7, 8], another: true, noNewPrivs: true },
        },
        masks: NO_LIMITS,
        secrets: [],
        directory: undefined,
        files: [],
        program: bytes('/bin/sh'),
      })
      const script = 'id -u; id -g; id -G; grep -E "^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)" /proc/self/status'
      const { stdout, failure } = await run(description.bytes, ['sh', '-c', script])
      assert.equal(failure, undefined)
      const none = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map(set => `${set}:\t0000000000000000\n`).join('')
      assert.equal(stdout, `1234\n1235\n1235 7 8\n${none}NoNewPrivs:\t1\n`)
    })

    test('a limit of each kind, and the file that is opened below it', async () => {
      const limits = new Uint8Array(new BigUint64Array([3n, 2n ** 64n - 1n]).buffer)
      const flags = Buffer.from(new Uint32Array([0o1101]).buffer)
      const path = `${folder}/opened-${architecture}`
      const description = three()
        .add(Operation.RLIMIT, Step.RLIMITS, 4, limits)
        .add(Operation.UMASK, Step.UMASK, 0o077)
        .add(Operation.OPEN, Step.STDERR, 2, Buffer.concat([flags, bytes(path)]))
      await run(shell(description), ['sh', '-c', 'ulimit -Sc >&2; ulimit -Hc >&2'])
      assert.equal(readFileSync(path, 'utf8'), '3\nunlimited\n'.replace('3', String(emulated || 3) && '0'))
      assert.equal(statSync(path).mode & 0o777, 0o600)
    })

    for (const [situation, description, failure] of [
      [
        'a folder that is not there',
        three().add(Operation.DIRECTORY, Step.CHDIR, 0, bytes('/no/such/folder')),
        [Step.CHDIR, errno('ENOENT')],
      ],
      [
        'a file in a folder that is not there',
        three().add(Operation.OPEN, Step.STDOUT, 1, Buffer.concat([Buffer.alloc(4), bytes('/no/such/file')])),
        [Step.STDOUT, errno('ENOENT')],
      ],
      [
        'a group whose file is not there',
        three().add(Operation.CGROUP, Step.CGROUP, 0, bytes('/no/such/cgroup.procs')),
        [Step.CGROUP, errno('ENOENT')],
      ],
      [
        'no processor',
        three().add(Operation.AFFINITY, Step.AFFINITY, 0, new Uint8Array(8)),
        [Step.AFFINITY, errno('EINVAL')],
      ],
      [
        'an operation behind a later one',
        three().add(Operation.UMASK, Step.UMASK, 0).add(Operation.NICE, Step.NICE, 0),
        [Step.NICE, errno('EINVAL')],
      ],
      ['an operation that there is not', three().add(99, Step.FORK), [Step.FORK, errno('EINVAL')]],
    ] as const) {
      test(`${situation}: the step and the error number, and nothing runs`, async () => {
        const ran = await run(shell(description), ['sh', '-c', 'echo ran'])
        assert.deepEqual(ran, { stdout: '', failure, code: 127 })
      })
    }

    test('a program that is not there, or none', async () => {
      const odd = write(`odd-${architecture}`, 'echo script "$0" "$1"\n', 0o755)
      const exec = (path: string, scripts: number) =>
        run(three().add(Operation.EXEC, Step.EXECVE, scripts, bytes(path)).bytes, ['named', 'argument'])
      assert.deepEqual((await exec('/no/such/program', 0)).failure, [Step.EXECVE, errno('ENOENT')])
      assert.deepEqual((await exec(odd, 0)).failure, [Step.EXECVE, errno('ENOEXEC')])
      const script = await exec(odd, 1)
      assert.deepEqual([script.failure, script.stdout], [undefined, `script ${odd} argument\n`])
    })

    test('what is no description, or ends without a program, runs nothing', async () => {
      for (const description of [
        Buffer.alloc(0),
        Buffer.alloc(64),
        three().bytes,
        three().add(Operation.UMASK, Step.UMASK, 0).bytes,
      ]) {
        const { stdout, failure, code } = await run(description, ['sh', '-c', 'echo ran'])
        assert.deepEqual([stdout, failure, code], ['', [Step.NONE, errno('EINVAL')], 127])
      }
      // A record that says to be longer than the description is; a description that says so.
      const long = three().add(Operation.UMASK, Step.UMASK, 0, new Uint8Array(64)).bytes
      assert.deepEqual((await run(long.subarray(0, -32))).failure, [Step.NONE, errno('EINVAL')])
      long.writeUInt32LE(1_000, 28)
      assert.deepEqual((await run(long)).failure, [Step.UMASK, errno('EINVAL')])
    })

    test('a description of more than a page', async () => {
      const groups = Uint32Array.from({ length: 2_000 }, (_, index) => index + 1)
      const description = three()
        .add(Operation.UMASK, Step.UMASK, 0o070)
        .add(Operation.GROUPS, Step.SETGROUPS, 0, new Uint8Array(groups.buffer))
      const { stdout, failure } = await run(shell(description), ['sh', '-c', 'umask'])
      const refused = [Step.SETGROUPS, errno('EPERM')]
      if (needsRoot) assert.deepEqual(failure, refused)
      else assert.equal(stdout, '0070\n')
    })
  })
}

test('a description grows with what is written down, and is wiped', () => {
  const description = new Description(3)
  const secret = Buffer.alloc(5_000, 'x')
  description.add(Operation.KEY, Step.KEYRING, 0, secret)
  const { bytes } = description
  assert.equal(bytes.includes(secret), true)
  assert.equal(bytes.byteLength % 8, 0)
  description.wipe()
  assert.equal(bytes.includes('x'), false)
  assert.equal(STEP_DESCRIPTORS, 2)
})
