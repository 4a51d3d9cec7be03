/** What every peer is given for a call, and what its worker does with it: nothing. */
export interface Call {
  readonly argv: readonly string[]
  readonly envp: readonly string[]
}

export const noop = (_call: Call): number => 0
