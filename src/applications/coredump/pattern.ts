/**
 * kernel.core_pattern: what it says, with the facts of a death put in (format_corename of Linux 6.17, fs/coredump.c).
 *
 *   core.%e.%p            a file
 *   |/path/program %p %e  a program, which reads the dump from its standard input
 *   @/path                a socket, which is not supported here
 */

/** What the specifiers stand for. */
export interface CoreFacts {
  /** %p, %P */
  readonly pid: number
  /** %i, %I */
  readonly tid: number
  /** %u, %g */
  readonly uid: number
  readonly gid: number
  /** %d: 0 not dumpable, 1 dumpable, 2 by root only. */
  readonly dumpable: number
  /** %s */
  readonly signal: number
  /** %t, in seconds since 1970 */
  readonly time: number
  /** %h */
  readonly hostname: string
  /** %e */
  readonly comm: string
  /** %f its last part, %E all of it; `undefined`: not known */
  readonly exe: string | undefined
  /** %c RLIMIT_CORE */
  readonly limit: bigint
  /** %C */
  readonly processor: number
  /** %F, only for a program; `undefined`: it has none, and the specifier is dropped */
  readonly pidfd: number | undefined
}

export type CoreTarget =
  | { readonly kind: 'file'; readonly path: string }
  /** `argv[0]` is the program. */
  | { readonly kind: 'pipe'; readonly argv: readonly string[] }
  | { readonly kind: 'socket' }
  /** A pattern that says nothing: `|` alone. */
  | { readonly kind: 'invalid' }

const isSpace = (character: string): boolean => /[\t-\r ]/.test(character)

/**
 * @param pattern as it stands in kernel.core_pattern
 * @param usesPid kernel.core_uses_pid: a file without %p gets the pid at its end
 */
export function expandPattern(pattern: string, facts: CoreFacts, usesPid: boolean): CoreTarget {
  if (pattern.startsWith('@')) return { kind: 'socket' }
  if (pattern === '|') return { kind: 'invalid' }
  return pattern.startsWith('|')
    ? { kind: 'pipe', argv: expandProgram(pattern.slice(1), facts) }
    : { kind: 'file', path: expandFile(pattern, facts, usesPid) }
}

function expandFile(pattern: string, facts: CoreFacts, usesPid: boolean): string {
  let path = ''
  let hasPid = false
  for (const { specifier, text } of pieces(pattern)) {
    hasPid ||= specifier === 'p'
    path += specifier === undefined ? text : expand(specifier, facts, false)
  }
  return usesPid && !hasPid ? `${path}.${facts.pid}` : path
}

/** The pattern is split at white space first, and then expanded: what has blanks in it stays one argument. */
function expandProgram(pattern: string, facts: CoreFacts): readonly string[] {
  const argv = ['']
  let split = false
  const used = () => argv.length > 1 || argv[0] !== ''
  for (const { specifier, text } of pieces(pattern)) {
    if (specifier === undefined && isSpace(text)) {
      // As in Linux, nothing counts as a word before something has come out: `|%q a` is the program `a`.
      split ||= used()
      continue
    }
    if (split) argv.push('')
    split = false
    argv[argv.length - 1] += specifier === undefined ? text : expand(specifier, facts, true)
  }
  return argv
}

interface Piece {
  /** The letter after a %; `undefined`: `text` is one character as it is. */
  readonly specifier: string | undefined
  readonly text: string
}

function* pieces(pattern: string): Generator<Piece> {
  const characters = [...pattern]
  for (let at = 0; at < characters.length; at += 1) {
    const text = characters[at] ?? ''
    if (text !== '%') {
      yield { specifier: undefined, text }
      continue
    }
    at += 1
    // A % at the end is dropped like any specifier that there is not; it still begins a word.
    yield { specifier: characters[at] ?? '', text: '' }
  }
}

function expand(specifier: string, facts: CoreFacts, program: boolean): string {
  switch (specifier) {
    case '%':
      return '%'
    case 'p':
    case 'P':
      return String(facts.pid)
    case 'i':
    case 'I':
      return String(facts.tid)
    case 'u':
      return String(facts.uid)
    case 'g':
      return String(facts.gid)
    case 'd':
      return String(facts.dumpable)
    case 's':
      return String(facts.signal)
    case 't':
      return String(facts.time)
    case 'h':
      return sanitized(facts.hostname)
    case 'e':
      return sanitized(facts.comm)
    case 'f':
      return sanitized(facts.exe?.slice(facts.exe.lastIndexOf('/') + 1) ?? unknownPath(facts))
    case 'E':
      return sanitized(facts.exe ?? unknownPath(facts))
    case 'c':
      return String(facts.limit)
    case 'C':
      return String(facts.processor)
    case 'F':
      return program && facts.pidfd !== undefined ? String(facts.pidfd) : ''
    default:
      // Both characters are dropped.
      return ''
  }
}

const unknownPath = ({ comm }: CoreFacts): string => `${comm} (path unknown)`

/** No value adds a folder to a path, names one, or vanishes; and none ends an argument. */
function sanitized(value: string): string {
  if (value === '') return '!'
  if (value === '.') return '!'
  if (value === '..') return '!.'
  return value.replace(/[/\0]/g, '!')
}
