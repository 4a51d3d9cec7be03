/**
 * Aliases of modules: patterns as fnmatch(3) has them, with `*`, `?`, `[…]`, and a backslash before what stands for
 * itself.
 *
 * Whoever asks for a module may choose its name, so matching has to end soon whatever the pattern is: only the last `*`
 * is gone back to, because what the ones before it have taken can stay as it is.
 */

/** No white space, and brackets in pairs, as kmod finds them: the first `]` ends a set. */
const ALIAS = /^(?:[^[\]\s]|\[[^\]\s]*\])+$/

export const ALIAS_RULE = "an alias has no white space, and for each '[' one ']'"

/**
 * An alias as modules' names are written, with `_` for `-`. Sets keep theirs, which make ranges (kmod's underscores).
 * @returns `undefined` for what is no alias
 */
export function normalAlias(text: string): string | undefined {
  if (!ALIAS.test(text)) return undefined
  return text.replace(/\[[^\]]*\]|-/g, part => (part === '-' ? '_' : part))
}

const SPECIAL = /[*?[\\]/

const ANY_NUMBER = Symbol('*')
/** What one character is held against, or any number of any. */
type Element = typeof ANY_NUMBER | ((character: string) => boolean)

/** Whether a name is meant by an alias. */
export const matchesAlias = (pattern: string, name: string): boolean => matches(parse(pattern), name)

interface Alias {
  readonly pattern: string
  readonly module: string
}

/** Aliases that many names are looked up among: those without special characters are not gone through for each. */
export class AliasTable {
  readonly #exact = new Map<string, number[]>()
  readonly #patterns: { readonly place: number; readonly elements: readonly Element[] }[] = []
  readonly #modules: readonly string[]

  constructor(aliases: readonly Alias[]) {
    this.#modules = aliases.map(({ module }) => module)
    for (const [place, { pattern }] of aliases.entries()) {
      if (SPECIAL.test(pattern)) this.#patterns.push({ place, elements: parse(pattern) })
      else if (!this.#exact.get(pattern)?.push(place)) this.#exact.set(pattern, [place])
    }
  }

  /** The modules that a name stands for, in the order of the aliases. */
  modulesOf(name: string): string[] {
    const places = [...(this.#exact.get(name) ?? [])]
    for (const { place, elements } of this.#patterns) if (matches(elements, name)) places.push(place)
    return places.sort((one, other) => one - other).map(place => this.#modules[place] ?? '')
  }
}

function matches(elements: readonly Element[], name: string): boolean {
  let element = 0
  let here = 0
  let star = -1
  let starEnd = 0
  while (here < name.length) {
    const expected = elements[element]
    if (expected === ANY_NUMBER) {
      star = element
      starEnd = here
      element += 1
    } else if (expected?.(name.charAt(here))) {
      element += 1
      here += 1
    } else if (star >= 0) {
      starEnd += 1
      here = starEnd
      element = star + 1
    } else return false
  }
  return elements.slice(element).every(left => left === ANY_NUMBER)
}

function parse(pattern: string): Element[] {
  const elements: Element[] = []
  let at = 0
  // Where one bracket is closed by nothing, none behind it is: each would be read to the pattern's end for nothing.
  let closed = true
  while (at < pattern.length) {
    const character = pattern.charAt(at)
    const set: CharacterSet | undefined = character === '[' && closed ? parseSet(pattern, at) : undefined
    closed &&= character !== '[' || set !== undefined
    at = set?.end ?? at + 1
    if (set !== undefined) elements.push(set.has)
    else if (character === '*') elements.push(ANY_NUMBER)
    else if (character === '?') elements.push(() => true)
    else if (character === '\\') {
      // One at the end makes a pattern that nothing matches: no character is empty.
      const literal = pattern.charAt(at)
      elements.push(other => other === literal)
      at += 1
    } else elements.push(other => other === character)
  }
  return elements
}

interface CharacterSet {
  has(character: string): boolean
  /** Behind its bracket. */
  readonly end: number
}

/** @returns `undefined` for a bracket that nothing closes, which stands for itself */
function parseSet(pattern: string, start: number): CharacterSet | undefined {
  let at = start + 1
  const negated = pattern[at] === '!' || pattern[at] === '^'
  if (negated) at += 1
  const ranges: { readonly from: string; readonly to: string }[] = []
  const take = (): string => {
    if (pattern[at] === '\\') at += 1
    at += 1
    return pattern.charAt(at - 1)
  }
  // A bracket that comes first is one of the set.
  do {
    if (at >= pattern.length) return undefined
    const from = take()
    const isRange = pattern[at] === '-' && pattern[at + 1] !== ']' && at + 1 < pattern.length
    if (isRange) at += 1
    ranges.push({ from, to: isRange ? take() : from })
  } while (pattern[at] !== ']')
  return {
    has: character => ranges.some(({ from, to }) => from <= character && character <= to) !== negated,
    end: at + 1,
  }
}
