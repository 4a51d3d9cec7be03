/**
 * What `cgroups` takes and gives.
 */
import type { Helper, RunResult } from '../../kernel/run/types.js'
import type { LimitOptions } from './limits.js'

/** The interface of the system that a group is kept with; undefined: it is khelper's bookkeeping alone. */
export type RealKind = 'v1' | 'v2'

/** What of a machine can be limited for a group, by the names of the system's controllers. */
export type Controller = 'memory' | 'pids' | 'cpu'

/**
 * Folders of cgroupfs below which khelper makes one of its own. Default: those of the service's own groups, as
 * /proc/self/cgroup and /proc/self/mountinfo tell.
 */
export interface CgroupRoots {
  readonly v2?: string
  readonly v1?: Readonly<Partial<Record<Controller, string>>>
}

export interface GroupOptions extends LimitOptions {
  /** Whether the release agent is told when the group falls empty. Default: the parent's value at this moment. */
  readonly notifyOnRelease?: boolean
  /** `false`: no group of the system's, which saves each helper some time. Default `true`: one where it can be had. */
  readonly real?: boolean
}

export interface GroupCounts {
  /** Helpers in the group now. */
  readonly running: number
  /** Helpers in it and in all groups below it now. */
  readonly subtree: number
  /** Helpers that were ever run in the group itself. */
  readonly started: number
  /** Those of them that have ended otherwise than with exit code 0. */
  readonly failed: number
}

export interface GroupResult<Output = string> extends RunResult<Output> {
  /** The helper failed, and a process of its group was killed over a memory limit while it ran. */
  readonly outOfMemory: boolean
}

/** kernel.run's handle on a helper in a group. */
export interface GroupHelper<Output = string>
  extends Promise<GroupResult<Output>>,
    Omit<Helper<Output>, keyof Promise<unknown>> {}
