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
import {
  checkCommand,
  checkLimits,
  checkProgram,
  type HelperCommand,
  type HelperOptions,
  wholeSeconds,
} from './run-helper.js'

const SECOND = 1_000

export interface GitCredentialOptions extends HelperOptions {
  /** The name of the key type. Default `'git'`. */
  readonly name?: string
  /**
   * The helper, as in git's `credential.helper`: `'store'` is `git credential-store`, an absolute path is itself, and what
   * begins with `!` is a line of shell. A list of words is run as it is, without a shell. The action (`get`, `store`,
   * `erase`) is added to either. Default: the helpers that git is configured with, by `git credential fill`, `approve` and
   * `reject`, which ask nobody at a terminal.
   */
  readonly helper?: string | readonly string[]
  /** Tell the helper the path of the URL, too (`credential.useHttpPath`). Default `false` for http and https. */
  readonly useHttpPath?: boolean
}

/**
 * A key type whose description is a URL and whose payload is the password for it. The URL may name the user, which git
 * asks for then; it is shown like every description, so a token does not belong in its place.
 * @throws TypeError, RangeError for options that cannot be
 */
export function gitCredentialType(options: GitCredentialOptions = {}): CredentialType {
  const limits = checkLimits(options)
  const { name = 'git', helper, useHttpPath = false } = options
  if (helper === '') throw wrongValue('options.helper', 'must name a helper')
  const fields = (description: string) => fieldsOf(checkUrl(description), useHttpPath)
  const protocol: Protocol = {
    name,
    vet: description => void write(fields(description)),
    command: commandOf(helper),
    question: description => write(fields(description)),
    answer: parseGitAnswer,
    verdict: (_, description, { username, secret }) =>
      write({
        ...fields(description),
        ...(username === undefined ? {} : { username }),
        password: secret,
      }),
  }
  return credentialType(protocol, limits)
}

/** What git itself says to get, store and erase. */
const VERBS = { get: 'fill', store: 'approve', erase: 'reject' } as const

function commandOf(helper: string | readonly string[] | undefined): Protocol['command'] {
  if (helper === undefined) {
    return action => shell('git credential', `GIT_TERMINAL_PROMPT=0 exec git credential ${VERBS[action]}`)
  }
  if (typeof helper !== 'string') {
    const words = checkCommand(helper, 'options.helper')
    return action => ({ name: String(words[0]), words: [...words, action] })
  }
  // A line of shell may hold secrets, as may a helper's options: neither names it in an error.
  if (helper.startsWith('!'))
    return action => shell("the helper's line of shell", `${helper.slice(1)} ${action}`)
  const line = helper.startsWith('/') ? helper : `git credential-${helper}`
  const [name = ''] = helper.split(/\s/)
  checkProgram(name, 'options.helper')
  return action => shell(helper.startsWith('/') ? name : `git credential-${name}`, `${line} ${action}`)
}

const shell = (name: string, line: string): HelperCommand => ({ name, words: ['/bin/sh', '-c', line] })

type Fields = Readonly<Record<string, string | Buffer>>

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
function write(fields: Fields): Buffer {
  const lines: Buffer[] = []
  for (const [name, value] of Object.entries(fields)) {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value
    if (NO_VALUE.some(byte => bytes.includes(byte))) {
      throw keyError('EINVAL', `the ${name} of the URL has a line feed or a NUL`)
    }
    lines.push(Buffer.from(`${name}=`), bytes, Buffer.of(LINE_FEED))
  }
  return Buffer.concat([...lines, Buffer.of(LINE_FEED)])
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const NO_VALUE = [LINE_FEED, CARRIAGE_RETURN, 0x00]
const EQUALS = 0x3d

/** @internal */
export function parseGitAnswer(stdout: Buffer): Credential | undefined {
  const fields = read(stdout)
  const password = fields.get('password')
  const text = (name: string) => fields.get(name)?.toString('utf8')
  if (/^(1|true|yes|on)$/i.test(text('quit') ?? '') || password === undefined || password.length === 0) {
    return undefined
  }
  const expiry = Number(text('password_expiry_utc') ?? Number.NaN)
  const expires = Number.isFinite(expiry) && expiry > 0
  const left = expires ? wholeSeconds(expiry - Date.now() / SECOND) : undefined
  if (expires && left === undefined) return undefined
  // Copies: the output is wiped.
  const username = fields.get('username')
  return {
    username: username && Buffer.from(username),
    secret: Buffer.from(password),
    timeToLive: left,
  }
}

/** The fields of what a helper wrote, as parts of it. */
function read(stdout: Buffer): ReadonlyMap<string, Buffer> {
  const fields = new Map<string, Buffer>()
  for (let start = 0; start < stdout.length; ) {
    const feed = stdout.indexOf(LINE_FEED, start)
    const end = feed < 0 ? stdout.length : feed
    const line = stdout.subarray(start, stdout[end - 1] === CARRIAGE_RETURN && end > start ? end - 1 : end)
    // What follows an empty line is no part of it.
    if (line.length === 0) break
    const equals = line.indexOf(EQUALS)
    if (equals > 0) fields.set(line.toString('utf8', 0, equals), line.subarray(equals + 1))
    start = end + 1
  }
  return fields
}
