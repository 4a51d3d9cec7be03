/**
 * /proc/modules and /sys/module, as in Linux 6.17, kernel/module/procfs.c and sysfs.c.
 */
import { SystemError } from '../../kernel/errors.js'
import type { ProcTree } from '../../kernel/proc/tree.js'
import { type Module, ModuleState } from './module.js'
import { ParameterError } from './parameters.js'

const STATES: Readonly<Record<string, string>> = {
  [ModuleState.LIVE]: 'Live',
  [ModuleState.COMING]: 'Loading',
  [ModuleState.GOING]: 'Unloading',
}
/** A module has no address here, and Linux shows zeros to the unprivileged. */
const ADDRESS = '0x0000000000000000'
const WRITABLE = 0o200
const READABLE = 0o444

/** The lines of /proc/modules: name, size, references, users, state, address, taints. The latest comes first. */
export function modulesText(modules: readonly Module[]): string {
  let text = ''
  for (const module of [...modules].reverse()) {
    const state = STATES[module.state]
    if (state === undefined) continue
    const { name, size, references } = module
    text += `${name} ${size} ${references} ${users(module)} ${state} ${ADDRESS}${taints(module)}\n`
  }
  return text
}

function users(module: Module): string {
  const names = [...module.holders].map(holder => `${holder.name},`).join('')
  return `${names}${module.permanent ? '[permanent],' : ''}` || '-'
}

function taints(module: Module): string {
  const flags = [...module.taints].join('')
  const moving = module.state === ModuleState.COMING ? '+' : module.state === ModuleState.GOING ? '-' : ''
  return flags === '' && moving === '' ? '' : ` (${flags}${moving})`
}

/** Shows a module in /sys/module. @returns takes it away */
export function defineModuleFiles(proc: ProcTree, module: Module): () => void {
  const folder = `/sys/module/${module.name}`
  const line = (name: string, read: () => string | number) =>
    proc.define(`${folder}/${name}`, { read: () => `${read()}\n` })
  const taken = [
    line('initstate', () => module.state),
    line('refcnt', () => module.references),
    line('coresize', () => module.size),
    line('initsize', () => 0),
    line('taint', () => [...module.taints].join('')),
  ]
  for (const [name, parameter] of module.parameters) {
    if (parameter.perm === 0) continue
    const path = `${folder}/parameters/${name}`
    const write = (data: string) => {
      try {
        parameter.set(data.replace(/\n$/, ''))
      } catch (error) {
        if (!(error instanceof ParameterError)) throw error
        throw new SystemError(error.code, `${path}: ${error.message}`, { syscall: 'write', path })
      }
    }
    taken.push(
      proc.define(path, {
        ...(parameter.perm & READABLE && { read: () => `${parameter}\n` }),
        ...(parameter.perm & WRITABLE && { write }),
      }),
    )
  }
  return () => {
    for (const take of taken) take()
  }
}
