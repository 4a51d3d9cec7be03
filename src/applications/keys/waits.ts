/**
 * Which construction waits for which key. Whoever makes a key may ask for others; one that asks for its own, straight or by
 * way of others, would wait for ever, which is told instead. Linux lets it wait.
 *
 * Who asks is known by the credentials of a helper, and by the asynchronous context of a type that makes its keys itself.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { keyError } from './errors.js'
import type { Key } from './key.js'

const context = new AsyncLocalStorage<Key>()
let running = 0
const waits = new WeakMap<Key, Set<{ readonly key: Key }>>()

/** Runs what makes a key, so that what it asks for is known to be for that key. */
export async function making(key: Key, make: () => void | Promise<void>): Promise<void> {
  running += 1
  try {
    await context.run(key, make)
  } finally {
    running -= 1
    // Before Node 24 a context costs every promise of the process something for as long as it is enabled.
    if (running === 0) context.disable()
  }
}

/**
 * Waits for a key that may be under construction.
 * @param maker the key that whoever waits is making, if that is known
 * @throws SystemError EDEADLK if it waits for that one itself
 */
export async function waitingFor<Result>(
  maker: Key | undefined,
  key: Key,
  wait: () => Promise<Result>,
): Promise<Result> {
  const waiter = maker ?? context.getStore()
  if (waiter === undefined || !waiter.isUnderConstruction || !key.isUnderConstruction) return wait()
  if (leadsTo(key, waiter, new Set())) {
    throw keyError('EDEADLK', `${key} is waited for by what makes ${waiter}, and waits for it`, 'request_key')
  }
  const theirs = waits.get(waiter) ?? new Set()
  const edge = { key }
  waits.set(waiter, theirs.add(edge))
  try {
    return await wait()
  } finally {
    theirs.delete(edge)
  }
}

function leadsTo(from: Key, to: Key, seen: Set<Key>): boolean {
  if (from === to) return true
  if (seen.has(from)) return false
  seen.add(from)
  return [...(waits.get(from) ?? [])].some(({ key }) => leadsTo(key, to, seen))
}
