/**
 * The descriptors of one child, made and copied while `spawn` is called: its caller may close what it gave as soon as
 * `spawn` has returned, long before the khelper gets to it.
 */
import { asFd, type Libc } from '../libc/index.js'
import type { NativeStdio, PipeHandle } from './node-internals.js'

const LOWEST_COPY = 3

export interface ChildDescriptors {
  /** The child's, by its own numbers; undefined: none. */
  readonly child: readonly (number | undefined)[]
  /** Our ends of its pipes, and the handles they are for. */
  readonly pipes: readonly { readonly handle: PipeHandle; readonly fd: number }[]
  /** Closes the child's ends: it has its own, or will never have any. */
  closeChildEnds(): void
  /** Closes our ends, which no handle has taken over. */
  closeOurEnds(): void
}

const isPipe = (
  entry: NativeStdio,
): entry is Extract<NativeStdio, { readonly handle: PipeHandle; readonly ipc?: boolean }> =>
  entry.type === 'pipe' || entry.type === 'overlapped'

/** @returns `-errno` if something cannot be had; nothing is held then */
export function openDescriptors(libc: Libc, stdio: readonly NativeStdio[]): ChildDescriptors | number {
  const child: (number | undefined)[] = []
  const held: number[] = []
  const pipes: { handle: PipeHandle; fd: number }[] = []
  const close = (fds: number[]): void => {
    for (const fd of fds.splice(0)) libc.close(asFd(fd))
  }
  const descriptors: ChildDescriptors = {
    child,
    pipes,
    closeChildEnds: () => close(held),
    closeOurEnds: () => close(pipes.splice(0).map(({ fd }) => fd)),
  }
  const failed = (error: number): number => {
    descriptors.closeChildEnds()
    descriptors.closeOurEnds()
    return error
  }
  for (const entry of stdio) {
    if (entry.type === 'ignore') {
      child.push(undefined)
    } else if (isPipe(entry)) {
      const pair = libc.socketpair()
      if (typeof pair === 'number') return failed(pair)
      pipes.push({ handle: entry.handle, fd: pair.ours })
      held.push(pair.theirs)
      child.push(pair.theirs)
    } else {
      const fd = 'handle' in entry ? entry.handle.fd : entry.fd
      const copy = libc.duplicateAbove(fd, LOWEST_COPY)
      if (copy < 0) return failed(copy)
      held.push(copy)
      child.push(copy)
    }
  }
  return descriptors
}
