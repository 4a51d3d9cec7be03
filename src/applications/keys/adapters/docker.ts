/**
 * Secrets from docker's credential helpers: programs `docker-credential-*` that take a server's URL on standard input and
 * give JSON.
 */
import { wrongType, wrongValue } from '../../../kernel/errors.js'
import { keyError } from '../errors.js'
import { type Credential, type CredentialType, credentialType, type Protocol } from './credential-type.js'
import { checkLimits, checkProgram, type HelperOptions } from './run-helper.js'

export interface DockerCredentialOptions extends HelperOptions {
  /** The name of the key type. Default `'docker'`. */
  readonly name?: string
  /** As in docker's `credsStore`: `'pass'` is `docker-credential-pass`. Or the absolute path of a program. */
  readonly helper: string
}

/**
 * A key type whose description is a registry's URL, or host, and whose payload is the secret for it. The user name
 * `<token>` says that the secret is an identity token.
 * @throws TypeError, RangeError for options that cannot be
 */
export function dockerCredentialType(options: DockerCredentialOptions): CredentialType {
  const limits = checkLimits(options)
  const { name = 'docker', helper } = options
  if (typeof helper !== 'string') throw wrongType('options.helper', 'of type string', helper)
  if (!/^[\w./+-]+$/.test(helper)) throw wrongValue('options.helper', 'must be the name or path of a program')
  const program = helper.includes('/')
    ? checkProgram(helper, 'options.helper')
    : `docker-credential-${helper}`
  const protocol: Protocol = {
    name,
    vet: server => {
      if (/[\s\0]/.test(server)) throw keyError('EINVAL', 'the name of a registry has no white space')
      if (server.includes('@')) {
        throw keyError('EINVAL', 'the name of a registry has no @: neither a user name nor a password')
      }
    },
    command: action => ({ name: program, words: [program, action] }),
    question: server => server,
    answer: parseDockerAnswer,
    verdict: (action, server, { username, secret }) =>
      Buffer.from(
        action === 'erase'
          ? server
          : JSON.stringify({
              ServerURL: server,
              Username: username?.toString('utf8') ?? '',
              Secret: secret.toString('utf8'),
            }),
      ),
  }
  return credentialType(protocol, limits)
}

/** @internal */
export function parseDockerAnswer(stdout: Buffer): Credential | undefined {
  const credential = parse(stdout)
  if (typeof credential !== 'object' || credential === null) return undefined
  const { Username, Secret } = credential as { readonly Username?: unknown; readonly Secret?: unknown }
  if (typeof Secret !== 'string' || Secret === '') return undefined
  return {
    username: typeof Username === 'string' ? Buffer.from(Username) : undefined,
    secret: Buffer.from(Secret),
    timeToLive: undefined,
  }
}

/** What a parser says of text it cannot read quotes the text; so it is not asked. */
function parse(stdout: Buffer): unknown {
  try {
    return JSON.parse(stdout.toString('utf8'))
  } catch {
    return undefined
  }
}
