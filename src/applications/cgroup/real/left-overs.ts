/**
 * The name of a service's own folder in cgroupfs, and the folders that services have left which were killed.
 *
 * A name has the pid namespace, the pid and the start time of the service, by which the next one knows that it has gone.
 */
import { readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { startOf } from '../../../kernel/process-tree.js'
import { hasGone, pidNamespace } from '../../../kernel/service-folders.js'

const NAME = /^khelper-(\d+)-(\d+)-(\d+)-/

let serial = 0

/** Another one at each call: a process may have many kernels, on many threads. */
export function ownName(): string {
  serial += 1
  return `khelper-${pidNamespace()}-${process.pid}-${startOf(process.pid) ?? 0}-${threadId}-${serial}`
}

/** Removes what dead services have left below a folder, but for groups in which something still runs. */
export function removeLeftOvers(root: string): void {
  for (const name of folders(root)) {
    const [, space, pid, start] = NAME.exec(name) ?? []
    if (space !== pidNamespace() || !hasGone(Number(pid), Number(start))) continue
    removeTree(join(root, name))
  }
}

/** Removes a folder and those below it as far as they have no processes. */
export function removeTree(folder: string): void {
  for (const name of folders(folder)) removeTree(join(folder, name))
  try {
    rmdirSync(folder)
  } catch {
    // Something runs in it, or it has gone.
  }
}

/** The names of the folders in a folder, none for one that has gone. */
export function folders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
}
