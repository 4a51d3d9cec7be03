/**
 * What somebody else's code has thrown, which may be anything.
 */
import { inspect } from 'node:util'

/** Says it in words, whatever it is: also where it throws in turn when it is asked for them. */
export function textOf(thrown: unknown): string {
  try {
    return thrown instanceof Error
      ? String(thrown.message)
      : typeof thrown === 'string'
        ? thrown
        : inspect(thrown)
  } catch {
    return 'something that cannot be shown'
  }
}

/** A property of it, if it has one that can be read. */
export function propertyOf(thrown: unknown, name: string): unknown {
  try {
    return (thrown as Readonly<Record<string, unknown>> | undefined | null)?.[name]
  } catch {
    return undefined
  }
}
