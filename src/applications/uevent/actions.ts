/**
 * What can happen to an object, and how an event is asked for in text: `ACTION` or `ACTION UUID KEY=VALUE…`, as it is
 * written to the file `uevent` of an object in Linux's /sys (lib/kobject_uevent.c, kobject_synth_uevent).
 */
import { isSystemError, SystemError, wrongValue } from '../../kernel/errors.js'
import { KobjUeventEnv } from './env.js'

export const KOBJECT_ACTIONS = [
  'add',
  'remove',
  'change',
  'move',
  'online',
  'offline',
  'bind',
  'unbind',
] as const
export type KobjectAction = (typeof KOBJECT_ACTIONS)[number]

const isAction = (action: unknown): action is KobjectAction =>
  (KOBJECT_ACTIONS as readonly unknown[]).includes(action)

export function checkAction(action: unknown): asserts action is KobjectAction {
  if (!isAction(action)) throw wrongValue('action', `must be one of ${KOBJECT_ACTIONS.join(', ')}`)
}

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i
const UUID_LENGTH = 36
const ARGUMENT = /^([\da-z]+)=([\da-z]+)$/i

/**
 * @param text one line feed or NUL at its end means nothing
 * @returns the action, and the variables that the event has beside its own
 * @throws SystemError EINVAL for an action that there is not, for no UUID, for keys and values that are empty or have
 *   other characters than letters and digits, and for more of them than an event has room for
 */
export function parseSynthetic(text: string): {
  readonly action: KobjectAction
  readonly variables: readonly string[]
} {
  const line = /[\n\0]$/.test(text) ? text.slice(0, -1) : text
  const space = line.indexOf(' ')
  const action = space < 0 ? line : line.slice(0, space)
  if (!isAction(action)) throw invalid(`there is no such action; there are ${KOBJECT_ACTIONS.join(', ')}`)
  if (space < 0) return { action, variables: ['SYNTH_UUID=0'] }
  const args = line.slice(space + 1)
  const uuid = args.slice(0, UUID_LENGTH)
  if (!UUID.test(uuid)) throw invalid('a UUID must follow the action')
  const rest = args.slice(UUID_LENGTH)
  const env = new KobjUeventEnv()
  try {
    env.add(`SYNTH_UUID=${uuid}`)
    for (const word of words(rest)) {
      const [, key, value] = ARGUMENT.exec(word) ?? []
      if (key === undefined) throw invalid('KEY=VALUE of letters and digits is expected after the UUID')
      env.add(`SYNTH_ARG_${key}=${value}`)
    }
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOMEM') throw invalid('there are too many arguments')
    throw error
  }
  return { action, variables: env.variables }
}

/** What stands behind one space each. */
function words(text: string): readonly string[] {
  if (text === '') return []
  if (!text.startsWith(' ')) throw invalid('a space must follow the UUID')
  return text.slice(1).split(' ')
}

const invalid = (what: string) =>
  new SystemError('EINVAL', `the event that was asked for cannot be: ${what}`, { syscall: 'synth_uevent' })
