/**
 * Where the system's control groups are: the folders of the service's own groups, in cgroup v2 and in the hierarchies
 * of v1 that have a controller of use here.
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { CgroupRoots, Controller } from '../types.js'

export const CONTROLLERS: readonly Controller[] = ['memory', 'pids', 'cpu']
/** What systemd keeps a service in: a folder below it is the service's, if its processes were put into one. */
const UNIT = /\.(service|scope)$/

interface Mount {
  readonly type: string
  /** The part of the hierarchy that is mounted. */
  readonly root: string
  readonly folder: string
  readonly controllers: readonly string[]
}

/** @returns what there is; nothing on other systems than Linux */
export function findRoots(): CgroupRoots {
  try {
    return rootsOf(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'))
  } catch {
    return {}
  }
}

/**
 * @param mountinfo /proc/self/mountinfo
 * @param cgroup /proc/self/cgroup
 */
export function rootsOf(mountinfo: string, cgroup: string): CgroupRoots {
  const mounts = mountsOf(mountinfo)
  const v1: Partial<Record<Controller, string>> = {}
  let v2: string | undefined
  for (const line of cgroup.split('\n')) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (names === undefined || path === undefined) continue
    if (names === '') {
      const mount = mounts.v2
      if (mount !== undefined) v2 = folderFor(ownFolder(mount, path), mount)
      continue
    }
    const named = names.split(',')
    for (const controller of CONTROLLERS.filter(name => named.includes(name))) {
      const mount = mounts.v1[controller]
      if (mount !== undefined) v1[controller] = ownFolder(mount, path)
    }
  }
  return { ...(v2 !== undefined && { v2 }), v1 }
}

/** The first mount of v2, and of each controller's hierarchy. */
function mountsOf(mountinfo: string) {
  const v1: Partial<Record<Controller, Mount>> = {}
  let v2: Mount | undefined
  for (const mount of parseMounts(mountinfo)) {
    if (mount.type === 'cgroup2') v2 ??= mount
    else for (const name of CONTROLLERS) if (mount.controllers.includes(name)) v1[name] ??= mount
  }
  return { v1, v2 }
}

function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap(line => {
    // Fields before the lone hyphen: id, parent, device, root, mount point, options and optional ones.
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root, folder] = before.split(' ').map(decoded)
    const [type, , options = ''] = after.split(' ')
    if (root === undefined || folder === undefined || (type !== 'cgroup' && type !== 'cgroup2')) return []
    return [{ type, root, folder, controllers: options.split(',') }]
  })
}

const decoded = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** A container may see the path of its group on the host, and of the hierarchy only that group: the mount is it. */
function ownFolder(mount: Mount, path: string): string {
  const inside = relative(mount.root, path)
  return inside.startsWith('..') ? mount.folder : join(mount.folder, inside)
}

/**
 * No group of v2 with processes of its own can give controllers to groups below it, so that where the service's own has
 * processes, the folder above it is taken if that is the service's as well: systemd's DelegateSubgroup.
 */
function folderFor(own: string, mount: Mount): string {
  const above = dirname(own)
  if (own === mount.folder || UNIT.test(own) || !UNIT.test(above)) return own
  return grantable(above).length > grantable(own).length ? above : own
}

/** The controllers that a folder of v2 gives, or could give, to those below it. */
function grantable(folder: string): string[] {
  const words = (file: string) => read(join(folder, file)).split(/\s+/).filter(Boolean)
  const given = words('cgroup.subtree_control')
  const free =
    mayWrite(join(folder, 'cgroup.subtree_control')) &&
    // Only the hierarchy's root, which has no type, may have processes of its own beside groups.
    (!existsSync(join(folder, 'cgroup.type')) || read(join(folder, 'cgroup.procs')).trim() === '')
  return words('cgroup.controllers').filter(name => free || given.includes(name))
}

function mayWrite(file: string): boolean {
  try {
    accessSync(file, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** @returns nothing for what cannot be read */
export function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
