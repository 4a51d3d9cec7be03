/**
 * What an error must not show: texts that a call's caller names, and secrets of its keyring that stand among its
 * arguments, where they do not belong.
 */
import { isUtf8 } from 'node:buffer'
import { wrongType, wrongValue } from './errors.js'
import type { Keyring } from './keyring.js'

const REDACTED = '[redacted]'
/** Shorter ones stand in many a word by chance, and that they were taken out would tell what they are. */
const LEAST_SECRET_BYTES = 4

/** @throws TypeError for anything but an array of strings that are not empty; what it is given is never shown */
export function checkRedact(redact: unknown): readonly string[] {
  if (redact === undefined) return []
  if (!Array.isArray(redact)) throw wrongType('options.redact', 'an array of strings', typeof redact)
  return redact.map((text: unknown, index) => {
    if (typeof text !== 'string') {
      throw wrongType(`options.redact[${index}]`, 'of type string', typeof text)
    }
    if (text === '') throw wrongValue(`options.redact[${index}]`, 'must not be empty')
    return text
  })
}

/**
 * What is to be taken out of a call's errors. Of the keyring only what stands in `texts`: no other secret becomes a
 * string for the sake of it, and those that do may be removed from the keyring before there is an error.
 */
export function secretsOf(
  redact: readonly string[],
  keys: Keyring | undefined,
  texts: readonly string[],
): readonly string[] {
  if (keys === undefined) return redact
  const bytes = Buffer.from(texts.join('\0'))
  const secrets = [...redact]
  for (const [, secret] of keys.entries()) {
    const bare = withoutLineEnds(secret)
    if (bare.byteLength >= LEAST_SECRET_BYTES && isUtf8(bare) && bytes.includes(bare)) {
      secrets.push(bare.toString('utf8'))
    }
  }
  bytes.fill(0)
  return secrets
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/** A secret out of a file often has one at its end, and in an argument none. */
function withoutLineEnds(secret: Buffer): Buffer {
  let end = secret.byteLength
  while (end > 0 && (secret[end - 1] === LINE_FEED || secret[end - 1] === CARRIAGE_RETURN)) end -= 1
  return secret.subarray(0, end)
}

/** `text` with each occurrence of a secret taken out; of those that overlap nothing is left. */
export function redacted(text: string, secrets: readonly string[]): string {
  const next = secrets.map(secret => text.indexOf(secret))
  let shown = ''
  /** What comes before it is dealt with. */
  let from = 0
  for (;;) {
    let first = -1
    for (const [index, at] of next.entries()) {
      if (at >= 0 && (first < 0 || at < (next[first] ?? 0))) first = index
    }
    const start = next[first]
    const secret = secrets[first]
    if (start === undefined || secret === undefined) return shown + text.slice(from)
    if (start >= from) shown += text.slice(from, start) + REDACTED
    from = Math.max(from, start + secret.length)
    next[first] = text.indexOf(secret, start + 1)
  }
}

/** What an error shows of a call. */
export interface Shown {
  readonly path: string
  readonly argv: readonly string[]
  readonly cwd: string | undefined
}

export function redactedCall({ path, argv, cwd }: Shown, secrets: readonly string[]): Shown {
  if (secrets.length === 0) return { path, argv, cwd }
  return {
    path: redacted(path, secrets),
    argv: argv.map(argument => redacted(argument, secrets)),
    cwd: cwd === undefined ? undefined : redacted(cwd, secrets),
  }
}
