/**
 * What the credential helpers of git and docker have in common: a user name and a secret for a URL, and a way to tell the
 * helper whether they were any good.
 */
import type { Kernel } from '../../../kernel/kernel.js'
import type { AuthorityKey } from '../authority.js'
import { LARGEST_USER_PAYLOAD } from '../constants.js'
import { keyError } from '../errors.js'
import type { Key } from '../key.js'
import type { KeyType } from '../key-types.js'
import { type HelperCommand, type HelperLimits, runHelper } from './run-helper.js'

/** A key type whose keys are secrets that belong to a user name. */
export interface CredentialType extends KeyType {
  /** Whose secret a key of this type is. */
  username(key: Key): string | undefined
  /** Tells the helper that the secret was accepted, so that it keeps it. */
  approve(key: Key): Promise<void>
  /** Tells the helper that the secret was refused, so that it forgets it. The key is the caller's to invalidate. */
  reject(key: Key): Promise<void>
}

/** As bytes: what goes back to the helper is what came from it, in whatever encoding. */
export interface Credential {
  readonly username: Buffer | undefined
  readonly secret: Buffer
  /** Seconds. */
  readonly timeToLive: number | undefined
}

/** One kind of helper. What it is asked for is what stands in a key's description. */
export interface Protocol {
  readonly name: string
  vet(description: string): void
  /** The command for `get`, `store` or `erase`. */
  command(action: 'get' | 'store' | 'erase'): HelperCommand
  question(description: string): string | Buffer
  /** `undefined`: it has none. */
  answer(stdout: Buffer): Credential | undefined
  /** What `store` and `erase` are told. */
  verdict(action: 'store' | 'erase', description: string, credential: Credential): Buffer
}

interface Known {
  readonly kernel: Kernel
  readonly username: Buffer | undefined
}

export function credentialType(protocol: Protocol, limits: HelperLimits): CredentialType {
  const known = new WeakMap<Key, Known>()

  async function tell(action: 'store' | 'erase', key: Key): Promise<void> {
    const credential = known.get(key)
    if (credential === undefined) throw keyError('EINVAL', `${key} is not from this helper`)
    const { kernel, username } = credential
    const secret = key.payload()
    const input = protocol.verdict(action, key.description, { username, secret, timeToLive: undefined })
    const { failure, stdout } = await runHelper(kernel, protocol.command(action), input, limits)
    for (const bytes of [stdout, secret, input]) bytes.fill(0)
    if (failure !== undefined) throw keyError('EIO', `${key}: ${failure}`)
  }

  return {
    name: protocol.name,
    vetDescription: description => protocol.vet(description),
    instantiate: checkSecret,
    username: key => known.get(key)?.username?.toString('utf8'),
    approve: key => tell('store', key),
    reject: key => tell('erase', key),
    async requestKey(authority: AuthorityKey, kernel: Kernel) {
      const { target } = authority
      const { stdout, failure } = await runHelper(
        kernel,
        protocol.command('get'),
        protocol.question(target.description),
        limits,
      )
      const refuse = (reason: string) => authority.reject('ENOKEY', limits.negativeTimeout, reason)
      try {
        const credential = failure === undefined ? protocol.answer(stdout) : undefined
        if (credential === undefined) refuse(failure ?? 'the helper has no credential for it')
        else {
          known.set(target, { kernel, username: credential.username })
          authority.instantiate(credential.secret, { timeout: credential.timeToLive ?? limits.timeToLive })
          credential.secret.fill(0)
        }
      } finally {
        stdout.fill(0)
      }
    },
  }
}

export function checkSecret(payload: Buffer): Buffer {
  if (payload.byteLength === 0 || payload.byteLength > LARGEST_USER_PAYLOAD) {
    throw keyError('EINVAL', `the secret must have from 1 to ${LARGEST_USER_PAYLOAD} bytes`)
  }
  return payload
}

/**
 * The URL of a description. It is shown to whoever may see the key, so it has no room for a secret; and what is no URL may
 * be one with a password in it that was not encoded, so it is not shown at all.
 */
export function checkUrl(description: string): URL {
  // Without the slashes `user:password@host` is one, too.
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(description) || !URL.canParse(description)) {
    throw keyError('EINVAL', 'the description must be a URL, protocol://host, with no password in it')
  }
  const url = new URL(description)
  if (url.password !== '') throw keyError('EINVAL', 'the URL of a key must not hold a password')
  return url
}
