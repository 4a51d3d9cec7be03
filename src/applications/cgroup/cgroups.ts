/**
 * The hierarchy of a kernel's control groups.
 */
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import type { Kernel } from '../../kernel/kernel.js'
import { perKernel } from '../per-kernel.js'
import { Group } from './group.js'
import { checkLimits, controllersOf, type Limits } from './limits.js'
import { namesOf, pathOf } from './paths.js'
import { RealCgroups, Unavailable } from './real/real-cgroups.js'
import type { RealGroup } from './real/real-group.js'
import { ReleaseAgent } from './release-agent.js'
import type { CgroupRoots, GroupOptions } from './types.js'

const OPTIONS: readonly string[] = ['notifyOnRelease', 'real', 'memory.max', 'pids.max', 'cpu.max']

export class Cgroups {
  readonly #kernel: Kernel
  readonly #agent: ReleaseAgent
  readonly #roots: CgroupRoots | undefined
  /** Made with the first group that is to be a real one. */
  #real: RealCgroups | undefined
  #realGroups = new WeakMap<Group, RealGroup>()
  /** The group `/`, which cannot be removed; its helpers stay in the service's own group of the system. */
  readonly root: Group

  /** @param roots where real groups are made; default: where the service's own are */
  constructor(kernel: Kernel, roots?: CgroupRoots) {
    this.#kernel = kernel
    this.#roots = roots
    this.#agent = new ReleaseAgent(kernel)
    this.root = this.#make([], undefined, {}, false, 'the root is not a group of its own on the system')
    const undefine = kernel.proc.define('/proc/khelper/cgroups', { read: () => this.#lines() })
    kernel.onShutdown(async () => {
      void this.#agent.flush()
      await Promise.allSettled(this.list().flatMap(group => group.running))
      // Their groups may have fallen empty.
      await this.#agent.flush()
      this.#real?.close()
      undefine()
    })
  }

  /**
   * The program that is told, as its one argument, the path of a group with `notifyOnRelease` in which the last helper
   * or the last group has gone (release_agent). White space around it is taken off; empty: none. It has the environment
   * HOME=/ and PATH=/sbin:/bin:/usr/sbin:/usr/bin, its end is not waited for, and that it cannot be started is not said.
   * @throws on setting: SystemError E2BIG above PATH_MAX - 1 (4095) bytes, EINVAL for a relative path; TypeError
   */
  get releaseAgent(): string {
    return this.#agent.program
  }

  set releaseAgent(program: string) {
    this.#agent.program = program
  }

  /**
   * Makes a group (mkdir).
   * @param path `/build/worker`; `/build` must be there
   * @throws SystemError EEXIST, ENOENT, EINVAL, ENAMETOOLONG; EOPNOTSUPP for limits where no real group can be had, with
   *   the reason; TypeError, RangeError for options that cannot be
   */
  create(path: string, options: GroupOptions = {}): Group {
    const names = namesOf(path)
    if (typeof options !== 'object' || options === null) throw wrongType('options', 'of type object', options)
    const unknown = Object.keys(options).find(name => !OPTIONS.includes(name))
    if (unknown !== undefined) {
      throw wrongValue(`options.${unknown}`, `is not known; there are ${OPTIONS.join(', ')}`)
    }
    const { notifyOnRelease, real = true } = options
    for (const [name, value] of Object.entries({ notifyOnRelease, real })) {
      if (value !== undefined && typeof value !== 'boolean')
        throw wrongType(`options.${name}`, 'of type boolean', value)
    }
    const limits = checkLimits(options)
    if (this.#find(names) !== undefined) throw failure('EEXIST', 'there is such a group', 'mkdir', names)
    const parent = this.#find(names.slice(0, -1))
    if (parent === undefined) {
      throw failure(
        'ENOENT',
        'there is no such group to make one in; create it first',
        'mkdir',
        names.slice(0, -1),
      )
    }
    const system = this.#makeReal(names, limits, parent, real)
    if (typeof system === 'string' && controllersOf(limits).length > 0) {
      const path = pathOf(names)
      throw new SystemError('EOPNOTSUPP', `${path} cannot be a group with limits: ${system}`, {
        syscall: 'mkdir',
        path,
      })
    }
    return this.#make(names, parent, limits, notifyOnRelease ?? parent.notifyOnRelease, system)
  }

  /**
   * The group of a path, if there is one.
   * @throws SystemError EINVAL, ENAMETOOLONG
   */
  get(path: string): Group | undefined {
    return this.#find(namesOf(path))
  }

  /**
   * Removes an empty group (rmdir).
   * @throws SystemError ENOENT; EBUSY with helpers, descendants of theirs, or groups in it, and for the root
   */
  remove(path: string): void {
    const names = namesOf(path)
    const group = this.#find(names)
    if (group === undefined) throw failure('ENOENT', 'no such group', 'rmdir', names)
    if (group === this.root) throw failure('EBUSY', 'the root cannot be removed', 'rmdir', names)
    group.remove()
  }

  /** All groups, those in a group behind it; the root comes first. */
  list(): Group[] {
    const below = (group: Group): Group[] => [group, ...[...group.children.values()].flatMap(below)]
    return below(this.root)
  }

  #find(names: readonly string[]): Group | undefined {
    let group: Group | undefined = this.root
    for (const name of names) group = group?.children.get(name)
    return group
  }

  #make(
    names: readonly string[],
    parent: Group | undefined,
    limits: Limits,
    notifyOnRelease: boolean,
    real: RealGroup | string,
  ): Group {
    const group = new Group(this.#kernel, {
      names,
      parent,
      limits,
      notifyOnRelease,
      real,
      released: released => this.#agent.schedule(released, released.path),
    })
    if (typeof real !== 'string') this.#realGroups.set(group, real)
    parent?.children.set(names.at(-1) ?? '', group)
    return group
  }

  /** @returns the system's group, or why there is none */
  #makeReal(names: readonly string[], limits: Limits, parent: Group, wanted: boolean): RealGroup | string {
    if (!wanted) return 'it was not to be a group of the system (real: false)'
    if (parent !== this.root && parent.real === undefined) {
      return `${parent.path} is not a group of the system: ${parent.reason}`
    }
    try {
      this.#real ??= new RealCgroups(this.#roots)
      return this.#real.create(names, limits, this.#realGroups.get(parent))
    } catch (error) {
      if (error instanceof Unavailable) return error.message
      throw error
    }
  }

  /** Path, helpers, helpers ever started, notify_on_release, kind of the system's group. */
  #lines(): string {
    return this.list()
      .map(group => {
        const { running, started } = group.counts
        const path = group.path.replace(
          /[\s\\]/g,
          character => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
        )
        return `${path} ${running} ${started} ${group.notifyOnRelease ? 1 : 0} ${group.real ?? '-'}\n`
      })
      .join('')
  }
}

const failure = (
  code: 'EEXIST' | 'ENOENT' | 'EBUSY',
  what: string,
  syscall: string,
  names: readonly string[],
) => new SystemError(code, `${what}: ${pathOf(names)}`, { syscall, path: pathOf(names) })

/** The control groups of a kernel. */
export const cgroups = perKernel(kernel => new Cgroups(kernel))
