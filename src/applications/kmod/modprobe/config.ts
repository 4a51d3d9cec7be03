/**
 * Files of the kind of /etc/modprobe.d/*.conf, as modprobe.d(5) has them.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isSystemError } from '../../../kernel/errors.js'
import { sameName } from '../parameters.js'
import { ALIAS_RULE, normalAlias } from './alias.js'
import { readRegularFile } from './regular-file.js'

export interface SoftDependency {
  readonly pre: readonly string[]
  readonly post: readonly string[]
}

/** All that the files say, by module. */
export interface ModprobeConfig {
  readonly aliases: { readonly pattern: string; readonly module: string }[]
  readonly options: Map<string, string[]>
  readonly blacklist: Set<string>
  readonly install: Map<string, string>
  readonly remove: Map<string, string>
  readonly softdeps: Map<string, SoftDependency>
  /** Lines, files and folders that were left out: `file:line: what is wrong`. */
  readonly problems: string[]
}

export const emptyConfig = (): ModprobeConfig => ({
  aliases: [],
  options: new Map(),
  blacklist: new Set(),
  install: new Map(),
  remove: new Map(),
  softdeps: new Map(),
  problems: [],
})

/**
 * Reads configuration files, in the order of their names. A file of the same name in an earlier folder stands for those
 * in later ones. What cannot be read is told of and left out: nothing else is to stand still for it.
 * @param places folders, whose *.conf are read, or files
 */
export function readConfig(places: readonly string[]): ModprobeConfig {
  const config = emptyConfig()
  const files = new Map<string, string>()
  for (const place of places) {
    for (const [name, file] of readable(place, configFiles, config) ?? []) {
      if (!files.has(name)) files.set(name, file)
    }
  }
  for (const [, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = readable(file, readRegularFile, config)
    if (text !== undefined) parseConfig(text, file, config)
  }
  return config
}

function readable<Content>(
  path: string,
  read: (path: string) => Content,
  { problems }: ModprobeConfig,
): Content | undefined {
  try {
    return read(path)
  } catch (error) {
    const why = isSystemError(error)
      ? 'is no regular file'
      : `cannot be read (${(error as NodeJS.ErrnoException).code})`
    problems.push(`${path}: ${why}, and is left out`)
    return undefined
  }
}

function configFiles(place: string): (readonly [string, string])[] {
  if (!statSync(place).isDirectory()) return [[place, place]]
  return readdirSync(place)
    .filter(name => name.endsWith('.conf'))
    .map(name => [name, join(place, name)] as const)
}

/** Adds what a file's text says; a line that does not parse is told of and left out. */
export function parseConfig(text: string, file: string, config: ModprobeConfig): void {
  for (const { number, line } of logicalLines(text)) {
    const problem = parseLine(line, config)
    if (problem !== undefined) config.problems.push(`${file}:${number}: ${problem}`)
  }
}

/** A backslash before the end of a line joins the next one to it; `#` at the start makes a comment. */
function* logicalLines(text: string): Generator<{ readonly number: number; readonly line: string }> {
  const lines = text.split(/\r?\n/)
  for (let at = 0; at < lines.length; at += 1) {
    const number = at + 1
    // Put together once: to cut the end off what has been put together so far would copy it for each line.
    const parts: string[] = []
    for (; lines[at]?.endsWith('\\') && at + 1 < lines.length; at += 1)
      parts.push(lines[at]?.slice(0, -1) ?? '')
    const trimmed = [...parts, lines[at] ?? ''].join('').trim()
    if (trimmed !== '' && !trimmed.startsWith('#')) yield { number, line: trimmed }
  }
}

function add<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

/** @returns what is wrong with it */
function parseLine(line: string, config: ModprobeConfig): string | undefined {
  const [directive = '', first, ...rest] = line.split(/\s+/)
  const name = sameName(first ?? '')
  const tail = /^\S+\s+\S+\s+([\s\S]+)$/.exec(line)?.[1]
  switch (directive) {
    case 'alias': {
      const [module, ...more] = rest
      if (first === undefined || module === undefined || more.length > 0) {
        return "'alias' takes a pattern and the name of a module"
      }
      const pattern = normalAlias(first)
      if (pattern === undefined) return `not an alias: '${first}'; ${ALIAS_RULE}`
      config.aliases.push({ pattern, module: sameName(module) })
      return undefined
    }
    case 'options':
      if (tail === undefined) return "'options' takes the name of a module and its parameters"
      add(config.options, name, tail)
      return undefined
    case 'blacklist':
      if (first === undefined || rest.length > 0) return "'blacklist' takes the name of a module"
      config.blacklist.add(name)
      return undefined
    case 'install':
    case 'remove':
      if (tail === undefined) return `'${directive}' takes the name of a module and a command`
      config[directive].set(name, tail)
      return undefined
    case 'softdep': {
      const softdep = parseSoftdep(rest)
      if (typeof softdep === 'string') return softdep
      config.softdeps.set(name, softdep)
      return undefined
    }
    default:
      return `unknown directive '${directive}'; known are alias, options, blacklist, install, remove and softdep`
  }
}

/** @returns what is wrong with it, if it is none */
export function parseSoftdep(words: readonly string[]): SoftDependency | string {
  const lists: { pre: string[]; post: string[] } = { pre: [], post: [] }
  let list: string[] | undefined
  for (const word of words) {
    if (word === 'pre:') list = lists.pre
    else if (word === 'post:') list = lists.post
    else if (list === undefined) return "'softdep' takes the name of a module, then pre: and post: with names"
    else list.push(sameName(word))
  }
  return list === undefined ? "'softdep' takes the name of a module, then pre: and post: with names" : lists
}
