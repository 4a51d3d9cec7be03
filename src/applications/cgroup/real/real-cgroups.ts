/**
 * The system's side of all groups of one kernel: a folder of its own in each hierarchy, made when it is first needed.
 *
 * A group's folder is `<root>/khelper-…/build.group/worker.group`. Of v2 every group has one, and its helpers are in a
 * folder `helpers` below that, because a group with processes of its own cannot give controllers to groups below it.
 * Of v1 it has folders where it or a group above it has a limit; with no v2 one at least.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoName } from '../../../libc/errno.js'
import { controllersOf, type Limits } from '../limits.js'
import { FOLDER_SUFFIX } from '../paths.js'
import type { CgroupRoots, Controller } from '../types.js'
import { ownName, removeLeftOvers, removeTree } from './left-overs.js'
import { writeLimit } from './limit-files.js'
import { type Place, RealGroup } from './real-group.js'
import { CONTROLLERS, findRoots, read } from './roots.js'

/** Why there is no real group, or not with such limits. */
export class Unavailable extends Error {}

const HELPERS = 'helpers'

/** Those that have to be removed when the process ends. */
const open = new Set<RealCgroups>()
process.on('exit', () => {
  for (const cgroups of open) cgroups.close()
})

export class RealCgroups {
  readonly #roots: CgroupRoots
  readonly #name = ownName()

  constructor(roots: CgroupRoots = findRoots()) {
    this.#roots = roots
    for (const root of this.#all()) removeLeftOvers(root)
    open.add(this)
  }

  /**
   * @param names the group's path
   * @param parent undefined below the root, which is none of the system's
   * @throws Unavailable, with nothing left behind
   */
  create(names: readonly string[], limits: Limits, parent: RealGroup | undefined): RealGroup {
    const wanted = controllersOf(limits)
    const { v2 } = this.#roots
    const inV2 = v2 === undefined ? [] : wanted.filter(controller => controllersIn(v2).includes(controller))
    const made: string[] = []
    try {
      const places = new Map<string, Place>()
      if (v2 !== undefined) places.set(v2, this.#placeInV2(v2, names, inV2, made))
      const inV1 = new Set([...(parent?.v1 ?? []), ...wanted.filter(name => !inV2.includes(name))])
      for (const controller of inV1) this.#placeInV1(controller, names, places, made)
      if (places.size === 0) this.#placeInV1(this.#anyV1(), names, places, made)
      for (const controller of wanted) {
        const root = inV2.includes(controller) ? v2 : this.#roots.v1?.[controller]
        const place = places.get(root ?? '')
        if (place !== undefined) writeLimit(place, controller, limits)
      }
      return new RealGroup({
        limits,
        parent,
        places: [...places.values()],
        v1: inV1,
        memoryPlace: places.get((inV1.has('memory') ? this.#roots.v1?.memory : v2) ?? ''),
        everywhere: this.#all().map(root => this.#folder(root, names)),
      })
    } catch (error) {
      for (const folder of made.reverse()) removeTree(folder)
      throw unavailable(error)
    }
  }

  /** Removes all folders; what still runs in one keeps it, until the next service finds it empty. */
  close(): void {
    open.delete(this)
    for (const root of this.#all()) removeTree(join(root, this.#name))
  }

  #all(): string[] {
    const { v2, v1 = {} } = this.#roots
    return [...new Set([v2, ...Object.values(v1)])].filter(root => root !== undefined)
  }

  #folder(root: string, names: readonly string[]): string {
    return join(root, this.#name, ...names.map(name => `${name}${FOLDER_SUFFIX}`))
  }

  #placeInV2(
    root: string,
    names: readonly string[],
    controllers: readonly Controller[],
    made: string[],
  ): Place {
    const folder = this.#folder(root, names)
    make(root, dirname(folder), made)
    // Each folder above the group's has to give it the controllers, the outermost first.
    const above = [root, ...names.map((_, index) => this.#folder(root, names.slice(0, index)))]
    for (const given of above) for (const controller of controllers) give(given, controller)
    make(root, join(folder, HELPERS), made)
    return { kind: 'v2', folder, join: join(folder, HELPERS) }
  }

  #placeInV1(
    controller: Controller,
    names: readonly string[],
    places: Map<string, Place>,
    made: string[],
  ): void {
    const root = this.#roots.v1?.[controller]
    if (root === undefined) {
      throw new Unavailable(
        `this system gives the service no controller ${controller}: neither in cgroup.controllers of v2 nor as a hierarchy of v1`,
      )
    }
    if (places.has(root)) return
    const folder = this.#folder(root, names)
    make(root, folder, made)
    places.set(root, { kind: 'v1', folder, join: folder })
  }

  /** Any hierarchy tells which processes a group has. */
  #anyV1(): Controller {
    const any = CONTROLLERS.find(controller => this.#roots.v1?.[controller] !== undefined)
    if (any === undefined) throw new Unavailable('no cgroupfs is mounted')
    return any
  }
}

const controllersIn = (root: string): string[] => read(join(root, 'cgroup.controllers')).split(/\s+/)

/**
 * Makes a folder and those above it, up to the root. Not by `recursive`, with which Node 20 loops without end where a
 * file system says ENOENT although the folder above is there, as /proc does.
 */
function make(root: string, folder: string, made: string[]): void {
  if (folder === root || existsSync(folder)) return
  make(root, dirname(folder), made)
  mkdirSync(folder)
  made.push(folder)
}

/** Lets the groups below a folder of v2 be limited by a controller. */
function give(folder: string, controller: Controller): void {
  const file = join(folder, 'cgroup.subtree_control')
  if (read(file).split(/\s+/).includes(controller)) return
  try {
    writeFileSync(file, `+${controller}`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === 'EBUSY'
        ? 'processes run in it, the service itself perhaps, and in cgroup v2 such a group gives no controllers to ' +
          'groups below it; under systemd: Delegate=yes and DelegateSubgroup=service'
        : code
    throw new Unavailable(`the controller ${controller} cannot be enabled in ${folder}: ${why}`)
  }
}

function unavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error
  const { code, errno, path, message } = error as NodeJS.ErrnoException
  const name = code ?? (errno === undefined ? message : errnoName(errno))
  return new Unavailable(path === undefined ? message : `${name}: ${path} cannot be written to`, {
    cause: error,
  })
}
