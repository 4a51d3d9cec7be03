/**
 * What modprobe asks of the kernel, over the socket of system calls.
 */
import type { SystemCallClient } from '../../system-calls/client.js'
import type { LoadedModule, ModuleSystemCalls } from './modprobe.js'

export const moduleCalls = (client: SystemCallClient): ModuleSystemCalls => ({
  initModule: async (path, params) => {
    await client.call('init_module', path, params)
  },
  deleteModule: async name => {
    await client.call('delete_module', name)
  },
  modules: async () => (await client.call('modules')) as readonly LoadedModule[],
})

/** Where the kernel has its modules and their configuration: folders, one after another, divided by colons. */
export async function modulePlaces(
  client: SystemCallClient,
): Promise<{ readonly directories: string[]; readonly config: string[] }> {
  const read = async (name: string): Promise<string[]> =>
    String(await client.call('sysctl_read', name))
      .trim()
      .split(':')
      .filter(place => place !== '')
  return {
    directories: await read('khelper/module_directory'),
    config: await read('khelper/modprobe_config'),
  }
}
