/**
 * `khelper sysctl`: shows and sets values of a running service, as sysctl(8).
 */
import { isSystemError } from '../../kernel/errors.js'
import { UsageError } from '../usage-error.js'
import { type SocketOption, withService } from './connection.js'

export interface SysctlOptions extends SocketOption {
  readonly all?: boolean
  readonly values?: boolean
  readonly write?: boolean
}

const SYSCTLS = '/proc/sys'

/** Names have dots where paths have slashes; what is not below /proc/sys has no name. */
function shownName(word: string): string {
  const name = word.startsWith(`${SYSCTLS}/`) ? word.slice(SYSCTLS.length + 1) : word
  return name.startsWith('/') ? name : name.replaceAll('/', '.')
}

export async function sysctl(words: readonly string[], options: SysctlOptions): Promise<void> {
  if (words.length === 0 && !options.all) {
    throw new UsageError('which values? Name them (kernel.modprobe, /proc/modules), or ask for all: -a')
  }
  await withService(options, async client => {
    const show = (name: string, text: string) => {
      for (const line of text.replace(/\n$/, '').split('\n')) {
        console.log(options.values ? line : `${shownName(name)} = ${line}`)
      }
    }
    const names = options.all ? await everything(SYSCTLS, name => client.call('sysctl_list', name)) : words
    for (const word of names) {
      const { name, value } = assignment(word)
      try {
        if (value !== undefined) await client.call('sysctl_write', name, value)
        show(name, String(await client.call('sysctl_read', name)))
      } catch (error) {
        if (!isSystemError(error)) throw error
        console.error(`khelper: ${error.message}`)
        process.exitCode = 1
      }
    }
  })
}

/** `name = value`, or a name alone. */
export function assignment(word: string): { readonly name: string; readonly value: string | undefined } {
  const equals = word.indexOf('=')
  if (equals < 1) return { name: word, value: undefined }
  return { name: word.slice(0, equals).trimEnd(), value: word.slice(equals + 1).trimStart() }
}

async function everything(folder: string, list: (folder: string) => Promise<unknown>): Promise<string[]> {
  const found: string[] = []
  for (const name of (await list(folder)) as readonly string[]) {
    const path = `${folder}/${name}`
    if (!name.endsWith('/')) found.push(path)
    else for (const deeper of await everything(path.slice(0, -1), list)) found.push(deeper)
  }
  return found
}
