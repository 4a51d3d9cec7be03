/**
 * `khelper rmmod`.
 */
import { isSystemError } from '../../kernel/errors.js'
import { type SocketOption, withService } from '../system-calls/connection.js'

/** O_TRUNC of delete_module(2): by force. */
const O_TRUNC = 0o1000

export async function rmmod(
  names: readonly string[],
  options: SocketOption & { readonly force?: boolean },
): Promise<void> {
  await withService(options, async client => {
    for (const name of names) {
      try {
        await client.call('delete_module', name, options.force ? O_TRUNC : 0)
      } catch (error) {
        if (!isSystemError(error)) throw error
        console.error(`khelper: ${error.message}`)
        process.exitCode = 1
      }
    }
  })
}
