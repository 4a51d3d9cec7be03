/**
 * Waiting for a condition on shared memory whose every change is announced by raising one word.
 *
 * Why no change is missed: the word is read, then the condition is looked at, then the thread sleeps only
 * while the word has not moved since. Whoever makes the condition true changes it before it raises the word.
 */

/** Raises the word and wakes everyone who waits on it. */
export function announce(words: Int32Array, at: number): void {
  Atomics.add(words, at, 1)
  Atomics.notify(words, at)
}

/**
 * Awaits a condition; holds the event loop open meanwhile, which `Atomics.waitAsync` does not.
 * @param timeout milliseconds
 * @returns milliseconds left, at least 1 if the condition came true, or 0 if the time ran out
 */
export async function until(
  words: Int32Array,
  at: number,
  condition: () => boolean,
  timeout: number,
): Promise<number> {
  const deadline = performance.now() + timeout
  const open = setInterval(() => {}, 2 ** 30)
  try {
    for (;;) {
      const seen = Atomics.load(words, at)
      const left = deadline - performance.now()
      if (condition()) return Math.max(1, left)
      if (left <= 0) return 0
      const { async, value } = Atomics.waitAsync(words, at, seen, left)
      if (async) await value
    }
  } finally {
    clearInterval(open)
  }
}
