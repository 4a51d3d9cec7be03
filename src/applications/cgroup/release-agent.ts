/**
 * Tells a program that a group has fallen empty, as in Linux 6.17, kernel/cgroup/cgroup-v1.c: the program is run with
 * the group's path, its start is waited for, and whatever comes of it is ignored. Whether the group is still empty is
 * not looked at again.
 */
import { UMH_WAIT_EXEC } from '../../kernel/constants.js'
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import { isFromRoot } from '../../kernel/helper-programs.js'
import type { Kernel } from '../../kernel/kernel.js'

const PATH_MAX = 4_096
const ENVIRONMENT = ['HOME=/', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']

/** One item of work for each group: scheduled again before it has begun, it is still one. */
interface Work {
  readonly path: string
  scheduled: NodeJS.Immediate | undefined
  /** Resolves when the program that is being told has been started. */
  running: Promise<void> | undefined
}

export class ReleaseAgent {
  readonly #kernel: Kernel
  readonly #work = new Map<object, Work>()
  #program = ''

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  get program(): string {
    return this.#program
  }

  /** @throws SystemError E2BIG above PATH_MAX - 1 bytes, EINVAL for a relative path; TypeError */
  set program(program: string) {
    if (typeof program !== 'string') throw wrongType('releaseAgent', 'of type string', program)
    if (program.includes('\0')) throw wrongValue('releaseAgent', 'must be a string without null bytes')
    if (Buffer.byteLength(program) >= PATH_MAX) {
      throw new SystemError('E2BIG', `the path of a release agent has at most ${PATH_MAX - 1} bytes`, {
        syscall: 'write',
      })
    }
    const path = program.trim()
    if (path !== '' && !isFromRoot(path)) {
      throw new SystemError(
        'EINVAL',
        `a release agent is given by its absolute path, or the file: URL of an in-thread helper, and not as '${path}'`,
        { syscall: 'write', path },
      )
    }
    this.#program = path
  }

  /** Schedules the work of a group that has been released. */
  schedule(group: object, path: string): void {
    const work = this.#work.get(group) ?? { path, scheduled: undefined, running: undefined }
    this.#work.set(group, work)
    work.scheduled ??= setImmediate(() => this.#begin(group, work))
  }

  /** Begins at once what is scheduled. @returns when nothing is scheduled any more, and all have been told */
  async flush(): Promise<void> {
    while (this.#work.size > 0) {
      for (const [group, work] of this.#work) if (work.scheduled !== undefined) this.#begin(group, work)
      await Promise.all([...this.#work.values()].map(({ running }) => running))
    }
  }

  #begin(group: object, work: Work): void {
    // A work item runs once at a time: it is begun again when it ends.
    if (work.running !== undefined) return
    clearImmediate(work.scheduled)
    work.scheduled = undefined
    work.running = this.#tell(work.path).finally(() => {
      work.running = undefined
      if (work.scheduled !== undefined) this.#begin(group, work)
      else this.#work.delete(group)
    })
  }

  async #tell(path: string): Promise<void> {
    const agent = this.#program
    if (agent === '') return
    try {
      await this.#kernel.lastCall(agent, [agent, path], ENVIRONMENT, UMH_WAIT_EXEC)
    } catch {
      // The kernel has been shut down: as for any other result, nobody is there to be told.
    }
  }
}
