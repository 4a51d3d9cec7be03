/**
 * `khelper insmod`.
 */

import { resolve } from 'node:path'
import { kmod } from '../../applications/kmod/index.js'
import { joinArgument, splitArguments } from '../../applications/kmod/parameters.js'
import { textsearch } from '../../applications/textsearch/index.js'
import { boot } from '../../index.js'
import { isSystemError } from '../../kernel/errors.js'
import { type SocketOption, withService } from '../system-calls/connection.js'
import { UsageError } from '../usage-error.js'

const EXIT_FAILURE = 1

export async function insmod(file: string, params: readonly string[], options: SocketOption): Promise<void> {
  const path = resolve(file)
  const line = parameterLine(params)
  if (options.socket !== undefined) {
    await withService(options, client => client.call('init_module', path, line))
    return
  }
  await using kernel = boot()
  // Modules may need what it exports.
  textsearch(kernel)
  const stuck = () => {
    console.error(
      `khelper: the init of ${path} has not come back, and there is nothing left that it waits for`,
    )
    process.exit(EXIT_FAILURE)
  }
  process.once('beforeExit', stuck)
  try {
    await kmod(kernel).insmod(path, line)
  } catch (error) {
    if (isSystemError(error)) throw new UsageError(error.message)
    // A parameter that the module declares wrong.
    if (error instanceof TypeError) throw new UsageError(`EINVAL: ${error.message}`)
    throw error
  } finally {
    process.off('beforeExit', stuck)
  }
}

/** A word of a line whose quotes hold all of it together, or all of its value. */
const QUOTED = /^([^"\s]*=)?"[^"]*"$/

/**
 * A shell has taken the quotes away that hold a value together.
 * @throws UsageError for a value with a double quote, which a line of parameters has no word for
 */
export const parameterLine = (params: readonly string[]): string =>
  params
    .map(param => {
      if (QUOTED.test(param)) return param
      const equals = param.indexOf('=')
      if (param.includes('"')) {
        const name = equals < 0 ? param : param.slice(0, equals)
        throw new UsageError(`EINVAL: the parameter ${name} cannot have a double quote in its value`)
      }
      const whole = equals < 0 || splitArguments(param).length === 1
      return whole ? param : joinArgument(param.slice(0, equals), param.slice(equals + 1))
    })
    .join(' ')
