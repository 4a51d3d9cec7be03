/**
 * How the subcommands that work on a running service find it.
 */

import { type Command, Option } from 'commander'
import { SystemCallClient } from '../../applications/system-calls/client.js'
import { isSystemError } from '../../kernel/errors.js'
import { UsageError } from '../usage-error.js'

export interface SocketOption {
  readonly socket?: string
}

/** `--socket`, and the variables that a helper has in its environment. */
export function addSocketOption(command: Command): Command {
  return command.addOption(
    new Option('--socket <path>', 'the socket of the service, as in boot({ socket })').env('KHELPER_SOCKET'),
  )
}

/**
 * Makes system calls of the service that `--socket` names.
 * @param run is given the connection, which is closed afterwards; what the kernel refuses is told in one line
 */
export async function withService<Result>(
  { socket }: SocketOption,
  run: (client: SystemCallClient) => Promise<Result>,
): Promise<Result> {
  if (socket === undefined) {
    throw new UsageError('which service? --socket PATH names the one that it was given in boot({ socket })')
  }
  try {
    using client = await SystemCallClient.connect({ socket, authority: process.env['KHELPER_AUTHORITY'] })
    return await run(client)
  } catch (error) {
    if (isSystemError(error)) throw new UsageError(error.message)
    throw error
  }
}
