/**
 * Puts khelper under Node's ChildProcess: for all of the process, or for the calls made within `withKhelper`.
 */
import childProcess, { type ChildProcess } from 'node:child_process'
import { HelperHandle } from './handle.js'
import type { ChildWithHandle } from './node-internals.js'
import { type SyncRequest, type SyncResult, spawnSync } from './spawn-sync.js'

/** The calls of `khelper/child_process` that are under way; `spawn` happens within them. */
let calls = 0
let everywhere = false

const { prototype } = childProcess.ChildProcess as unknown as {
  readonly prototype: { spawn(this: ChildProcess, options: unknown): unknown }
}
const nativeSpawn = prototype.spawn

if (typeof nativeSpawn === 'function') {
  prototype.spawn = function spawn(this: ChildProcess, options: unknown): unknown {
    const child = this as ChildWithHandle
    const native = child._handle
    if ((calls === 0 && !everywhere) || native === null || native === undefined) {
      return nativeSpawn.call(this, options)
    }
    const handle = new HelperHandle(child, native)
    child._handle = handle
    const result = nativeSpawn.call(this, options)
    if (child._handle === handle) showPid(child, handle)
    return result
  }
}

const binding = spawnSyncBinding()
const nativeSpawnSync = binding?.spawn

if (binding !== undefined && typeof nativeSpawnSync === 'function') {
  binding.spawn = request =>
    ((calls > 0 || everywhere) && spawnSync(request)) || nativeSpawnSync.call(binding, request)
}

interface SpawnSyncBinding {
  spawn(request: SyncRequest): SyncResult
}

/** The object whose `spawn` Node's own spawnSync calls; undefined where Node does not give it out. */
function spawnSyncBinding(): SpawnSyncBinding | undefined {
  try {
    const { binding: find } = process as unknown as { binding?(name: string): SpawnSyncBinding }
    return find?.('spawn_sync')
  } catch {
    return undefined
  }
}

/** `pid` as a property that waits for the exec, if somebody asks for it before. */
function showPid(child: ChildWithHandle, handle: HelperHandle): void {
  Object.defineProperty(child, 'pid', {
    configurable: true,
    enumerable: true,
    get: () => handle.launchedPid,
    set: value => Object.defineProperty(child, 'pid', { value, writable: true }),
  })
}

/** Children that are spawned while `call` runs are started through khelper. */
export function withKhelper<Result>(call: () => Result): Result {
  calls += 1
  try {
    return call()
  } finally {
    calls -= 1
  }
}

/** From now on all children of this thread are. */
export function swapEverywhere(): void {
  everywhere = true
}
