/**
 * `khelper modprobe`.
 */

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { moduleCalls, modulePlaces } from '../../applications/kmod/modprobe/calls.js'
import { readConfig } from '../../applications/kmod/modprobe/config.js'
import { Modprobe } from '../../applications/kmod/modprobe/modprobe.js'
import { readIndex } from '../../applications/kmod/modprobe/module-index.js'
import { commandsUnderWay } from '../../applications/kmod/modprobe/run-command.js'
import { isSystemError } from '../../kernel/errors.js'
import { BUILTIN_MODULES } from '../../kernel/helper-programs.js'
import { type SocketOption, withService } from '../system-calls/connection.js'
import { UsageError } from '../usage-error.js'
import { parameterLine } from './insmod.js'

export interface ModprobeCommandOptions extends SocketOption {
  readonly dirname?: string
  readonly config?: string
  readonly all?: boolean
  readonly remove?: boolean
  readonly wait: number
  readonly dryRun?: boolean
  readonly showDepends?: boolean
  readonly useBlacklist?: boolean
  readonly ignoreInstall?: boolean
  readonly firstTime?: boolean
  readonly verbose?: boolean
  readonly quiet?: boolean
}

const BUILTIN = fileURLToPath(BUILTIN_MODULES)

export async function modprobe(words: readonly string[], options: ModprobeCommandOptions): Promise<void> {
  await withService(options, async client => {
    const places = await modulePlaces(client)
    if (options.config !== undefined && !existsSync(options.config)) {
      throw new UsageError(`ENOENT: there is no such configuration: ${resolve(options.config)}`)
    }
    const config = readConfig(options.config === undefined ? places.config : [resolve(options.config)])
    for (const problem of config.problems) console.error(`khelper: ${problem}`)
    const directories = options.dirname === undefined ? places.directories : [resolve(options.dirname)]
    const tells = options.verbose || options.showDepends
    const modules = new Modprobe(moduleCalls(client), {
      indexes: directories.map(readIndex),
      config,
      builtin: BUILTIN,
      useBlacklist: options.useBlacklist ?? false,
      firstTime: options.firstTime ?? false,
      ignoreCommands: options.ignoreInstall ?? false,
      underWay: commandsUnderWay(process.env),
      dryRun: options.dryRun ?? options.showDepends ?? false,
      wait: options.wait,
      ...(tells && { told: (step: string) => console.log(step) }),
    })
    const [first = '', ...rest] = words
    const many = options.all || options.remove
    for (const name of many ? words : [first]) {
      try {
        if (options.remove) await modules.unload(name)
        else await modules.load(name, many ? '' : parameterLine(rest))
      } catch (error) {
        if (!isSystemError(error)) throw error
        if (!(options.quiet && error.code === 'ENOENT')) console.error(`khelper: ${error.message}`)
        process.exitCode = 1
      }
    }
  })
}
