/**
 * Has a key made: by its type, or by the helper program that the sysctl khelper/request_key names.
 *
 * The program gets what Linux gives it. That it ends well means nothing: whether the key has a payload does.
 */
import { UMH_WAIT_PROC } from '../../kernel/constants.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import type { AuthorityKey } from './authority.js'
import { negate } from './construction.js'
import type { KeyCredentials } from './credentials.js'
import { keyError, numberedError } from './errors.js'
import { PROBLEMS } from './key.js'
import type { KeyStore } from './store.js'
import { making } from './waits.js'

const ENVIRONMENT = ['HOME=/', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']

/** Gives the helper a way to reach the kernel with its authority, and takes it back when the helper has ended. */
export type HelperEnvironment = (authority: AuthorityKey) => Promise<{
  /** Added to the helper's environment, `KEY=value`. */
  readonly env: readonly string[]
  done(): void
}>

/** @throws what stood in the way; the key is negative then, and the authority over in any case */
export async function callRequestKey(
  store: KeyStore,
  authority: AuthorityKey,
  credentials: KeyCredentials,
  helperEnvironment: HelperEnvironment | undefined,
): Promise<void> {
  const { target } = authority
  try {
    const { type } = target
    if (type.requestKey === undefined) {
      await store.unlessClosed(() => callSbinRequestKey(store, authority, credentials, helperEnvironment))
    } else {
      const make = async () => type.requestKey?.(authority, store.kernel)
      await making(target, () => store.unlessClosed(make))
    }
    if (target.isUnderConstruction) {
      throw keyError('ENOKEY', `${target}: whoever was to make it has not`, 'request_key')
    }
    const problem = target.problem()
    if (problem !== undefined) {
      const message = `${target}: ${PROBLEMS[problem]} before its maker had come to an end`
      throw keyError('ENOKEY', message, 'request_key')
    }
  } catch (error) {
    negate(store, target, authority)
    throw error
  } finally {
    authority.release()
  }
}

async function callSbinRequestKey(
  store: KeyStore,
  authority: AuthorityKey,
  credentials: KeyCredentials,
  helperEnvironment: HelperEnvironment | undefined,
): Promise<void> {
  const { kernel } = store
  const { target } = authority
  const program = readSysctl(kernel, 'khelper/request_key')
  const session = credentials.sessionKeyring ?? credentials.userKeyrings.session
  authority.helperKeyring()
  const numbers = [
    target.serial,
    credentials.uid,
    credentials.gid,
    credentials.threadKeyring?.serial ?? 0,
    credentials.processKeyring?.serial ?? 0,
    session.serial,
  ]
  const helper = await helperEnvironment?.(authority)
  try {
    const retval = await kernel.callUsermodehelper(
      program,
      [program, 'create', ...numbers.map(String)],
      [...ENVIRONMENT, ...(helper?.env ?? [])],
      UMH_WAIT_PROC,
    )
    if (retval < 0) {
      throw numberedError(retval, `the helper for ${target} did not run: ${program}`, 'request_key')
    }
  } finally {
    helper?.done()
  }
}
