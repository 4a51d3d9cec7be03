/**
 * What the tests of docs/security.md have in common: a service in a process of its own, and an attacker who is another
 * user.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { write } from '../helpers/temporary.js'

/**
 * Users whom nobody else on the machine is: what is done to all that is theirs touches no other test. Below 65 536, for
 * containers that have no more.
 */
export const HELPER = 20_000 + (process.pid % 20_000) * 2
/** Whom a service is that is not root's. */
export const SERVICE = HELPER + 1
export const AS_HELPER = { uid: HELPER, gid: HELPER }

/** Milliseconds for a test: an attack that succeeds may stop what it attacks. */
export const LONGEST = 60_000

const needs = (found: boolean, what: string): string | false => !found && `needs ${what}`
const works = (program: string, ...args: readonly string[]): boolean =>
  spawnSync(program, args, { env: { PATH } }).status === 0
/** Where other users may execute what is there. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/** For `skip`. */
export const skipped =
  needs(process.platform === 'linux' && process.getuid?.() === 0, 'Linux, and root') ||
  needs(works('python3', '--version'), 'python3')
export const withoutSetpriv = skipped || needs(works('setpriv', '--version'), 'setpriv')
export const withoutStrace =
  skipped || needs(works('strace', '-f', '-o', '/dev/null', 'true'), 'strace, and to be let trace')

/** A folder that others may enter. */
export function openFolder(owner = 0): string {
  const path = mkdtempSync(join(tmpdir(), 'khelper-security-'))
  chmodSync(path, 0o755)
  chownSync(path, owner, owner)
  after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** What attackers have: raw system calls by name, and all that Python has. */
const PRELUDE = `
import collections, ctypes, errno, fcntl, json, os, platform, signal, sys, termios, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {
  # x86-64, and all newer architectures
  'ptrace': (101, 117), 'tgkill': (234, 131), 'add_key': (248, 217), 'keyctl': (250, 219), 'ioprio_set': (251, 30),
  'process_vm_readv': (310, 270), 'kcmp': (312, 272), 'pidfd_send_signal': (424, 424), 'pidfd_getfd': (438, 438),
}
def syscall(name, *args):
  number = NUMBERS[name][0 if platform.machine() == 'x86_64' else 1]
  result = libc.syscall(*[a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in (number, *args)])
  if result < 0:
    raise OSError(ctypes.get_errno(), name)
  return result
def tell(value):
  print(json.dumps(value), flush=True)
def outcome(attempt, *args):
  try:
    attempt(*args)
    return 'done'
  except OSError as error:
    return errno.errorcode[error.errno]
`

export const python = (source: string): string => `${PRELUDE}${source}`

/** Runs a script of Python's as a user. @returns what it tells, and how to have its standard input ended */
export function attack(
  source: string,
  args: readonly (string | number)[],
  user = HELPER,
): { readonly child: ChildProcess; told(): Promise<unknown> } {
  const child = spawn('python3', ['-c', python(source), ...args.map(String)], {
    uid: user,
    gid: user,
    cwd: '/',
    env: { PATH },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  after(() => void child.kill('SIGKILL'))
  let printed = ''
  let ended = false
  child.stdout.setEncoding('utf8').on('data', text => {
    printed += text
  })
  child.once('close', () => {
    ended = true
  })
  return {
    child,
    told: async () => {
      while (!printed.includes('\n')) {
        if (ended) throw new Error('the attacker has told nothing')
        await Promise.race([once(child.stdout, 'data'), once(child, 'close')])
      }
      const [line = '', ...rest] = printed.split('\n')
      printed = rest.join('\n')
      return JSON.parse(line)
    },
  }
}

export interface Service {
  readonly child: ChildProcess
  /** Its standard input is ended: `over` resolves in it. @returns what it has told */
  stop(): Promise<{ readonly told: unknown; readonly code: number | null; readonly signal: string | null }>
}

let services = 0

/**
 * Starts a service; comes back when it has said so by `ready()`.
 * @param source a module's text, which has `kernel`, `over`, `ready`, `tell` and `usersOfThreads`
 * @param before a program with arguments that becomes the service
 */
export async function startService(source: string, before: readonly string[] = []): Promise<Service> {
  services += 1
  const index = new URL('../../src/index.js', import.meta.url).href
  const file = write(
    `attacked-${services}.mjs`,
    `import { boot, Keyring } from '${index}'
     import { once } from 'node:events'
     import { readdirSync, readFileSync } from 'node:fs'
     const OTHER = { uid: ${HELPER}, gid: ${HELPER}, env: { PATH: '${PATH}' } }
     const kernel = boot({ khelpers: 4 })
     await kernel.ready
     const over = once(process.stdin.resume(), 'end')
     const ready = () => console.log('ready')
     const tell = value => console.log('told:' + JSON.stringify(value))
     const fieldOfThread = (thread, name) =>
       readFileSync('/proc/self/task/' + thread + '/status', 'utf8').split(name + ':')[1].split('\\n')[0].trim()
     const usersOfThreads = () => [...new Set(readdirSync('/proc/self/task').flatMap(thread => {
       // One that ends meanwhile is nobody's.
       try { return ['Uid', 'Gid'].map(name => name + ' ' + fieldOfThread(thread, name).replaceAll('\\t', ' ')) } catch { return [] }
     }))].sort()
     ${source}
     await kernel.shutdown()
     process.exit()`,
  )
  const [program = '', ...args] = [...before, process.execPath, file]
  // In a group and a session of its own, as services are.
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  after(() => void child.kill('SIGKILL'))
  const exited = once(child, 'close')
  while (!printed.includes('ready')) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`no service: ${printed}`)
    await Promise.race([once(child.stdout, 'data'), exited])
  }
  return {
    child,
    stop: async () => {
      child.stdin.end()
      const [code, signal] = await exited
      const told = /told:(.*)/.exec(printed)?.[1]
      return { told: told === undefined ? undefined : JSON.parse(told), code, signal }
    },
  }
}

/** Runs a service that ends by itself. */
export const serve = async (source: string, before: readonly string[] = []) =>
  (await startService(`ready()\n${source}`, before)).stop()
