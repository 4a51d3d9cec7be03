/**
 * The default of kernel.modprobe, an in-thread helper: finds a module by name or alias and has the kernel load it.
 *
 *   modprobe -q -- name
 */
import { fileURLToPath } from 'node:url'
import { moduleCalls, modulePlaces } from '../src/applications/kmod/modprobe/calls.js'
import { readConfig } from '../src/applications/kmod/modprobe/config.js'
import { Modprobe } from '../src/applications/kmod/modprobe/modprobe.js'
import { readIndex } from '../src/applications/kmod/modprobe/module-index.js'
import { SystemCallClient } from '../src/applications/system-calls/client.js'

const BUILTIN = fileURLToPath(new URL('../src/modules/', import.meta.url))
const EXIT_FAILURE = 1

export default async function modprobe(argv: readonly string[], envp: readonly string[]): Promise<number> {
  const variable = (name: string): string | undefined =>
    envp.find(each => each.startsWith(`${name}=`))?.slice(name.length + 1)
  const name = argv[argv.indexOf('--') + 1] ?? ''
  const socket = variable('KHELPER_SOCKET')
  if (socket === undefined || name === '') return EXIT_FAILURE
  using client = await SystemCallClient.connect({ socket, authority: variable('KHELPER_AUTHORITY') })
  const { directories, config } = await modulePlaces(client)
  await new Modprobe(moduleCalls(client), {
    indexes: directories.map(readIndex),
    config: readConfig(config),
    builtin: BUILTIN,
  }).load(name)
  return 0
}
