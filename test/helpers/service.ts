/**
 * A service of its own process, for the commands that work on a running one.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { temporary, write } from './temporary.js'

export interface Service {
  readonly socket: string
  readonly child: ChildProcess
  /** What it has printed so far. */
  output(): string
  stop(): Promise<void>
}

let services = 0

/** @param source what it does besides: a module's text, which has `kernel` */
export async function startService(source = ''): Promise<Service> {
  services += 1
  const socket = temporary(`service-${services}.sock`)
  const index = new URL('../../src/index.js', import.meta.url).href
  const file = write(
    `service-${services}.mjs`,
    `import { boot } from '${index}'
     const kernel = boot({ socket: ${JSON.stringify(socket)} })
     await kernel.ready
     ${source}
     console.log('ready')
     process.stdin.resume().on('end', async () => { await kernel.shutdown(); process.exit() })`,
  )
  const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  while (!printed.includes('ready')) await once(child.stdout, 'data')
  return {
    socket,
    child,
    output: () => printed,
    stop: async () => {
      const exited = once(child, 'exit')
      child.stdin.end()
      await exited
    },
  }
}
