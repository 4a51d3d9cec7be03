/**
 * Processes of another user, where the tests are root's.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export const OTHER = 12_345

/** For `test`: what takes root. */
export const asRoot = { skip: process.getuid?.() === 0 ? false : 'takes root' }

/**
 * Runs a CommonJS script as the other user; it becomes that user by itself: Node's program may lie where only root can
 * execute it.
 */
export function startAsOther(source: string): ChildProcess {
  const become = `process.setgroups([]); process.setgid(${OTHER}); process.setuid(${OTHER});`
  return spawn(process.execPath, ['-e', `${become}${source}`], { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** All that it prints, when it has ended. */
export async function outputOf(child: ChildProcess): Promise<string> {
  let printed = ''
  child.stdout?.setEncoding('utf8').on('data', text => {
    printed += text
  })
  await once(child, 'close')
  return printed
}

export interface FakeService {
  /** How many have connected, and all that they have sent, once it has been ended. */
  stop(): Promise<{ readonly connections: number; readonly received: string }>
}

/** A server of the other user that takes whatever comes, and answers nothing. */
export async function fakeService(path: string): Promise<FakeService> {
  const child = startAsOther(`
    let connections = 0, received = ''
    const server = require('node:net').createServer(socket => {
      connections += 1
      socket.on('error', () => {}).on('data', chunk => { received += chunk; socket.end() })
    })
    server.listen({ path: ${JSON.stringify(path)}, readableAll: true, writableAll: true }, () => console.log('listens'))
    process.stdin.resume().on('end', () => { console.log(JSON.stringify({ connections, received })); process.exit() })`)
  const all = outputOf(child)
  if (child.stdout !== null) await once(child.stdout, 'data')
  return {
    stop: async () => {
      child.stdin?.end()
      return JSON.parse((await all).replace('listens', ''))
    },
  }
}
