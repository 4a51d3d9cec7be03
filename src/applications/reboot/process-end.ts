/**
 * The end of the process where several kernels come to theirs at once, as they do when each hears a signal: none takes
 * the process from the others before they are done.
 */
const underWay = new Set<symbol>()
const done: (() => void)[] = []

/**
 * An end begins.
 * @returns to be called when it is done, or has come to nothing; resolves when no other is under way, for the one that
 *   was done first before the others
 */
export function beginEnd(): () => Promise<void> {
  const end = Symbol('end')
  underWay.add(end)
  return () => {
    underWay.delete(end)
    return new Promise(resolve => {
      done.push(resolve)
      if (underWay.size === 0) for (const resume of done.splice(0)) resume()
    })
  }
}
