/**
 * What helpers may call: a helper that acts for the kernel is given a token, which is good for the calls of its task,
 * as long as the helper's own call lasts.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { SystemError } from '../../kernel/errors.js'

const TOKEN_BYTES = 24

/** For whom a call is made. */
export type Subject =
  /** Whoever may open the public socket: everything. */
  | { readonly kind: 'operator' }
  /** A helper: what it was granted, for the task that `context` names. */
  | { readonly kind: 'helper'; readonly calls: ReadonlySet<string>; readonly context: unknown }

export const OPERATOR: Subject = { kind: 'operator' }

export class Authorities {
  readonly #granted = new Map<string, Subject>()

  /**
   * @param calls what the holder may call
   * @param context what it does so for
   */
  grant(calls: Iterable<string>, context: unknown): { readonly token: string; revoke(): void } {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    this.#granted.set(token, { kind: 'helper', calls: new Set(calls), context })
    return { token, revoke: () => this.#granted.delete(token) }
  }

  get size(): number {
    return this.#granted.size
  }

  /**
   * @param otherwise for whom a call is made that comes without a token; undefined: for nobody
   * @throws SystemError EACCES without a token where there must be one, for one that is none, or is none any more; EPERM
   *   for a call that it is not good for
   */
  subject(token: string | undefined, call: string, otherwise: Subject | undefined): Subject {
    if (token === undefined && otherwise !== undefined) return otherwise
    if (token === undefined) {
      throw new SystemError(
        'EACCES',
        'a helper calls with the authority that is in its environment (KHELPER_AUTHORITY)',
        { syscall: call },
      )
    }
    const subject = this.#find(token)
    if (subject === undefined) {
      throw new SystemError(
        'EACCES',
        'the authority has ended, or was none; it lasts as long as the helper that it was given to',
        {
          syscall: call,
        },
      )
    }
    if (subject.kind === 'helper' && !subject.calls.has(call)) {
      throw new SystemError('EPERM', `the authority of this helper is not for ${call}`, { syscall: call })
    }
    return subject
  }

  /** The time it takes tells nothing of how much of a token was right. */
  #find(token: string): Subject | undefined {
    const given = Buffer.from(token)
    let found: Subject | undefined
    for (const [known, subject] of this.#granted) {
      const bytes = Buffer.from(known)
      if (bytes.byteLength === given.byteLength && timingSafeEqual(bytes, given)) found = subject
    }
    return found
  }
}
