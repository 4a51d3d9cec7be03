/**
 * `khelper lsmod`.
 */
import type { ModuleInfo } from '../../applications/kmod/index.js'
import { type SocketOption, withService } from '../system-calls/connection.js'

const NAME_WIDTH = 19
const SIZE_WIDTH = 8

export async function lsmod(options: SocketOption): Promise<void> {
  const modules = (await withService(options, client => client.call('modules'))) as readonly ModuleInfo[]
  const line = (name: string, size: string, users: string) =>
    `${name.padEnd(NAME_WIDTH)} ${size.padStart(SIZE_WIDTH)}  ${users}`.trimEnd()
  console.log(line('Module', 'Size', 'Used by'))
  for (const { name, size, references, holders } of modules) {
    console.log(line(name, String(size), `${references} ${holders.join(',')}`))
  }
}
