/**
 * Elements of views of shared memory, as the language reads and writes them.
 */
import type { View } from './operations.js'

export const read = (view: View, index: number): number | bigint => view[index] ?? 0

/** A value as the view would hold it. */
export function coerced(view: View, value: unknown): number | bigint {
  if (view instanceof Int32Array) return Number(value) | 0
  if (view instanceof BigInt64Array) return BigInt.asIntN(64, value as bigint)
  const one = new (view.constructor as new (values: unknown[]) => View)([value])
  return one[0] ?? 0
}

export function combine(left: number, operator: string, right: number): number {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return left / right
    case '%':
      return left % right
    case '**':
      return left ** right
    case '<<':
      return left << right
    case '>>':
      return left >> right
    case '>>>':
      return left >>> right
    case '&':
      return left & right
    case '|':
      return left | right
    default:
      return left ^ right
  }
}

/** Which elements a method of a view reads or writes. */
export function spanOf(
  view: View,
  method: string,
  args: readonly unknown[],
): { readonly from: number; readonly to: number; readonly write: boolean } | undefined {
  const number = (index: number, otherwise: number): number =>
    typeof args[index] === 'number' ? Math.max(0, Math.min(args[index], view.length)) : otherwise
  switch (method) {
    case 'fill':
      return { from: number(1, 0), to: number(2, view.length), write: true }
    case 'set':
      return { from: number(1, 0), to: number(1, 0) + (args[0] as ArrayLike<number>).length, write: true }
    case 'slice':
      return { from: number(0, 0), to: number(1, view.length), write: false }
    case 'toString':
      return typeof args[0] === 'string'
        ? { from: number(1, 0), to: number(2, view.length), write: false }
        : undefined
    default:
      return undefined
  }
}
