/**
 * What is done in which order: from the seed alone.
 *
 * Kinds are dealt from a shuffled pack, each as often as it weighs; so a short run has had them all, too.
 */
import { Random } from './random.js'

/** Operations between two faults. */
const LEAST_GAP = 20
const LARGEST_GAP = 80

export interface Kind {
  readonly name: string
  readonly weight: number
}

export interface Step {
  readonly number: number
  readonly what: 'operation' | 'fault'
  readonly name: string
  /** For what the step itself chooses. */
  readonly seed: number
}

function* dealt(kinds: readonly Kind[], random: Random): Generator<string, never> {
  const pack = kinds.flatMap(({ name, weight }) => Array.from({ length: weight }, () => name))
  for (;;) yield* random.shuffled(pack)
}

/** Without end. Of operations and faults at least one has to have a kind. */
export function* plan(
  seed: number,
  operations: readonly Kind[],
  faults: readonly Kind[],
): Generator<Step, never> {
  const random = new Random(seed)
  const nextOperation = dealt(operations, new Random(random.next()))
  const nextFault = dealt(faults, new Random(random.next()))
  let gap = random.between(1, LEAST_GAP)
  for (let number = 0; ; number += 1) {
    const isFault = operations.length === 0 || (faults.length > 0 && gap === 0)
    gap = isFault ? random.between(LEAST_GAP, LARGEST_GAP) : gap - 1
    yield isFault
      ? { number, what: 'fault', name: nextFault.next().value, seed: random.next() }
      : { number, what: 'operation', name: nextOperation.next().value, seed: random.next() }
  }
}

/** The kinds that `--only` and `--skip` leave; a name stands for itself and, as `run`, for all of `run/…`. */
export function selected<Some extends Kind>(
  kinds: readonly Some[],
  only: readonly string[] | undefined,
  skip: readonly string[],
): Some[] {
  const named = (names: readonly string[], { name }: Kind) =>
    names.some(given => given === name || name.startsWith(`${given}/`))
  return kinds.filter(kind => (only === undefined || named(only, kind)) && !named(skip, kind))
}
