/**
 * The room's symbols for modules, in C's language: 0 or -errno.
 */
import { isSystemError } from '../../kernel/errors.js'
import type { TextSearch } from './text-search.js'
import type { TextSearchSymbols } from './types.js'

function retval(call: () => void): number {
  try {
    call()
    return 0
  } catch (error) {
    if (isSystemError(error)) return error.retval
    throw error
  }
}

/** What a module loader offers to the modules that register algorithms. */
export const textsearchSymbols = (search: TextSearch): TextSearchSymbols => ({
  textsearch_register: ops => retval(() => search.register(ops)),
  textsearch_unregister: ops => retval(() => search.unregister(ops)),
})
