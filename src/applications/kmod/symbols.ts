/**
 * What the kernel and its modules export for modules to use.
 */
import { SystemError } from '../../kernel/errors.js'
import type { Module } from './module.js'

interface Symbol {
  readonly value: unknown
  /** `undefined`: the kernel. */
  readonly owner: Module | undefined
}

export class SymbolTable {
  readonly #symbols = new Map<string, Symbol>()

  /** @returns the first that somebody else exports; nothing is added then */
  add(
    symbols: Readonly<Record<string, unknown>>,
    owner: Module | undefined,
  ): { readonly name: string; readonly owner: string | undefined } | undefined {
    for (const name of Object.keys(symbols)) {
      const other = this.#symbols.get(name)
      if (other !== undefined) return { name, owner: other.owner?.name }
    }
    for (const [name, value] of Object.entries(symbols)) this.#symbols.set(name, { value, owner })
    return undefined
  }

  remove(owner: Module): void {
    for (const [name, symbol] of this.#symbols) if (symbol.owner === owner) this.#symbols.delete(name)
  }

  /**
   * What a module may use: the kernel's symbols, its own, and those of the modules that it holds a reference on. Those
   * of others could go at any time.
   */
  view(user: Module): Readonly<Record<string, unknown>> {
    const visible = (name: string | symbol): Symbol | undefined => {
      const symbol = typeof name === 'string' ? this.#symbols.get(name) : undefined
      const { owner } = symbol ?? {}
      return owner === undefined || owner === user || user.uses.has(owner) ? symbol : undefined
    }
    return new Proxy<Record<string, unknown>>(
      {},
      {
        get: (_, name) => {
          const symbol = visible(name)
          if (symbol !== undefined || typeof name !== 'string' || name === 'then') return symbol?.value
          const { owner } = this.#symbols.get(name) ?? {}
          const hint = owner === undefined ? 'nobody exports it' : `add '${owner.name}' to its depends`
          throw new SystemError('ENOENT', `module ${user.name}: unknown symbol ${name}: ${hint}`)
        },
        has: (_, name) => visible(name) !== undefined,
        ownKeys: () => [...this.#symbols.keys()].filter(name => visible(name) !== undefined),
        getOwnPropertyDescriptor: (_, name) => {
          const symbol = visible(name)
          return symbol && { value: symbol.value, enumerable: true, configurable: true }
        },
        set: () => false,
      },
    )
  }
}
