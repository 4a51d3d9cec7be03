/**
 * Keys: secrets that a service asks for by name, however many ask at once, and has for as long as they hold.
 */
import { perKernel } from '../per-kernel.js'
import { systemCalls } from '../system-calls/index.js'
import { Keys } from './keys.js'

export {
  type CredentialType,
  type DockerCredentialOptions,
  dockerCredentialType,
  type GitCredentialOptions,
  gitCredentialType,
  type ProgramSecret,
  type ProgramTypeOptions,
  programType,
} from './adapters/index.js'
export type { AuthorityKey } from './authority.js'
export type { HelperEnvironment } from './call-request-key.js'
export {
  KEY_ALL,
  KEY_GRP_ALL,
  KEY_OTH_ALL,
  KEY_POS_ALL,
  KEY_SPEC_GROUP_KEYRING,
  KEY_SPEC_PROCESS_KEYRING,
  KEY_SPEC_REQKEY_AUTH_KEY,
  KEY_SPEC_REQUESTOR_KEYRING,
  KEY_SPEC_SESSION_KEYRING,
  KEY_SPEC_THREAD_KEYRING,
  KEY_SPEC_USER_KEYRING,
  KEY_SPEC_USER_SESSION_KEYRING,
  KEY_USR_ALL,
  Need,
  permissions,
} from './constants.js'
export { type Identity, KeyCredentials } from './credentials.js'
export type { Key, KeySerial } from './key.js'
export type { KeyType } from './key-types.js'
export {
  type AddKeyOptions,
  type KeyOptions,
  Keys,
  type KeysSettings,
  type KeyWaitOptions,
  type MoveOptions,
  type RequestKeyOptions,
  type SearchOptions,
} from './keys.js'
export type { KeyId } from './lookup.js'

/** The keys of a kernel; its helpers make keys over the socket of system calls. */
export const keys = perKernel(kernel => {
  const made = new Keys(kernel)
  made.helperEnvironment = async authority => {
    const credentials = made.credentialsOfAuthority(authority)
    const grant = await systemCalls(kernel).grant(['keyctl'], credentials)
    return {
      env: grant.envp,
      done: () => {
        grant.revoke()
        credentials.close()
      },
    }
  }
  return made
})
