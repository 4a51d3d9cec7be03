/**
 * The system calls, by name. What they are given comes from the other end of a socket.
 */
import { SystemError } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { KeyCredentials, keys } from '../keys/index.js'
import { kmod, RequestLog } from '../kmod/index.js'
import { textsearch } from '../textsearch/index.js'
import type { Subject } from './authority.js'

interface CallContext {
  readonly subject: Subject
  /** Aborts when whoever has called has gone. */
  readonly signal: AbortSignal
}

type SystemCall = (kernel: Kernel, args: readonly unknown[], context: CallContext) => unknown

/** O_TRUNC, which is how delete_module(2) is told to use force. */
const O_TRUNC = 0o1000

function text(args: readonly unknown[], index: number, name: string, otherwise?: string): string {
  const value = args[index] ?? otherwise
  if (typeof value === 'string') return value
  throw new SystemError('EINVAL', `${name} must be a string`)
}

function number(args: readonly unknown[], index: number, name: string, otherwise?: number): number {
  const value = args[index] ?? otherwise
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw new SystemError('EINVAL', `${name} must be an integer`)
}

/** A relative path would be one of the service's. */
function absolute(path: string): string {
  if (path.startsWith('/') || path.startsWith('file:///')) return path
  throw new SystemError('EINVAL', `a path must be absolute: ${path}`, { path })
}

/** A path in the tree; or a name below /proc/sys, of which the first dot or slash says what divides it, as in sysctl(8). */
function sysctlPath(name: string): string {
  if (name.startsWith('/')) return name
  const dotted = /[./]/.exec(name)?.[0] === '.'
  return `/proc/sys/${dotted ? name.replaceAll('.', '/') : name}`
}

export type SystemCallTable = Readonly<Record<string, SystemCall>>

export const systemCallTable: SystemCallTable = {
  init_module: async (kernel, args, { signal }) => {
    // Modules may need what it exports.
    textsearch(kernel)
    await kmod(kernel).insmod(absolute(text(args, 0, 'file')), text(args, 1, 'params', ''), { signal })
    return 0
  },
  delete_module: async (kernel, args) => {
    const flags = number(args, 1, 'flags', 0)
    await kmod(kernel).rmmod(text(args, 0, 'name'), { force: (flags & O_TRUNC) !== 0 })
    return 0
  },
  kmsg: (_, args, { subject }) => {
    const log = subject.kind === 'helper' ? subject.context : undefined
    if (!(log instanceof RequestLog)) {
      throw new SystemError('EPERM', 'kmsg is for helpers that look for a module', { syscall: 'kmsg' })
    }
    log.write(text(args, 0, 'line'))
    return 0
  },
  modules: kernel => kmod(kernel).lsmod(),
  sysctl_read: (kernel, args) => kernel.proc.read(sysctlPath(text(args, 0, 'name'))),
  sysctl_write: (kernel, args) => {
    kernel.proc.write(sysctlPath(text(args, 0, 'name')), text(args, 1, 'value'))
    return 0
  },
  keyctl: (kernel, args, { subject, signal }) => {
    const [operation, ...rest] = args
    // What JSON has no word for.
    const given = rest.map(argument => argument ?? undefined)
    while (given.length > 0 && given.at(-1) === undefined) given.pop()
    const credentials = subject.kind === 'helper' ? subject.context : keys(kernel).credentials
    if (!(credentials instanceof KeyCredentials)) {
      throw new SystemError('EPERM', 'the authority of this helper is not for keys', { syscall: 'keyctl' })
    }
    return keys(kernel).keyctl(String(operation), given, credentials, signal)
  },
  uevent: (kernel, args) => {
    const path = text(args, 0, 'path')
    if (!/^(\/[^/]+)+$/.test(path)) {
      throw new SystemError('EINVAL', `the path of an object begins with a slash: ${path}`, { path })
    }
    kernel.proc.write(`/sys${path}/uevent`, text(args, 1, 'event'))
    return 0
  },
  sysctl_list: (kernel, args) => kernel.proc.list(sysctlPath(text(args, 0, 'name', '/proc/sys'))),
}
