/**
 * `khelper insmod`.
 */

import { resolve } from 'node:path'
import { kmod } from '../../applications/kmod/index.js'
import { joinArgument, splitArguments } from '../../applications/kmod/parameters.js'
import { boot } from '../../index.js'
import { isSystemError } from '../../kernel/errors.js'
import { type SocketOption, withService } from '../system-calls/connection.js'
import { UsageError } from '../usage-error.js'

export async function insmod(file: string, params: readonly string[], options: SocketOption): Promise<void> {
  const path = resolve(file)
  const line = parameterLine(params)
  if (options.socket !== undefined) {
    await withService(options, client => client.call('init_module', path, line))
    return
  }
  await using kernel = boot()
  try {
    await kmod(kernel).insmod(path, line)
  } catch (error) {
    if (isSystemError(error)) throw new UsageError(error.message)
    throw error
  }
}

/** A shell has taken the quotes away that hold a value together. */
export const parameterLine = (params: readonly string[]): string =>
  params
    .map(param => {
      const equals = param.indexOf('=')
      const whole = equals < 0 || splitArguments(param).length === 1
      return whole ? param : joinArgument(param.slice(0, equals), param.slice(equals + 1))
    })
    .join(' ')
