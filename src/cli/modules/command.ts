/**
 * `khelper insmod`, `rmmod`, `lsmod`, `modinfo`, `modprobe` and `depmod`: their options.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { addSocketOption, type SocketOption } from '../system-calls/connection.js'
import type { ModprobeCommandOptions } from './modprobe.js'

export function registerModules(program: Command): void {
  addSocketOption(program.command('insmod'))
    .description(
      'Loads a module from its file into a running service, or, without a socket, into a kernel of this command’s own.',
    )
    .argument('<file>', 'the module, an ES module')
    .argument('[params...]', 'its parameters: name=value')
    .action(async (file: string, params: string[], options: SocketOption) => {
      const { insmod } = await import('./insmod.js')
      await insmod(file, params, options)
    })

  addSocketOption(program.command('rmmod'))
    .description('Unloads modules of a running service.')
    .argument('<names...>')
    .option('-f, --force', 'also a module that is in use or has no exit')
    .action(async (names: string[], options: SocketOption & { readonly force?: boolean }) => {
      const { rmmod } = await import('./rmmod.js')
      await rmmod(names, options)
    })

  addSocketOption(program.command('lsmod'))
    .description('Lists the modules of a running service.')
    .action(async (options: SocketOption) => {
      const { lsmod } = await import('./lsmod.js')
      await lsmod(options)
    })

  program
    .command('modinfo')
    .description('Shows what modules say of themselves, without running them.')
    .argument('<files...>')
    .option(
      '-F, --field <name>',
      'only this: license, description, author, version, alias, depends, softdep, parm',
    )
    .action(async (files: string[], options: { readonly field?: string }) => {
      const { modinfo } = await import('./modinfo.js')
      modinfo(files, options)
    })

  addSocketOption(program.command('modprobe'))
    .description('Loads a module by its name or an alias, with what it needs; or unloads it.')
    .argument('<name>', 'the module; with -a and -r, more of them may follow')
    .argument('[params...]', 'its parameters: name=value')
    .option('-d, --dirname <folder>', 'where the modules are, with their modules.dep; default: the service’s')
    .option('-C, --config <place>', 'a folder of *.conf files, or a file; default: the service’s')
    .option('-a, --all', 'all arguments are names')
    .option('-r, --remove', 'unload, and then what it needed and nobody needs any more')
    .option(
      '-w, --wait <milliseconds>',
      'unloading: try again for so long while it is in use',
      milliseconds,
      0,
    )
    .option('-n, --dry-run', 'do nothing, but tell what would be done with -v')
    .option('-D, --show-depends', 'print what would be loaded, and load nothing')
    .option('-b, --use-blacklist', 'blacklists are for names as well, not only for aliases')
    .option('-i, --ignore-install', 'run no commands of install and remove lines')
    .option('--first-time', 'fail if it is loaded already, or not loaded with -r')
    .option('-v, --verbose', 'tell what is done')
    .option('-q, --quiet', 'say nothing of a module that is not there')
    .action(async (name: string, rest: string[], options: ModprobeCommandOptions) => {
      const { modprobe } = await import('./modprobe.js')
      await modprobe([name, ...rest], options)
    })

  program
    .command('depmod')
    .description('Writes modules.dep, modules.alias and modules.softdep into a folder of modules.')
    .argument('<folder>')
    .action(async (folder: string) => {
      const { depmodCommand } = await import('./depmod.js')
      depmodCommand(folder)
    })
}

function milliseconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError('It must be a number of milliseconds.')
  }
  return value
}
