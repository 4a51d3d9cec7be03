/**
 * `khelper keyctl`: keys of a running service, as keyctl(1). Secrets come from standard input and go to standard output:
 * what stands on a command line can be read by everybody.
 */
import { constants } from 'node:os'
import { buffer } from 'node:stream/consumers'
import type { SystemCallClient } from '../../applications/system-calls/client.js'
import { UsageError } from '../usage-error.js'
import { type SocketOption, withService } from './connection.js'

/** Keyrings of whoever calls, by the names that keyctl(1) has for them. */
const SPECIAL: Readonly<Record<string, number>> = {
  '@t': -1,
  '@p': -2,
  '@s': -3,
  '@u': -4,
  '@us': -5,
  '@g': -6,
  '@a': -7,
}
const NO_KEYRING = 0
/** Errors that reject takes by name, beside numbers. */
const REJECTIONS: Readonly<Record<string, number>> = { rejected: 129, revoked: 128, expired: 127 }
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}\t\n]*$/u

type Words = readonly string[]

interface Subcommand {
  readonly usage: string
  /** How many words it takes, at least and at most. */
  readonly words: readonly [number, number]
  run(client: SystemCallClient, words: Words): Promise<void>
}

function keyId(word: string | undefined): number {
  if (word === undefined) return NO_KEYRING
  const special = SPECIAL[word]
  if (special !== undefined) return special
  const number = Number(word)
  if (word.trim() !== '' && Number.isInteger(number)) return number
  throw new UsageError(`not a key: ${word}; a key is its number, or one of ${Object.keys(SPECIAL).join(' ')}`)
}

function number(word: string | undefined, what: string): number {
  const value = Number(word)
  if (word !== undefined && word.trim() !== '' && Number.isInteger(value) && value >= 0) return value
  throw new UsageError(`${what} must be a number: ${word}`)
}

function rejection(word: string | undefined): number {
  const known = REJECTIONS[word ?? ''] ?? (constants.errno as Readonly<Record<string, number>>)[word ?? '']
  return known ?? number(word, 'the error')
}

const ctl = (client: SystemCallClient, operation: string, ...args: unknown[]) =>
  client.call('keyctl', operation, ...args)

const payload = (): Promise<Buffer> => buffer(process.stdin)

async function print(value: Promise<unknown>): Promise<void> {
  console.log(String(await value))
}

/** A helper that makes a key acts for whoever asked for it. */
async function making(client: SystemCallClient, key: number, make: () => Promise<unknown>): Promise<void> {
  await ctl(client, 'assume_authority', key)
  await make()
}

const noSecrets = (instead: string): Subcommand => ({
  usage: `use ${instead}, which reads the secret from standard input`,
  words: [0, Number.POSITIVE_INFINITY],
  run: async () => {
    throw new UsageError(
      `what stands on a command line can be read by everybody: use ${instead} and standard input`,
    )
  },
})

const simple = (usage: string, operation: string, words: readonly [number, number]): Subcommand => ({
  usage,
  words,
  run: async (client, given) => {
    await ctl(client, operation, ...given.map(keyId))
  },
})

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  show: {
    usage: 'show',
    words: [0, 0],
    run: client => print(ctl(client, 'show').then(text => String(text).trimEnd())),
  },
  add: noSecrets('padd'),
  padd: {
    usage: 'padd <type> <description> <keyring>',
    words: [3, 3],
    run: async (client, [type, description, ring]) =>
      print(ctl(client, 'add', type, description, await payload(), keyId(ring))),
  },
  request: {
    usage: 'request <type> <description> [<keyring>]',
    words: [2, 3],
    run: (client, [type, description, ring]) =>
      print(ctl(client, 'request', type, description, null, keyId(ring))),
  },
  request2: {
    usage: 'request2 <type> <description> <callout> [<keyring>]',
    words: [3, 4],
    run: (client, [type, description, callout, ring]) =>
      print(ctl(client, 'request', type, description, callout, keyId(ring))),
  },
  update: noSecrets('pupdate'),
  pupdate: {
    usage: 'pupdate <key>',
    words: [1, 1],
    run: async (client, [key]) => {
      await ctl(client, 'update', keyId(key), await payload())
    },
  },
  newring: {
    usage: 'newring <name> <keyring>',
    words: [2, 2],
    run: (client, [name, ring]) => print(ctl(client, 'newring', name, keyId(ring))),
  },
  revoke: simple('revoke <key>', 'revoke', [1, 1]),
  invalidate: simple('invalidate <key>', 'invalidate', [1, 1]),
  clear: simple('clear <keyring>', 'clear', [1, 1]),
  link: simple('link <key> <keyring>', 'link', [2, 2]),
  unlink: simple('unlink <key> <keyring>', 'unlink', [2, 2]),
  move: simple('move <key> <from> <to>', 'move', [3, 3]),
  search: {
    usage: 'search <keyring> <type> <description> [<keyring>]',
    words: [3, 4],
    run: (client, [ring, type, description, destination]) =>
      print(ctl(client, 'search', keyId(ring), type, description, keyId(destination))),
  },
  pipe: {
    usage: 'pipe <key>',
    words: [1, 1],
    run: async (client, [key]) => {
      process.stdout.write((await ctl(client, 'read', keyId(key))) as Buffer)
    },
  },
  print: {
    usage: 'print <key>',
    words: [1, 1],
    run: async (client, [key]) => {
      const bytes = (await ctl(client, 'read', keyId(key))) as Buffer
      const text = bytes.toString('utf8')
      console.log(PRINTABLE.test(text) ? text : `:hex:${bytes.toString('hex')}`)
    },
  },
  rdescribe: {
    usage: 'rdescribe <key>',
    words: [1, 1],
    run: (client, [key]) => print(ctl(client, 'describe', keyId(key))),
  },
  timeout: {
    usage: 'timeout <key> <seconds>',
    words: [2, 2],
    run: async (client, [key, seconds]) => {
      await ctl(client, 'timeout', keyId(key), number(seconds, 'the time'))
    },
  },
  setperm: {
    usage: 'setperm <key> <mask>',
    words: [2, 2],
    run: async (client, [key, mask]) => {
      await ctl(client, 'setperm', keyId(key), number(mask, 'the mask'))
    },
  },
  instantiate: noSecrets('pinstantiate'),
  pinstantiate: {
    usage: 'pinstantiate <key> [<keyring>]',
    words: [1, 2],
    run: async (client, [key, ring]) => {
      const secret = await payload()
      await making(client, keyId(key), () => ctl(client, 'instantiate', keyId(key), secret, keyId(ring)))
    },
  },
  negate: {
    usage: 'negate <key> <seconds> [<keyring>]',
    words: [2, 3],
    run: (client, [key, seconds, ring]) =>
      making(client, keyId(key), () =>
        ctl(client, 'negate', keyId(key), number(seconds, 'the time'), keyId(ring)),
      ),
  },
  reject: {
    usage: 'reject <key> <seconds> <error> [<keyring>]',
    words: [3, 4],
    run: (client, [key, seconds, error, ring]) =>
      making(client, keyId(key), () =>
        ctl(client, 'reject', keyId(key), number(seconds, 'the time'), rejection(error), keyId(ring)),
      ),
  },
}

const keyctlUsage = (): string =>
  Object.entries(SUBCOMMANDS)
    .filter(([name, { usage }]) => usage.startsWith(name))
    .map(([, { usage }]) => `  ${usage}`)
    .join('\n')

export async function keyctl(name: string, words: Words, options: SocketOption): Promise<void> {
  const subcommand = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined
  if (subcommand === undefined) throw new UsageError(`keyctl has no ${name}; it has\n${keyctlUsage()}`)
  const [least, most] = subcommand.words
  if (words.length < least || words.length > most) throw new UsageError(`usage: keyctl ${subcommand.usage}`)
  await withService(options, client => subcommand.run(client, words))
}
