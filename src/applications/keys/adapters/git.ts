/**
 * Secrets from git's credential helpers, as git-credential(1) and gitcredentials(7) say: `key=value` lines on standard
 * input and output.
 */
import { wrongValue } from '../../../kernel/errors.js'
import { keyError } from '../errors.js'
import {
  type Credential,
  type CredentialType,
  checkUrl,
  credentialType,
  type Protocol,
} from './credential-type.js'
import { checkCommand, checkLimits, type HelperOptions } from './run-helper.js'

const SECOND = 1_000

export interface GitCredentialOptions extends HelperOptions {
  /** The name of the key type. Default `'git'`. */
  readonly name?: string
  /**
   * The helper, as in git's `credential.helper`: `'store'` is `git credential-store`, an absolute path is itself, and what
   * begins with `!` is a line of shell. A list of words is run as it is, without a shell. The action is added to either.
   */
  readonly helper: string | readonly string[]
  /** Tell the helper the path of the URL, too (`credential.useHttpPath`). Default `false` for http and https. */
  readonly useHttpPath?: boolean
}

/**
 * A key type whose description is a URL and whose payload is the password for it.
 * @throws TypeError, RangeError for options that cannot be
 */
export function gitCredentialType(options: GitCredentialOptions): CredentialType {
  const limits = checkLimits(options)
  const { name = 'git', helper, useHttpPath = false } = options
  if (helper === '') throw wrongValue('options.helper', 'must name a helper')
  const words = typeof helper === 'string' ? undefined : checkCommand(helper, 'options.helper')
  const fields = (description: string) => fieldsOf(checkUrl(description), useHttpPath)
  const protocol: Protocol = {
    name,
    vet: description => void fields(description),
    command: action => (words === undefined ? shellCommand(String(helper), action) : [...words, action]),
    question: description => write(fields(description)),
    answer,
    verdict: (_, description, { username, secret }) =>
      write({
        ...fields(description),
        ...(username === undefined ? {} : { username }),
        password: text(secret),
      }),
  }
  return credentialType(protocol, limits)
}

function shellCommand(helper: string, action: string): readonly string[] {
  if (helper.startsWith('!')) return ['/bin/sh', '-c', `${helper.slice(1)} ${action}`]
  if (helper.startsWith('/')) return ['/bin/sh', '-c', `${helper} ${action}`]
  return ['/bin/sh', '-c', `git credential-${helper} ${action}`]
}

type Fields = Readonly<Record<string, string>>

function fieldsOf(url: URL, useHttpPath: boolean): Fields {
  const protocol = url.protocol.slice(0, -1)
  const path = decode(url.pathname.replace(/^\/+/, ''))
  const withPath = path !== '' && (useHttpPath || !/^https?$/.test(protocol))
  return {
    protocol,
    host: decode(url.host),
    ...(withPath ? { path } : {}),
    ...(url.username === '' ? {} : { username: decode(url.username) }),
  }
}

function decode(component: string): string {
  try {
    return decodeURIComponent(component)
  } catch {
    throw keyError('EINVAL', 'the URL has a % that encodes nothing')
  }
}

/** A line feed in a value would begin a line of its own, and ask for another host's secret. */
function write(fields: Fields): string {
  let lines = ''
  for (const [name, value] of Object.entries(fields)) {
    if (/[\n\r\0]/.test(value)) throw keyError('EINVAL', `the ${name} of the URL has a line feed or a NUL`)
    lines += `${name}=${value}\n`
  }
  return `${lines}\n`
}

const text = (secret: Buffer) => secret.toString('utf8')

function answer(stdout: Buffer): Credential | undefined {
  const fields = new Map<string, string>()
  for (const line of stdout.toString('utf8').split(/\r?\n/)) {
    // What follows an empty line is no part of it.
    if (line === '') break
    const equals = line.indexOf('=')
    if (equals > 0) fields.set(line.slice(0, equals), line.slice(equals + 1))
  }
  const password = fields.get('password')
  if (/^(1|true|yes|on)$/i.test(fields.get('quit') ?? '') || password === undefined || password === '')
    return undefined
  const expiry = Number(fields.get('password_expiry_utc') ?? Number.NaN)
  const left = Number.isFinite(expiry) && expiry > 0 ? Math.floor(expiry - Date.now() / SECOND) : undefined
  if (left !== undefined && left <= 0) return undefined
  return { username: fields.get('username'), secret: Buffer.from(password), timeToLive: left }
}
