/**
 * Loads the algorithms that khelper has, where there is no module loader.
 */
import type { TextSearchModuleContext } from './types.js'

interface AlgorithmModule {
  init(context: TextSearchModuleContext): number | Promise<number>
}

const MODULES = new Map<string, () => Promise<AlgorithmModule>>([
  ['ts_kmp', () => import('../../modules/ts_kmp.js')],
  ['ts_bm', () => import('../../modules/ts_bm.js')],
  ['ts_fsm', () => import('../../modules/ts_fsm.js')],
])

/** @param context what modules are given in their init */
export function builtInModules(context: () => TextSearchModuleContext): {
  requestModule(name: string): Promise<unknown>
} {
  return {
    async requestModule(name) {
      const module = await MODULES.get(name)?.()
      return module?.init(context())
    },
  }
}
