/**
 * A kernel whose request-key helpers can call back, over a socket of their own, with the authority that they were given.
 */
import { createServer, type Server } from 'node:net'
import { Keys, type KeysSettings } from '../../../src/applications/keys/index.js'
import { type BootOptions, boot, type Kernel, SystemError } from '../../../src/index.js'
import { inThreadHelper, temporary } from '../../helpers/temporary.js'

let sockets = 0

/** Lets helpers call `keyctl` by lines of JSON; bytes are base64. */
function serve(keys: Keys): { readonly started: number } {
  const count = { started: 0 }
  keys.helperEnvironment = async authority => {
    count.started += 1
    sockets += 1
    const path = temporary(`keys-${sockets}.sock`)
    const credentials = keys.credentialsOfAuthority(authority)
    const server: Server = createServer(socket => {
      let text = ''
      socket.on('data', async chunk => {
        text += chunk
        const lines = text.split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) {
          const { operation, args } = JSON.parse(line)
          let reply: unknown
          try {
            const value = await keys.keyctl(operation, args, credentials)
            reply = { value: Buffer.isBuffer(value) ? value.toString('utf8') : value }
          } catch (error) {
            reply = { code: (error as { code?: string }).code }
          }
          socket.write(`${JSON.stringify(reply)}\n`)
        }
      })
      socket.on('error', () => {})
    })
    server.listen(path)
    return {
      env: [`KEYS_SOCKET=${path}`],
      done: () => {
        credentials.close()
        server.close()
      },
    }
  }
  return count
}

/**
 * An in-thread helper that speaks to `serve`.
 * @param body has `key`, its number, `argv`, and `call(operation, ...args)`, which throws what has a `code`
 */
export const keysHelper = (body: string): string =>
  inThreadHelper(`
    import { connect } from 'node:net'
    import { createInterface } from 'node:readline'
    export default async function main(argv, envp) {
      const key = Number(argv[2])
      const socket = connect(envp.find(line => line.startsWith('KEYS_SOCKET=')).slice(12))
      const lines = createInterface(socket)[Symbol.asyncIterator]()
      const call = async (operation, ...args) => {
        socket.write(JSON.stringify({ operation, args }) + '\\n')
        const { value, code } = JSON.parse((await lines.next()).value)
        if (code !== undefined) throw Object.assign(new Error(code), { code })
        return value
      }
      try { ${body} } finally { socket.destroy() }
    }`)

export interface Bench {
  readonly kernel: Kernel
  readonly keys: Keys
  readonly helpers: { readonly started: number }
  /** Sets the program that makes keys. */
  helper(path: string): void
  /** Moves the clock on. */
  pass(seconds: number): void
}

/** A kernel of its own, whose keys have a clock that only the test moves. */
export function bench(options: BootOptions = {}): Bench {
  const kernel = boot({ khelpers: 2, ...options })
  let clock = 1_000_000
  const settings: KeysSettings = { now: () => clock }
  const ours = new Keys(kernel, settings)
  return {
    kernel,
    keys: ours,
    helpers: serve(ours),
    helper: path => kernel.proc.write('/proc/sys/khelper/request_key', path),
    pass: seconds => {
      clock += seconds * 1_000
    },
  }
}

export const sysctl = (kernel: Kernel, name: string, value: string | number): void =>
  kernel.proc.write(`/proc/sys/${name}`, String(value))

/** What assert.rejects and assert.throws look for. */
export const says = (code: string) => (error: unknown) => {
  if (error instanceof SystemError && error.code === code) return true
  throw error
}
