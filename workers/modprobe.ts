/**
 * The default of kernel.modprobe, an in-thread helper: finds a module by name or alias and has the kernel load it.
 *
 *   modprobe -q -- name
 */
import { fileURLToPath } from 'node:url'
import { workerData } from 'node:worker_threads'
import { moduleCalls, modulePlaces } from '../src/applications/kmod/modprobe/calls.js'
import { readConfig } from '../src/applications/kmod/modprobe/config.js'
import { Modprobe } from '../src/applications/kmod/modprobe/modprobe.js'
import { readIndex } from '../src/applications/kmod/modprobe/module-index.js'
import { runAsHelper } from '../src/applications/kmod/modprobe/run-command.js'
import { errorLine, statusOfUnreachable, warningLine } from '../src/applications/kmod/request-log.js'
import { SystemCallClient } from '../src/applications/system-calls/client.js'
import { SystemError } from '../src/kernel/errors.js'
import type { Kernel } from '../src/kernel/kernel.js'
import { Control, Launcher, Memory } from '../src/kernel/memory.js'
import type { KhelperData } from '../src/kernel/supervisor.js'

const BUILTIN = fileURLToPath(new URL('../src/modules/', import.meta.url))
const EXIT_FAILURE = 1

/** Named, not imported: what few need is not to be part of this file, which every request loads. */
const ENTRY = new URL('../src/index.js', import.meta.url).href

/** The kernel whose khelper this thread is. */
async function attached(): Promise<Kernel> {
  const { attach } = (await import(ENTRY)) as typeof import('../src/index.js')
  const { buffer, scratch } = workerData as KhelperData
  const memory = Memory.attach(buffer)
  const posix = memory.words[memory.control(Control.LAUNCHER)] === Launcher.POSIX_SPAWN
  const name = posix ? 'posix_spawn' : 'child_process'
  return attach({ memory: buffer, launcher: { name, reason: 'the kernel has it' }, scratch })
}

export default async function modprobe(argv: readonly string[], envp: readonly string[]): Promise<number> {
  const variable = (name: string): string | undefined =>
    envp.find(each => each.startsWith(`${name}=`))?.slice(name.length + 1)
  const name = argv[argv.indexOf('--') + 1] ?? ''
  const socket = variable('KHELPER_SOCKET')
  if (socket === undefined) return EXIT_FAILURE
  try {
    using client = await SystemCallClient.connect({ socket, authority: variable('KHELPER_AUTHORITY') })
    return await load(client, name, envp)
  } catch (error) {
    return statusOfUnreachable(error)
  }
}

/** @throws what keeps it from telling why it fails */
async function load(client: SystemCallClient, name: string, envp: readonly string[]): Promise<number> {
  const log = (line: string) => client.call('kmsg', line)
  try {
    if (name === '') throw new SystemError('ENOENT', 'no module has an empty name')
    const { directories, config: places } = await modulePlaces(client)
    const config = readConfig(places)
    for (const problem of config.problems) await log(warningLine(problem))
    await new Modprobe(moduleCalls(client), {
      indexes: directories.map(readIndex),
      config,
      builtin: BUILTIN,
      runCommand: runAsHelper(attached, envp),
    }).load(name)
    return 0
  } catch (error) {
    await log(errorLine(error instanceof Error ? error.message : String(error)))
    return EXIT_FAILURE
  }
}
