/**
 * The same calls through Node's module and through the drop-in: the same events in the same order, with the same
 * values, the same output, the same errors. fast-check shrinks a mismatch to the smallest call that shows it.
 */
import assert from 'node:assert/strict'
import native from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import dropIn from '../../src/child-process.js'

type Module = Pick<typeof native, 'spawn' | 'execFile' | 'exec' | 'spawnSync' | 'execFileSync' | 'execSync'>

const folder = mkdtempSync(join(tmpdir(), 'khelper-differential-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const file = (name: string, mode: number, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}
const UNFORMATTED = file('unformatted', 0o755, 'echo "script $0 $1"; exit 5')
const FORBIDDEN = file('forbidden', 0o644, '#!/bin/sh\n')
const MISSING_INTERPRETER = file('interpreter', 0o755, '#!/no/such/interpreter\n')

/** What programs do; each is a script of sh, or a program and its arguments. */
const scripts = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map(code => `exit ${code}`),
  fc
    .integer({ min: 0, max: 3 })
    .map(count => `for i in $(seq ${count}); do echo out $i; echo err $i >&2; done`),
  fc.constantFrom(100, 65_536, 65_537, 300_000).map(bytes => `head -c ${bytes} /dev/zero | tr '\\0' x`),
  fc.constantFrom('TERM', 'KILL', 'INT', 'HUP', 'ABRT', 'USR1', 'SEGV').map(signal => `kill -${signal} $$`),
  fc.constantFrom(
    'cat',
    'wc -c; pwd; echo "$A$HOME"',
    'read line; echo "got $line"; exit 7',
    '(sleep 0.03; echo late) & exit 3',
    '(setsid sh -c "sleep 0.02; echo later") & echo now',
    'exec >&- 2>&-; exit 4',
    'exec <&-; echo no more input',
    'echo three >&3',
    'echo $0 $#; trap "" PIPE; echo done',
    'ps -o pgid= -p $$ | grep -qw $$ && echo leads || echo follows',
    'grep -E "^Sig(Blk|Ign)" /proc/self/status',
    'umask',
  ),
)

const commands = fc.oneof(
  { weight: 6, arbitrary: scripts.map(script => ({ file: 'sh', args: ['-c', script, 'zero', 'one'] })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<{ file: string; args: string[] }>(
      { file: '/bin/echo', args: ['hello', 'wörld', ''] },
      { file: 'no-such-program', args: ['argument'] },
      { file: '/no/such/program', args: [] },
      { file: '/etc', args: [] },
      { file: FORBIDDEN, args: [] },
      { file: UNFORMATTED, args: ['one'] },
      { file: MISSING_INTERPRETER, args: [] },
    ),
  },
)

const MAXBUFFER = 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER'
const PATH = process.env['PATH']
const common = {
  cwd: fc.option(fc.constantFrom('/', '/usr', '/no/such/folder', '/etc/passwd'), { nil: undefined, freq: 2 }),
  env: fc.option(fc.constantFrom({ A: '1', PATH }, { A: 'ü=x', HOME: '/root', PATH }, { A: '1' }), {
    nil: undefined,
    freq: 2,
  }),
  argv0: fc.option(fc.constant('another'), { nil: undefined, freq: 5 }),
  shell: fc.option(fc.constant(true), { nil: undefined, freq: 6 }),
}

const entry = fc.constantFrom('pipe', 'ignore', 'overlapped')
const stdios = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constant('ignore') },
  { weight: 3, arbitrary: fc.array(entry, { minLength: 1, maxLength: 5 }) },
)

const inputs = fc.option(fc.constantFrom('', 'a line\n', 'y'.repeat(100_000), 'z'.repeat(3_000_000)), {
  nil: undefined,
  freq: 2,
})

/** Only what was given: `undefined` is not the same as nothing everywhere. */
const given = <Options extends object>(options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Options

const collect = (stream: Readable | null | undefined, name: string, into: Record<string, string>): void => {
  if (!stream) return
  into[name] = ''
  stream.setEncoding('utf8').on('data', text => {
    into[name] += text
  })
  stream.on('error', () => {})
}

const errorOf = (error: unknown): unknown => {
  const { name, message, code, errno, syscall, path, spawnargs, killed, signal, cmd } = error as Record<
    string,
    unknown
  >
  return given({ name, message, code, errno, syscall, path, spawnargs, killed, signal, cmd })
}

/** Everything that can be seen of one call of `spawn`. */
async function observeSpawn(
  module: Module,
  {
    command,
    options,
    input,
    kill,
  }: { command: { file: string; args: string[] }; options: object; input: string | undefined; kill: boolean },
): Promise<unknown> {
  const events: unknown[] = []
  const output: Record<string, string> = {}
  let child: native.ChildProcess
  try {
    child = module.spawn(command.file, command.args, given(options))
  } catch (error) {
    return { threw: errorOf(error) }
  }
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()))
  for (const event of ['spawn', 'exit', 'close', 'disconnect', 'message']) {
    child.on(event, (...values) => events.push([event, ...values]))
  }
  child.on('error', error => events.push(['error', errorOf(error)]))
  for (const [number, stream] of child.stdio.entries()) {
    if (number > 0) collect(stream as Readable | null, `fd ${number}`, output)
  }
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  const killed = kill ? child.kill('SIGKILL') : undefined
  const hadPid = kill ? undefined : child.pid !== undefined
  await closed
  return {
    events,
    output,
    hadPid,
    killed,
    after: [
      child.exitCode,
      child.signalCode,
      child.killed,
      child.spawnfile,
      child.spawnargs,
      child.connected,
    ],
    again: child.kill(),
  }
}

/** So long that whoever is not done by then hangs. */
const HANG_MS = 10_000

async function ended(observed: unknown): Promise<unknown> {
  let overdue: NodeJS.Timeout | undefined
  const hang = new Promise(resolve => {
    overdue = setTimeout(() => resolve('it hangs'), HANG_MS)
  })
  return Promise.race([observed, hang]).finally(() => clearTimeout(overdue))
}

async function same(observe: (module: Module) => unknown): Promise<void> {
  const [ours, nodes] = [await ended(observe(dropIn)), await ended(observe(native))]
  // Whether a program that does not read its input has gone before it is written is chance, too; some calls of ours are
  // handed to Node.
  if (JSON.stringify([ours, nodes]).includes('EPIPE')) return
  assert.deepEqual(ours, nodes)
}

const RUNS = Number(process.env['KHELPER_DIFFERENTIAL_RUNS'] ?? 150)

describe('the drop-in does as Node does', () => {
  test('spawn', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          command: commands,
          options: fc.record({
            ...common,
            stdio: stdios,
            detached: fc.option(fc.constant(true), { nil: undefined, freq: 4 }),
          }),
          input: inputs,
          kill: fc.constant(false),
        }),
        call => same(module => observeSpawn(module, call)),
      ),
      { numRuns: RUNS, includeErrorInReport: true },
    ))

  test('spawn of what hangs: timeout, abort, kill', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          { options: { timeout: 30 }, kill: false },
          { options: { timeout: 30, killSignal: 'SIGKILL' }, kill: false },
          { options: { timeout: 30, killSignal: 'SIGINT', detached: true }, kill: false },
          { options: { stdio: 'ignore' }, kill: true },
          { options: {}, kill: true },
        ),
        call =>
          same(module =>
            observeSpawn(module, { command: { file: 'sleep', args: ['60'] }, input: undefined, ...call }),
          ),
      ),
      { numRuns: 10, includeErrorInReport: true },
    ))

  test('execFile and exec', () =>
    fc.assert(
      fc.asyncProperty(
        commands,
        fc.record({
          ...common,
          maxBuffer: fc.option(fc.constantFrom(10, 1000, 100_000), { nil: undefined, freq: 3 }),
          encoding: fc.option(fc.constantFrom('latin1', 'hex', 'buffer'), { nil: undefined, freq: 3 }),
        }),
        inputs,
        fc.boolean(),
        ({ file: program, args }, options, input, viaShell) =>
          same(
            module =>
              new Promise(resolve => {
                const done = (error: unknown, stdout: unknown, stderr: unknown) =>
                  resolve(
                    (error as NodeJS.ErrnoException | null)?.code === MAXBUFFER
                      ? // Which stream was too long first, and how much of the rest was read by then, is chance.
                        MAXBUFFER
                      : { error: error && errorOf(error), stdout: String(stdout), stderr: String(stderr) },
                  )
                const { argv0: _, shell: __, ...rest } = options
                try {
                  const child = viaShell
                    ? module.exec(args[1] ?? program, given(rest) as native.ExecOptions, done)
                    : module.execFile(program, args, given(options) as native.ExecFileOptions, done)
                  child.stdin?.on('error', () => {})
                  child.stdin?.end(input)
                } catch (error) {
                  resolve({ threw: errorOf(error) })
                }
              }),
          ),
      ),
      { numRuns: RUNS, includeErrorInReport: true },
    ))

  test('spawnSync, execFileSync and execSync', () =>
    fc.assert(
      fc.asyncProperty(
        commands,
        fc.record({
          ...common,
          input: inputs,
          stdio: fc.oneof(
            { weight: 3, arbitrary: fc.constant(undefined) },
            {
              weight: 1,
              arbitrary: fc.array(fc.constantFrom('pipe', 'ignore'), { minLength: 1, maxLength: 4 }),
            },
          ),
          encoding: fc.option(fc.constantFrom('utf8', 'hex'), { nil: undefined, freq: 3 }),
        }),
        fc.constantFrom('spawnSync', 'execFileSync', 'execSync'),
        ({ file: program, args }, options, which) =>
          same(module => {
            const settings = given({
              ...options,
              stdio: options.stdio ?? 'pipe',
              maxBuffer: Number.POSITIVE_INFINITY,
            }) as native.SpawnSyncOptions
            try {
              if (which === 'execFileSync') return module.execFileSync(program, args, settings)
              if (which === 'execSync')
                return module.execSync(args[1] ?? program, settings as native.ExecSyncOptions)
              const { pid, error, ...result } = module.spawnSync(program, args, settings)
              return { ran: pid > 0, error: error && errorOf(error), ...result }
            } catch (error) {
              const { status, signal, stdout, stderr } = error as native.SpawnSyncReturns<string>
              return { threw: errorOf(error), status, signal, stdout: String(stdout), stderr: String(stderr) }
            }
          }),
      ),
      { numRuns: RUNS, includeErrorInReport: true },
    ))

  for (const [situation, options] of [
    ['a timeout', { timeout: 40 }],
    ['a timeout with another signal', { timeout: 40, killSignal: 'SIGKILL' as const }],
  ] as const) {
    test(`spawnSync with ${situation}`, () =>
      same(module => {
        const {
          pid: _,
          error,
          ...result
        } = module.spawnSync('sh', ['-c', 'echo before; exec sleep 60'], options)
        return { error: errorOf(error), ...result }
      }))
  }

  test('mistakes: the same class, code and message', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom<(module: Module) => unknown>(
          module => module.spawn(''),
          module => module.spawn(undefined as never),
          module => module.spawn('a\0b'),
          module => module.spawn('true', ['a\0b']),
          module => module.spawn('true', 'no array' as never),
          module => module.spawn('true', [], { cwd: 3 as never }),
          module => module.spawn('true', [], { cwd: 'a\0b' }),
          module => module.spawn('true', [], { env: { 'A\0': '1' } }),
          module => module.spawn('true', [], { detached: 'yes' as never }),
          module => module.spawn('true', [], { uid: 'root' as never }),
          module => module.spawn('true', [], { stdio: 'nothing' as never }),
          module => module.spawn('true', [], { stdio: ['ipc', 'ipc'] }),
          module => module.spawn('true', [], { stdio: [99_999] }),
          module => module.spawn('true', [], { timeout: -1 }),
          module => module.spawn('true', [], { killSignal: 'SIGNOTHING' as never }),
          module => module.spawn('true', [], { signal: {} as never }),
          module => module.execFile('true', [], { maxBuffer: -1 }),
          module => module.spawnSync('true', [], { maxBuffer: -1 }),
          module => module.spawnSync('true', [], { input: 3 as never }),
          module => module.execSync(''),
        ),
        mistake =>
          same(module => {
            try {
              mistake(module)
              return 'no error'
            } catch (error) {
              return errorOf(error)
            }
          }),
      ),
      { numRuns: 60, includeErrorInReport: true },
    ))
})
