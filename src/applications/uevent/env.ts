/**
 * An event's variables: at most 64, and 2048 bytes of them with the NUL after each (struct kobj_uevent_env).
 */
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'

/** How many variables there may be (UEVENT_NUM_ENVP). */
export const UEVENT_NUM_ENVP = 64
/** How many bytes they may take, with the NUL after each (UEVENT_BUFFER_SIZE). */
export const UEVENT_BUFFER_SIZE = 2048

export class KobjUeventEnv {
  readonly #variables: string[] = []
  #length = 0

  /** `KEY=value`, in the order in which they were added. */
  get variables(): readonly string[] {
    return this.#variables
  }

  /** Bytes that are left. */
  get room(): number {
    return UEVENT_BUFFER_SIZE - this.#length
  }

  /** @internal See `addUeventVar`. */
  add(variable: string): void {
    const length = Buffer.byteLength(variable) + 1
    if (this.#variables.length >= UEVENT_NUM_ENVP || length > this.room) {
      const [key] = variable.split('=', 1)
      throw new SystemError(
        'ENOMEM',
        `an event has room for ${UEVENT_NUM_ENVP} variables and ${UEVENT_BUFFER_SIZE} bytes, and none for ${key}; tell less with it`,
        { syscall: 'add_uevent_var' },
      )
    }
    this.#variables.push(variable)
    this.#length += length
  }

  /** @internal Takes away what has this key, as `unbind` does with MODALIAS. */
  remove(key: string): void {
    const kept = this.#variables.filter(variable => !variable.startsWith(`${key}=`))
    this.#variables.length = 0
    this.#length = 0
    for (const variable of kept) this.add(variable)
  }
}

/**
 * Adds a variable to an event (add_uevent_var).
 * @param variable `KEY=value`
 * @throws SystemError ENOMEM beyond 64 variables or 2048 bytes; nothing is added then
 */
export function addUeventVar(env: KobjUeventEnv, variable: string): void {
  if (!(env instanceof KobjUeventEnv)) throw wrongType('env', 'a KobjUeventEnv', env)
  env.add(checkVariable(variable, 'variable'))
}

/** An event's variables end in a helper's environment, which is why they must look like one. The value is not shown. */
function checkVariable(variable: unknown, name: string): string {
  if (typeof variable !== 'string') throw wrongType(name, 'of type string', variable)
  if (variable.indexOf('=') < 1) throw wrongValue(name, 'must be of the form KEY=value')
  if (variable.includes('\0')) throw wrongValue(name, 'must be a string without null bytes')
  return variable
}

/** What a caller adds to an event: strings `KEY=value`, or an object, whose undefined values are left out. */
export type UeventVariables =
  | readonly string[]
  | Readonly<Record<string, string | number | undefined>>
  | null
  | undefined

const PRIMITIVES = new Set(['string', 'number', 'bigint', 'boolean'])

export function variablesOf(given: UeventVariables): readonly string[] {
  if (given === null || given === undefined) return []
  if (Array.isArray(given)) return given.map((variable, index) => checkVariable(variable, `env[${index}]`))
  if (typeof given !== 'object') throw wrongType('env', 'an array of strings or an object', given)
  const variables: string[] = []
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue
    if (!PRIMITIVES.has(typeof value)) throw wrongType(`env.${key}`, 'a string or a number', value)
    variables.push(checkVariable(`${key}=${value}`, `env.${key}`))
  }
  return variables
}
