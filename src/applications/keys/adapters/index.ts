/**
 * Key types that get their keys from programs that are about: git's and docker's credential helpers, vaults, `pass`.
 */
export type { CredentialType } from './credential-type.js'
export { type DockerCredentialOptions, dockerCredentialType } from './docker.js'
export { type GitCredentialOptions, gitCredentialType } from './git.js'
export { type ProgramSecret, type ProgramTypeOptions, programType } from './program.js'
