/**
 * `khelper sysctl`, `uevent` and `keyctl`: their options.
 */
import type { Command } from 'commander'
import { addSocketOption, type SocketOption, withService } from './connection.js'
import type { SysctlOptions } from './sysctl.js'

export function registerSystemCalls(program: Command): void {
  addSocketOption(program.command('sysctl'))
    .description('Shows and sets values of a running service.')
    .argument('[names...]', 'kernel.modprobe, kernel.modprobe=/path, /proc/modules, …')
    .option('-a, --all', 'all that can be set')
    .option('-n, --values', 'without the names')
    .option('-w, --write', 'as sysctl(8) has it; means nothing')
    .action(async (names: string[], options: SysctlOptions) => {
      const { sysctl } = await import('./sysctl.js')
      await sysctl(names, options)
    })

  addSocketOption(program.command('keyctl'))
    .description(
      'Works on the keys of a running service. Secrets come from standard input, and go to standard output.',
    )
    .argument('<operation>', 'show, padd, request, print, timeout, …: one that there is not shows all')
    .argument('[args...]')
    .passThroughOptions()
    .action(async (operation: string, args: string[], options: SocketOption) => {
      const { keyctl } = await import('./keyctl.js')
      await keyctl(operation, args, options)
    })

  addSocketOption(program.command('uevent'))
    .description('Has an object of a running service send an event again, as a write to /sys/…/uevent does.')
    .argument('<path>', 'the object, as in DEVPATH: /module/name')
    .argument('<action>', 'add, remove, change, move, online, offline, bind or unbind')
    .argument('[uuid]', 'marks the event (SYNTH_UUID)')
    .argument('[variables...]', 'KEY=value, letters and digits only (SYNTH_ARG_KEY)')
    .action(
      async (
        path: string,
        action: string,
        uuid: string | undefined,
        variables: string[],
        options: SocketOption,
      ) => {
        const event = [action, ...(uuid === undefined ? [] : [uuid]), ...variables].join(' ')
        await withService(options, client => client.call('uevent', path, event))
      },
    )
}
